import { constants } from 'node:os';
import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import { errnoOf } from '../../common/rados/errno.ts';
import { Cached } from './cached.ts';
import type { CephCommands } from './ceph-commands.ts';
import { osdDf, osdMetadata, osdTree, parseOsdStatus, type OsdStatusRow } from './ceph-documents.ts';
import { osdsOf, type OsdFigures } from './osd-facts.ts';
import { STORAGE_FIGURES_MS, type Osd, type OsdState, type OsdStorage } from './storage-cluster.ts';

/** What the manager answers to a command of a module that is not known, not enabled, or has failed (DaemonServer.cc of Ceph). */
const NO_MODULE: ReadonlySet<number> = new Set([constants.errno.EINVAL, constants.errno.EOPNOTSUPP, constants.errno.EIO]);

/** OSDs as the monitors know them, with the manager's figures. */
export class CephOsds implements OsdStorage {
  readonly #commands: CephCommands;
  readonly #figures: Cached<OsdFigures>;

  constructor({ commands, clock }: { commands: CephCommands; clock: Clock }) {
    this.#commands = commands;
    this.#figures = new Cached({ clock, maxAgeMs: STORAGE_FIGURES_MS, load: () => loadFigures(commands) });
  }

  async list(): Promise<Osd[]> {
    const [dump, figures] = await Promise.all([this.#commands.osdDump(), this.#figures.get()]);
    return osdsOf(dump, figures);
  }

  async state(id: number): Promise<OsdState> {
    const found = (await this.#commands.osdDump()).osds.find(({ osd }) => osd === id);
    if (found === undefined) throw new AppError('not-found', 'there is no such OSD', { osd: id });
    return { up: found.up === 1, in: found.in === 1 };
  }

  async setState(id: number, state: 'in' | 'out'): Promise<void> {
    // Ceph itself says nothing of one that does not exist.
    await this.state(id);
    await this.#commands.change({ prefix: `osd ${state}`, ids: [String(id)] });
    this.#figures.forget();
  }
}

async function loadFigures(commands: CephCommands): Promise<OsdFigures> {
  const [df, tree, metadata, status] = await Promise.all([
    commands.mgrJson(osdDf, { prefix: 'osd df' }),
    commands.monJson(osdTree, { prefix: 'osd tree' }),
    commands.monJson(osdMetadata, { prefix: 'osd metadata' }),
    osdStatus(commands),
  ]);
  return { df, tree, metadata, status };
}

/** Undefined where the manager's module `status` is not loaded, as with the Ceph of Debian 13, whose manager loads none. */
async function osdStatus(commands: CephCommands): Promise<OsdStatusRow[] | undefined> {
  try {
    return parseOsdStatus(await commands.mgrText({ prefix: 'osd status' }));
  } catch (error) {
    if (!NO_MODULE.has(errnoOf(error) ?? 0)) throw error;
    return undefined;
  }
}
