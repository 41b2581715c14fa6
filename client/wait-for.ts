import { z } from 'zod';
import { delay, withTimeout } from '../common/clock.ts';
import { ClientError, toClientError } from './client-error.ts';
import { callOptionsSchema, type Connection } from './connection.ts';
import { eventStream, type EventFilter } from './event-stream.ts';
import { Hint } from './hint.ts';
import { parseArguments } from './parse-arguments.ts';

/** As long as the API itself would wait. */
const LIMIT_MS = 600_000;
/** How often is looked while no event stream is open. */
const POLL_MS = 2_000;
/** How often is looked although one is: it proves that no event was missed. */
const SWEEP_MS = 30_000;

const waitOptions = callOptionsSchema.omit({ timeoutMs: true }).extend({
  limitMs: z.int().min(1).max(2 ** 31 - 1).optional(),
  pollMs: z.int().min(1).max(SWEEP_MS).optional(),
  onProgress: z.custom<(seen: unknown) => void>((value) => typeof value === 'function', 'must be a function').optional(),
});

export interface WaitOptions<T> {
  /** Longest wait in milliseconds; ten minutes when missing. */
  limitMs?: number | undefined;
  /** Milliseconds between two looks where the API serves no events; 2 s when missing. */
  pollMs?: number | undefined;
  /** Ends the wait; it rejects with kind `aborted`. */
  signal?: AbortSignal | undefined;
  /** Told what was seen, first and after each change. */
  onProgress?: ((seen: T) => void) | undefined;
}

export interface Wait<T> {
  /** What is waited for, as it stands in the error. */
  what: string;
  /** The events after which it is worth a look. */
  filter: EventFilter;
  look(signal: AbortSignal): Promise<T>;
  /** @throws ClientError 'outcome' when it will not come any more. */
  isDone(seen: T): boolean;
}

/**
 * Looks at once, after each event and from time to time until it is done. An API that cannot be reached is waited for, unless it could not
 * be reached the first time.
 * @returns what was seen last.
 * @throws ClientError: 'timeout', 'aborted', 'outcome', and whatever a look throws.
 */
export async function waitFor<T>(connection: Connection, wait: Wait<T>, options: WaitOptions<T>): Promise<T> {
  try {
    const { limitMs, signal } = parseArguments(waitOptions, options);
    return await withTimeout(connection.clock, { what: wait.what, timeoutMs: limitMs ?? LIMIT_MS, signal }, (limit) => followed(connection, wait, { ...options, limit }));
  } catch (error) {
    throw toClientError(error);
  }
}

async function followed<T>(connection: Connection, wait: Wait<T>, options: WaitOptions<T> & { limit: AbortSignal }): Promise<T> {
  const { limit, pollMs = POLL_MS } = options;
  const over = new AbortController();
  const end = (): void => over.abort();
  limit.addEventListener('abort', end, { once: true });
  const following = new Following(connection, { filter: wait.filter, pollMs, signal: over.signal });
  const running = following.run();
  try {
    return await lookUntil(connection, wait, { ...options, following, signal: over.signal, pollMs });
  } finally {
    limit.removeEventListener('abort', end);
    over.abort();
    await running;
  }
}

interface Looking<T> {
  following: Following;
  signal: AbortSignal;
  pollMs: number;
  onProgress?: ((seen: T) => void) | undefined;
}

async function lookUntil<T>(connection: Connection, wait: Wait<T>, { following, signal, pollMs, onProgress }: Looking<T>): Promise<T> {
  let last: string | undefined;
  for (;;) {
    const seen = await looked(wait, signal, last !== undefined);
    if (seen !== undefined) {
      const text = JSON.stringify(seen);
      if (text !== last) onProgress?.(seen);
      last = text;
      if (wait.isDone(seen)) return seen;
    }
    await following.hint.wait(connection.clock, following.isOpen ? SWEEP_MS : pollMs, signal);
    if (signal.aborted) throw new ClientError('aborted', 'the wait is over');
  }
}

/** Undefined when the API could not be reached, and could before. */
async function looked<T>(wait: Wait<T>, signal: AbortSignal, before: boolean): Promise<T | undefined> {
  try {
    return await wait.look(signal);
  } catch (error) {
    const { kind, status } = toClientError(error);
    if (before && !signal.aborted && (kind === 'connection' || kind === 'timeout' || (status !== undefined && AWAY.includes(status)))) return undefined;
    throw error;
  }
}

/** A proxy's words for an API that is not there now. */
const AWAY = [502, 503, 504];

/** Turns events into hints for as long as the wait lasts. What goes wrong with the stream is made up for by looking more often. */
class Following {
  readonly hint = new Hint();
  readonly #connection: Connection;
  readonly #given: { filter: EventFilter; pollMs: number; signal: AbortSignal };
  #open = false;

  constructor(connection: Connection, given: { filter: EventFilter; pollMs: number; signal: AbortSignal }) {
    this.#connection = connection;
    this.#given = given;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Resolves when the wait is over. */
  async run(): Promise<void> {
    const { signal, pollMs } = this.#given;
    while (!signal.aborted) {
      await this.#follow();
      this.#open = false;
      this.hint.give();
      await delay(this.#connection.clock, pollMs, signal).catch(settled);
    }
  }

  async #follow(): Promise<void> {
    const { filter, signal } = this.#given;
    try {
      const stream = eventStream(this.#connection, filter, { signal });
      while ((await stream.next()).done !== true) {
        this.#open = true;
        this.hint.give();
      }
    } catch (error) {
      settled(error);
    }
  }
}

/** The wait goes on without the stream, or is over; any other fault is one of ours. @throws what is no ClientError and no end of a delay. */
function settled(error: unknown): void {
  if (toClientError(error).kind === 'bug') throw error;
}
