import type { Clock, Timer } from '../common/clock.ts';
import { ClientError, toClientError } from './client-error.ts';

/** The API gives up after a minute, and says so. */
const IDLE_MS = 120_000;

export interface TransferOptions {
  /** Limit of the whole transfer, in milliseconds; none when missing. */
  timeoutMs?: number | undefined;
  /** Longest time in which the cluster sends or takes nothing, in milliseconds; two minutes when missing. */
  idleMs?: number | undefined;
  /** Ends the transfer; it fails with kind `aborted`. */
  signal?: AbortSignal | undefined;
  /** Told how many bytes have gone so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** The limits of a transfer. Time in which the other end is not waited for does not count as idle. */
export class TransferLimits {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #outer: AbortSignal | undefined;
  readonly #over = new AbortController();
  readonly #total: Timer | undefined;
  readonly #onAbort = (): void => this.#fail(new ClientError('aborted', 'the call was aborted'));
  #idle: Timer | undefined;
  #why: ClientError | undefined;

  constructor(clock: Clock, { timeoutMs, idleMs = IDLE_MS, signal }: TransferOptions) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#outer = signal;
    if (timeoutMs !== undefined) this.#total = clock.after(timeoutMs, () => this.#fail(new ClientError('timeout', 'the time limit is over', { details: [`timeoutMs: ${timeoutMs}`] })));
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
    else this.wait();
  }

  /** Aborts when a limit is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** From now on the other end is waited for. */
  wait(): void {
    this.rest();
    const idleMs = this.#idleMs;
    this.#idle = this.#clock.after(idleMs, () => this.#fail(new ClientError('timeout', 'nothing has moved for too long', { details: [`idleMs: ${idleMs}`] })));
  }

  /** The other end has done what was waited for. */
  rest(): void {
    this.#idle?.cancel();
  }

  /** What the failure is told as: by the limit that was over, if one was. */
  tell(error: unknown): ClientError {
    return this.#why ?? toClientError(error);
  }

  end(): void {
    this.rest();
    this.#total?.cancel();
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }

  #fail(why: ClientError): void {
    this.#why ??= why;
    this.#over.abort();
  }
}
