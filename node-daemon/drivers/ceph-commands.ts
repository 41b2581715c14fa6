import { AppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import { Rados, type RadosOptions } from '../../common/rados/rados.ts';
import type { CephCommands } from './osd-cluster.ts';

type Command = Readonly<Record<string, unknown>>;

/** Commands of Ceph that change nothing: their answers may be lost. */
const READS = new Set(['status', 'osd dump', 'osd tree', 'osd df', 'osd safe-to-destroy']);

/** Ceph's commands over librados. Connects when it is first asked: a node without Ceph at its start has none to lose. */
export class RadosCommands implements CephCommands {
  readonly #options: RadosOptions;
  #rados: Promise<Rados> | undefined;

  constructor(options: RadosOptions) {
    this.#options = options;
  }

  async mon(command: Command, signal?: AbortSignal, input?: string): Promise<unknown> {
    const rados = await this.#connected();
    const options = { ...optionsOf(command, signal), ...(input === undefined ? {} : { input }) };
    return outputOf(command, (await rados.monCommand(command, options)).output);
  }

  async mgr(command: Command, signal?: AbortSignal): Promise<unknown> {
    const rados = await this.#connected();
    return outputOf(command, (await rados.mgrCommand(command, optionsOf(command, signal))).output);
  }

  /** Safe to call twice. */
  async stop(): Promise<void> {
    const ending = this.#rados;
    this.#rados = undefined;
    if (ending !== undefined) await ending.then((rados) => rados.close(), () => undefined);
  }

  /** A connection that could not be made is made anew by the next call. */
  #connected(): Promise<Rados> {
    const connecting = this.#rados ?? Rados.connect(this.#options);
    this.#rados = connecting;
    connecting.catch(() => {
      if (this.#rados === connecting) this.#rados = undefined;
    });
    return connecting;
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
