import { AppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import type { CephLink } from './ceph-link.ts';
import type { CephCommands } from './osd-cluster.ts';

type Command = Readonly<Record<string, unknown>>;

/** Commands of Ceph that change nothing: their answers may be lost. */
const READS = new Set(['status', 'osd dump', 'osd tree', 'osd df', 'osd safe-to-destroy', 'pg dump']);

/** Ceph's commands over librados. */
export class RadosCommands implements CephCommands {
  readonly #link: CephLink;

  constructor(link: CephLink) {
    this.#link = link;
  }

  async mon(command: Command, signal?: AbortSignal, input?: string): Promise<unknown> {
    const rados = await this.#link.rados();
    const options = { ...optionsOf(command, signal), ...(input === undefined ? {} : { input }) };
    return outputOf(command, (await rados.monCommand(command, options)).output);
  }

  async mgr(command: Command, signal?: AbortSignal): Promise<unknown> {
    const rados = await this.#link.rados();
    return outputOf(command, (await rados.mgrCommand(command, optionsOf(command, signal))).output);
  }
}

function optionsOf(command: Command, signal: AbortSignal | undefined): { signal: AbortSignal | undefined; isRead: boolean } {
  return { signal, isRead: READS.has(String(command['prefix'])) };
}

/** JSON where it was asked for. @throws AppError 'component' for anything else. */
function outputOf(command: Command, output: Buffer): unknown {
  if (command['format'] !== 'json') return undefined;
  const value = parseJson(output.toString('utf8'));
  if (value === undefined) throw new AppError('component', 'Ceph did not answer in JSON', { prefix: command['prefix'] });
  return value;
}
