import { withTimeout, type Clock } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { CephAccess } from '../../common/config.ts';
import type { Logger } from '../../common/log.ts';
import { Rados } from '../../common/rados/rados.ts';
import type { CephLink } from './ceph-commands.ts';

/** Monitors that are there answer in milliseconds, or within an election. */
const CONNECT_LIMIT_MS = 5_000;
/** The next primary waits for the end of this process. */
const CLOSE_LIMIT_MS = 1_000;

/** Connects with the first call, and with the next one when that failed: the API starts, and goes on, without Ceph. */
export class LazyLink implements CephLink {
  readonly #access: CephAccess;
  readonly #operationTimeoutMs: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  #connecting: Promise<Rados> | undefined;
  #isUnreachable = false;

  /** @param deps.operationTimeoutMs what an OSD or a monitor that does not answer costs a call; whole seconds. */
  constructor(deps: { access: CephAccess; operationTimeoutMs: number; clock: Clock; log: Logger }) {
    this.#access = deps.access;
    this.#operationTimeoutMs = deps.operationTimeoutMs;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async rados(): Promise<Rados> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  /** Ends the connection, if there is one; what hangs there is left to end with this process. */
  async close(): Promise<void> {
    const connecting = this.#connecting;
    if (connecting === undefined) return;
    try {
      await withTimeout(this.#clock, { timeoutMs: CLOSE_LIMIT_MS, what: 'the end of the connection to Ceph' }, async () => (await connecting).close());
    } catch (error) {
      if (!isAppError(error)) throw error;
      this.#log.debug({ error: describeError(error) }, 'the connection to Ceph did not end by itself');
    }
  }

  async #connect(): Promise<Rados> {
    const { client, config_file: configFile, keyring_file: keyringFile } = this.#access;
    const options = { client, configFile, keyringFile, connectTimeoutMs: CONNECT_LIMIT_MS, operationTimeoutMs: this.#operationTimeoutMs };
    try {
      const rados = await Rados.connect({ ...options, clock: this.#clock, log: this.#log });
      this.#isUnreachable = false;
      return rados;
    } catch (error) {
      this.#connecting = undefined;
      // Once is enough: it is tried again and again.
      if (!this.#isUnreachable) this.#log.warn({ error: describeError(error) }, 'Ceph cannot be reached; will be tried again');
      this.#isUnreachable = true;
      throw new AppError('unavailable', 'Ceph cannot be reached', { why: describeError(error) }, { cause: error });
    }
  }
}
