import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import { Cached } from './cached.ts';
import type { CephCommands } from './ceph-commands.ts';
import { osdDf, osdMetadata, osdTree, parseOsdStatus } from './ceph-documents.ts';
import { osdsOf, type OsdFigures } from './osd-facts.ts';
import { STORAGE_FIGURES_MS, type Osd, type OsdState, type OsdStorage } from './storage-cluster.ts';

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
  const [df, tree, metadata, table] = await Promise.all([
    commands.mgrJson(osdDf, { prefix: 'osd df' }),
    commands.monJson(osdTree, { prefix: 'osd tree' }),
    commands.monJson(osdMetadata, { prefix: 'osd metadata' }),
    commands.mgrText({ prefix: 'osd status' }),
  ]);
  return { df, tree, metadata, status: parseOsdStatus(table) };
}
