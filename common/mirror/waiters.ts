import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';

export interface WaitLimit {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Waiter {
  readonly satisfied: () => boolean;
  readonly end: (error?: AppError) => void;
}

/** Promises that wait for a condition on one path, looked at whenever the path was read. */
export class Waiters {
  readonly #clock: Clock;
  readonly #byPath = new Map<string, Set<Waiter>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws AppError 'timeout', 'cancelled'. */
  wait(path: string, satisfied: () => boolean, limit: WaitLimit): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.end(new AppError('cancelled', 'the wait was cancelled', { path }));
      const timer = this.#clock.after(limit.timeoutMs, () => {
        waiter.end(new AppError('timeout', 'mirror did not see the change in time', { path, timeoutMs: limit.timeoutMs }));
      });
      const waiter: Waiter = {
        satisfied,
        end: (error) => {
          timer.cancel();
          limit.signal?.removeEventListener('abort', onAbort);
          this.#forget(path, waiter);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#byPath.set(path, (this.#byPath.get(path) ?? new Set()).add(waiter));
      if (limit.signal?.aborted === true) onAbort();
      else limit.signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Ends the waits on `path` whose condition holds now. */
  check(path: string): void {
    for (const waiter of [...(this.#byPath.get(path) ?? [])]) if (waiter.satisfied()) waiter.end();
  }

  has(path: string): boolean {
    return this.#byPath.has(path);
  }

  /** Ends every wait with an error. */
  fail(error: AppError): void {
    for (const waiters of [...this.#byPath.values()]) for (const waiter of [...waiters]) waiter.end(error);
  }

  #forget(path: string, waiter: Waiter): void {
    const waiters = this.#byPath.get(path);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#byPath.delete(path);
  }
}
