import type { Clock, Timer } from '../clock.ts';
import { describeError, isRetryable, toAppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { BACKOFF_DEFAULT, backoffMs, type BackoffLimits } from './backoff.ts';
import type { Outcome } from './reconciler.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly work: (key: string, signal: AbortSignal) => Promise<Outcome>;
  /** Keys worked on at a time. */
  readonly workers: number;
  /** From 0 to 1; Math.random in a daemon, a seeded choice in the simulator. */
  readonly jitter: () => number;
  readonly backoff?: BackoffLimits;
}

export interface WorkQueueCounts {
  readonly queued: number;
  readonly running: number;
  /** Keys that wait for a recheck or a repetition. */
  readonly waiting: number;
  /** Keys whose last run failed. */
  readonly failing: number;
}

interface Wait {
  readonly timer: Timer;
  /** A change ends a recheck at once, a back-off not before this time: a failing worker that causes changes itself must not spin. */
  readonly earliestMs: number;
}

/**
 * Keys to work on: each at most once in the queue and once in work; a key added while it is in work is worked on once more.
 * A change (`add`) is never lost, however many coalesce.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #backoff: BackoffLimits;
  readonly #queued = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #waits = new Map<string, Wait>();
  readonly #failures = new Map<string, number>();
  #stopping: AbortController | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? BACKOFF_DEFAULT;
  }

  /** Begins to work, also on what was added before. */
  start(): void {
    this.#stopping ??= new AbortController();
    this.#pump();
  }

  /** Begins nothing more, tells the running work to end, and resolves when it has. Waits are forgotten, queued keys are kept. */
  async stop(): Promise<void> {
    const stopping = this.#stopping;
    this.#stopping = undefined;
    for (const wait of this.#waits.values()) wait.timer.cancel();
    this.#waits.clear();
    stopping?.abort();
    await Promise.all(this.#running.values());
  }

  /** Something about `key` may have changed. */
  add(key: string): void {
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    const wait = this.#waits.get(key);
    const nowMs = this.#options.clock.monotonicMs();
    if (wait !== undefined && wait.earliestMs > nowMs) {
      this.#wait(key, wait.earliestMs - nowMs, wait.earliestMs);
      return;
    }
    this.#forgetWait(key);
    this.#queued.add(key);
    this.#pump();
  }

  counts(): WorkQueueCounts {
    return { queued: this.#queued.size, running: this.#running.size, waiting: this.#waits.size, failing: this.#failures.size };
  }

  #pump(): void {
    const stopping = this.#stopping;
    if (stopping === undefined) return;
    for (const key of this.#queued) {
      if (this.#running.size >= this.#options.workers) return;
      this.#queued.delete(key);
      this.#running.set(key, this.#run(key, stopping.signal));
    }
  }

  async #run(key: string, signal: AbortSignal): Promise<void> {
    // The caller has to record this run before the work can add the key again.
    await Promise.resolve();
    try {
      const outcome = await this.#options.work(key, signal);
      this.#ended(key, signal, () => this.#succeeded(key, outcome));
    } catch (error) {
      this.#ended(key, signal, () => this.#failed(key, error));
    }
  }

  #ended(key: string, signal: AbortSignal, decide: () => void): void {
    this.#running.delete(key);
    if (signal.aborted) {
      this.#again.delete(key);
      this.#queued.add(key);
    } else {
      decide();
    }
    this.#pump();
  }

  #succeeded(key: string, outcome: Outcome): void {
    this.#failures.delete(key);
    if (this.#again.delete(key)) {
      this.#queued.add(key);
      return;
    }
    if (outcome.kind === 'done') return;
    this.#options.log.debug({ key, afterMs: outcome.afterMs, why: outcome.why }, 'work will look again');
    this.#wait(key, outcome.afterMs, 0);
  }

  #failed(key: string, error: unknown): void {
    const known = toAppError(error);
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const changed = this.#again.delete(key);
    const fields = { key, code: known.code, error: describeError(known), cause: known.cause, failures };
    if (!changed && !isRetryable(known.code)) {
      this.#options.log.error(fields, 'work failed and waits for a change');
      return;
    }
    const fullMs = changed ? this.#backoff.baseMs : backoffMs(this.#backoff, failures, this.#options.jitter());
    this.#options.log.warn({ ...fields, afterMs: fullMs }, 'work failed and will be tried again');
    this.#wait(key, fullMs, this.#options.clock.monotonicMs() + Math.min(fullMs, this.#backoff.baseMs));
  }

  #wait(key: string, afterMs: number, earliestMs: number): void {
    this.#forgetWait(key);
    const timer = this.#options.clock.after(afterMs, () => {
      this.#waits.delete(key);
      this.#queued.add(key);
      this.#pump();
    });
    this.#waits.set(key, { timer, earliestMs });
  }

  #forgetWait(key: string): void {
    this.#waits.get(key)?.timer.cancel();
    this.#waits.delete(key);
  }
}
