import { delay } from '../../common/clock.ts';
import { AppError, describeError } from '../../common/errors.ts';
import { LibvirtConnection, type CallLimit, type ConnectionDeps } from '../../common/libvirt/connection.ts';
import type { LibvirtEvent } from '../../common/libvirt/procedures.ts';
import type { Logger } from '../../common/log.ts';

/** First wait before another attempt; it doubles up to the longest. libvirtd restarts within a second. */
const BACKOFF_MS = { first: 200, longest: 10_000 } as const;

const SUBSCRIBE_LIMIT: CallLimit = { timeoutMs: 15_000 };

export interface SessionListener {
  event(event: LibvirtEvent): void;
  /** Not told of the end that `stop` makes. */
  state(state: 'connected' | 'lost'): void;
}

/** A connection with events that is opened again, with back-off, whenever it is lost. */
export class LibvirtSession {
  readonly #deps: ConnectionDeps & { log: Logger };
  readonly #listener: SessionListener;
  readonly #stopping = new AbortController();
  #connection: LibvirtConnection | undefined;
  #loop: Promise<void> | undefined;

  constructor(deps: ConnectionDeps & { log: Logger }, listener: SessionListener) {
    this.#deps = deps;
    this.#listener = listener;
  }

  /** Resolves after the first attempt, whether it succeeded or not; goes on trying until `stop` or until `signal` aborts. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#loop !== undefined) return;
    signal.addEventListener('abort', () => this.#stopping.abort(), { once: true });
    if (signal.aborted) this.#stopping.abort();
    await new Promise<void>((resolve) => {
      this.#loop = this.#run(resolve);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#connection?.close();
    await this.#loop;
  }

  /** @throws AppError 'unavailable' while there is no connection. */
  connection(): LibvirtConnection {
    if (this.#connection === undefined) throw new AppError('unavailable', 'libvirt is not connected');
    return this.#connection;
  }

  async #run(firstAttemptOver: () => void): Promise<void> {
    const { clock } = this.#deps;
    const signal = this.#stopping.signal;
    let waitMs: number = BACKOFF_MS.first;
    while (!signal.aborted) {
      const opened = await this.#connect(signal);
      firstAttemptOver();
      if (opened !== undefined) {
        waitMs = BACKOFF_MS.first;
        await opened.closed;
        this.#connection = undefined;
        if (!signal.aborted) this.#listener.state('lost');
      }
      // Only the end of the session cancels this wait, and the loop's condition sees that.
      await delay(clock, waitMs, signal).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, BACKOFF_MS.longest);
    }
    firstAttemptOver();
  }

  /** A promise of the connection's end, undefined when it could not be opened. */
  async #connect(signal: AbortSignal): Promise<{ closed: Promise<void> } | undefined> {
    try {
      const connection = await LibvirtConnection.open(this.#deps, signal);
      const closed = new Promise<void>((resolve) => {
        connection.listen({ closed: () => resolve(), event: (event) => this.#listener.event(event) });
      });
      await connection.subscribe({ ...SUBSCRIBE_LIMIT, signal }).catch((error: unknown) => {
        connection.close();
        throw error;
      });
      this.#connection = connection;
      this.#listener.state('connected');
      return { closed };
    } catch (error) {
      if (!signal.aborted) this.#deps.log.warn({ reason: describeError(error) }, 'libvirt cannot be connected, trying again');
      return undefined;
    }
  }
}

/** A connection without events that is opened when it is needed and kept. */
export class OnDemandConnection {
  readonly #deps: ConnectionDeps;
  #connection: Promise<LibvirtConnection> | undefined;
  #stopped = false;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
  }

  /** @throws as LibvirtConnection.open; 'cancelled' after `stop`. */
  async get(): Promise<LibvirtConnection> {
    if (this.#stopped) throw new AppError('cancelled', 'the hypervisor driver was stopped');
    this.#connection ??= this.#open();
    return this.#connection;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const connection = this.#connection;
    this.#connection = undefined;
    // A connection that could not be opened needs no end.
    await connection?.then((open) => open.close()).catch(() => undefined);
  }

  async #open(): Promise<LibvirtConnection> {
    try {
      const connection = await LibvirtConnection.open(this.#deps);
      connection.listen({ closed: () => this.#forget() });
      return connection;
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  #forget(): void {
    this.#connection = undefined;
  }
}
