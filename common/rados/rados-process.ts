import { delay, withTimeout, type Clock } from '../clock.ts';
import { AppError, isAppError, toAppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Call, Caller, CallOptions } from './call.ts';
import { ChildLink } from './child-link.ts';
import { connectCall, shutdownCall } from './cluster-calls.ts';
import { BLOCKLISTED, errnoOf } from './errno.ts';

/** librados' own limit comes first, since its error says more. */
const GRACE_MS = 2_000;
/** Work whose time grows with the data, such as a copy; its single operations have limits of their own. */
const LONG_LIMIT_MS = 6 * 60 * 60 * 1000;
/** Calls that wait or run: a thousand images at once, and then somebody asks too much. */
const CALLS_MAX = 2_048;
/** A child that lived as long was no failed start. */
const SOUND_MS = 10_000;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 10_000;

export interface RadosProcessOptions {
  clock: Clock;
  log: Logger;
  client: string;
  configFile: string | undefined;
  settings: [string, string][];
  connectTimeoutMs: number;
  operationTimeoutMs: number;
}

/**
 * The child process that owns every handle of librados, begun again when it dies. A call waits for the next start, and starts are
 * further and further apart while they fail; without calls nothing is started.
 */
export class RadosProcess implements Caller {
  readonly #options: RadosProcessOptions;
  #link: ChildLink | undefined;
  #starting: Promise<ChildLink> | undefined;
  #closing: Promise<void> | undefined;
  readonly #stopped = new AbortController();
  #failures = 0;
  #lastId = 0;
  #callCount = 0;

  constructor(options: RadosProcessOptions) {
    this.#options = options;
  }

  /** Of the process, undefined while there is none. */
  get pid(): number | undefined {
    return this.#link?.pid;
  }

  /** @throws AppError when the cluster cannot be reached. */
  async start(): Promise<void> {
    await this.#current();
  }

  async call<Args, Result>(call: Call<Args, Result>, args: Args, options: CallOptions & { handle?: number } = {}): Promise<Result> {
    if (this.#closing !== undefined) throw new AppError('state', 'the connection to Ceph is closed', { call: call.name });
    if (this.#callCount >= CALLS_MAX) throw new AppError('unavailable', 'too many calls wait for Ceph', { call: call.name, callsMax: CALLS_MAX });
    this.#callCount += 1;
    const progress = { isSent: false };
    const timeoutMs = options.timeoutMs ?? (call.isLong === true ? LONG_LIMIT_MS : this.#options.operationTimeoutMs + GRACE_MS);
    try {
      const result = await withTimeout(this.#options.clock, { timeoutMs, what: call.name, signal: options.signal }, async (signal) => {
        const link = await this.#current();
        signal.throwIfAborted();
        progress.isSent = true;
        return this.#request(link, call, args, { handle: options.handle, signal });
      });
      return parseResult(call, result);
    } catch (error) {
      throw toOutcome(error, call.effect, progress.isSent);
    } finally {
      this.#callCount -= 1;
    }
  }

  async release(call: Call<object, undefined>, handle: number): Promise<void> {
    if (this.#closing !== undefined || this.#link?.isAlive !== true) return;
    try {
      await this.call(call, {}, { handle });
    } catch (error) {
      this.#options.log.debug({ call: call.name, error: toAppError(error).code }, 'handle was not given up');
    }
  }

  /** Lets calls in flight end within their limits, disconnects, and ends the process. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopped.abort();
    const link = await (this.#starting ?? Promise.resolve(this.#link)).catch(() => undefined);
    if (link === undefined || !link.isAlive) return;
    try {
      const limit = { timeoutMs: this.#options.operationTimeoutMs + GRACE_MS, what: shutdownCall.name };
      await withTimeout(this.#options.clock, limit, (signal) => this.#request(link, shutdownCall, {}, { handle: undefined, signal }));
    } catch (error) {
      this.#options.log.debug({ error: toAppError(error).code }, 'the connection to Ceph did not end in time');
    } finally {
      link.kill();
      await link.ended;
    }
  }

  async #request<Args, Result>(link: ChildLink, call: Call<Args, Result>, args: Args, options: { handle: number | undefined; signal: AbortSignal }): Promise<unknown> {
    try {
      this.#lastId += 1;
      return await link.request(this.#lastId, call, args, options);
    } catch (error) {
      // A blocklisted client stays so for the life of its connection, also when its address is forgiven.
      if (errnoOf(error) === BLOCKLISTED) link.kill();
      throw error;
    }
  }

  async #current(): Promise<ChildLink> {
    if (this.#link?.isAlive === true) return this.#link;
    this.#starting ??= this.#startLater().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  async #startLater(): Promise<ChildLink> {
    const { clock } = this.#options;
    if (this.#failures > 0) await delay(clock, Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** (this.#failures - 1)), this.#stopped.signal);
    this.#failures += 1;
    const link = new ChildLink(() => this.#replace(link));
    try {
      await this.#connect(link);
    } catch (error) {
      link.kill();
      await link.ended;
      throw error;
    }
    const connectedMs = clock.monotonicMs();
    this.#link = link;
    void link.ended.then((end) => {
      if (clock.monotonicMs() - connectedMs >= SOUND_MS) this.#failures = 0;
      if (this.#closing === undefined) this.#options.log.warn({ ...end }, 'the process that speaks to Ceph has ended; it is begun again with the next call');
    });
    return link;
  }

  async #connect(link: ChildLink): Promise<void> {
    const { clock, connectTimeoutMs, client, configFile, settings } = this.#options;
    const limit = { timeoutMs: connectTimeoutMs + GRACE_MS, what: connectCall.name };
    await withTimeout(clock, limit, (signal) => this.#request(link, connectCall, { client, configFile, settings }, { handle: undefined, signal }));
  }

  #replace(link: ChildLink): void {
    this.#options.log.warn({ pid: link.pid }, 'too many calls to Ceph never end; their process is begun again');
    link.kill();
  }
}

/** What a time that is over means for the call: before it was sent nothing was done, after that nobody knows what a write did. */
function toOutcome(error: unknown, effect: 'read' | 'write', isSent: boolean): unknown {
  if (!isAppError(error, 'timeout')) return error;
  if (!isSent) return new AppError('unavailable', 'Ceph cannot be reached', error.details, { cause: error });
  return effect === 'write' ? new AppError('unknown-outcome', 'no answer from Ceph within the time limit', error.details, { cause: error }) : error;
}

function parseResult<Args, Result>(call: Call<Args, Result>, value: unknown): Result {
  const parsed = call.result.safeParse(value);
  if (!parsed.success) throw new AppError('bug', 'unexpected answer of the process that speaks to Ceph', { call: call.name }, { cause: parsed.error });
  return parsed.data;
}
