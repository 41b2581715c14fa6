import { systemClock, type Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import { silentLogger, type Logger } from '../log.ts';
import type { CallOptions } from './call.ts';
import { addressesCall, COMMAND_CALLS, fsidCall, instanceIdCall, latestMapCall, settingCall, statisticsCall, versionCall, type ClusterStatistics } from './cluster-calls.ts';
import { Ioctx } from './ioctx.ts';
import { Pools } from './pools.ts';
import { RadosProcess } from './rados-process.ts';
import { Rbd } from './rbd.ts';

const CONNECT_LIMIT_MS = 10_000;
const OPERATION_LIMIT_MS = 30_000;
/** Ceph itself needs as long to see that an OSD is gone. */
const NOTICE_MAX_MS = 2_000;

export interface RadosOptions {
  /** ceph.conf. Without one the monitors have to stand in `options`, as `mon_host`. */
  configFile?: string;
  /** The whole name, as in `client.admin`, which is what it is when left out. */
  client?: string;
  /** Where the client's key is, unless ceph.conf says so. */
  keyringFile?: string;
  /** Settings of Ceph that go before those of the file. */
  options?: Readonly<Record<string, string>>;
  /** How long the monitors have to answer at first, in whole seconds' worth of milliseconds; 10 s when left out. */
  connectTimeoutMs?: number;
  /** How long one operation may take, alike; 30 s when left out. Every call ends 2 s later at the latest, unless it is given another limit. */
  operationTimeoutMs?: number;
  clock?: Clock;
  log?: Logger;
}

export interface CommandOptions extends CallOptions {
  input?: Uint8Array | string;
  /** The command changes nothing: when its answer is lost it may just be repeated. */
  isRead?: boolean;
}

export interface CommandReply {
  /** What the command printed: JSON when it was asked for `format: 'json'`. */
  output: Buffer;
  /** A sentence for people, often empty. */
  status: string;
}

/**
 * A connection to a Ceph cluster: librados and librbd in a process of their own, so that a crash of theirs or an OSD that does not answer
 * costs the calls in flight and nothing else. Calls of different kinds never wait for each other (see `Lane`).
 *
 * Every method throws AppError: 'unavailable' (nothing was done), 'timeout' (of a read), 'unknown-outcome' (of a write whose answer is
 * lost), 'state' after `close`, and what its own docstring says. `errno` and `reason` in the details are Ceph's, `status` its own words.
 */
export class Rados {
  readonly pools: Pools;
  readonly #process: RadosProcess;

  private constructor(process: RadosProcess) {
    this.#process = process;
    this.pools = new Pools(process);
  }

  /** @throws AppError 'timeout' when no monitor answers, 'not-allowed' when they do not know the key, 'not-found' for a missing file. */
  static async connect(options: RadosOptions): Promise<Rados> {
    const process = new RadosProcess(toProcessOptions(options));
    try {
      await process.start();
    } catch (error) {
      await process.close();
      throw error;
    }
    return new Rados(process);
  }

  /** Of the process that has the connection now, for tests and monitoring. */
  get childPid(): number | undefined {
    return this.#process.pid;
  }

  /** Of librados, not of the cluster, such as `3.0.0`. */
  async version(options?: CallOptions): Promise<string> {
    return this.#process.call(versionCall, {}, options);
  }

  async fsid(options?: CallOptions): Promise<string> {
    return this.#process.call(fsidCall, {}, options);
  }

  /** The number in `client.N`, as locks and watchers have it; another one after the process was begun again. */
  async instanceId(options?: CallOptions): Promise<bigint> {
    return this.#process.call(instanceIdCall, {}, options);
  }

  /** Addresses of this client as a blocklist takes them. */
  async addresses(options?: CallOptions): Promise<string> {
    return this.#process.call(addressesCall, {}, options);
  }

  /**
   * Until this client has the OSD map that the monitors have now. A client asks for a newer one when it notices that its own is old, so that
   * the first call in a pool that was removed and made again can end with 'not-found'.
   */
  async waitForLatestMap(options?: CallOptions): Promise<void> {
    await this.#process.call(latestMapCall, {}, options);
  }

  /** The value of one of Ceph's settings for this client. @throws AppError 'not-found' when there is none of that name. */
  async setting(name: string, options?: CallOptions): Promise<string> {
    return this.#process.call(settingCall, { name }, options);
  }

  async clusterStatistics(options?: CallOptions): Promise<ClusterStatistics> {
    return this.#process.call(statisticsCall, {}, options);
  }

  /**
   * A command for the monitors, as `ceph` sends them.
   * @param command such as `{ prefix: 'osd tree', format: 'json' }`.
   * @throws AppError by Ceph's errno, with its sentence as `status`.
   */
  async monCommand(command: object, options?: CommandOptions): Promise<CommandReply> {
    return this.#command('mon', command, options);
  }

  /** A command for the active manager, as `{ prefix: 'pg dump', format: 'json' }`. */
  async mgrCommand(command: object, options?: CommandOptions): Promise<CommandReply> {
    return this.#command('mgr', command, options);
  }

  /** A command for one OSD, as `ceph tell osd.N`. */
  async osdCommand(osd: number, command: object, options?: CommandOptions): Promise<CommandReply> {
    return this.#command('osd', command, options, osd);
  }

  /** Objects of a pool. Does not look whether it is there. */
  ioctx(pool: string, namespace = ''): Ioctx {
    return new Ioctx(this.#process, { pool, namespace });
  }

  /** Images of a pool. Does not look whether it is there. */
  rbd(pool: string, namespace = ''): Rbd {
    return new Rbd(this.#process, { pool, namespace });
  }

  /** Lets the calls in flight end, and ends the process. Safe to call twice; calls made later fail with 'state'. */
  async close(): Promise<void> {
    await this.#process.close();
  }

  async #command(target: 'mon' | 'mgr' | 'osd', command: object, options: CommandOptions = {}, osd?: number): Promise<CommandReply> {
    const { input = '', isRead = false } = options;
    const call = COMMAND_CALLS[target][isRead ? 'read' : 'write'];
    const reply = await this.#process.call(call, { command: JSON.stringify(command), input: Buffer.from(input), osd }, options);
    return { output: Buffer.from(reply.output), status: reply.status };
  }
}

function toProcessOptions(options: RadosOptions) {
  const { client = 'client.admin', configFile, keyringFile, connectTimeoutMs = CONNECT_LIMIT_MS, operationTimeoutMs = OPERATION_LIMIT_MS } = options;
  if (!/^client\../u.test(client)) throw new AppError('invalid', "a client's name begins with client.", { client });
  const settings: [string, string][] = [
    ['objecter_tick_interval', String(noticeMs(operationTimeoutMs) / 1000)],
    ['objecter_timeout', String(noticeMs(operationTimeoutMs) / 1000)],
    ...Object.entries(options.options ?? {}),
    ...(keyringFile === undefined ? [] : [['keyring', keyringFile] satisfies [string, string]]),
    // Without these a cluster that is away blocks for ever.
    ['client_mount_timeout', toSeconds(connectTimeoutMs)],
    ['rados_mon_op_timeout', toSeconds(operationTimeoutMs)],
    ['rados_osd_op_timeout', toSeconds(operationTimeoutMs)],
  ];
  const { clock = systemClock, log = silentLogger } = options;
  return { clock, log, client, configFile, settings, connectTimeoutMs, operationTimeoutMs };
}

/**
 * After how long without an answer of an OSD the library asks the monitors whether it is still there, which it finds out by looking as often:
 * nothing else tells it that a process is gone. By itself it takes 10 to 15 s, and operations with a shorter limit never found out.
 */
function noticeMs(operationTimeoutMs: number): number {
  return Math.min(NOTICE_MAX_MS, operationTimeoutMs / 4);
}

/** Ceph takes whole seconds. */
function toSeconds(limitMs: number): string {
  return String(Math.max(1, Math.ceil(limitMs / 1000)));
}
