import { AppError } from './errors.ts';

export interface Timer {
  cancel(): void;
}

/** The only source of time and timers, so that the simulator can hold both. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. For display and records only, never compared between hosts. */
  nowMs(): number;
  /** Milliseconds that only ever grow, from an arbitrary start. For measuring. */
  monotonicMs(): number;
  /** Runs `callback` once after `delayMs`. Timers do not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** For programs that have nothing else to live for while they wait: its timers keep the process alive. */
export const holdingClock: Clock = {
  ...systemClock,
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `delayMs`; rejects with 'cancelled' as soon as `signal` aborts. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(new AppError('cancelled', 'the wait was cancelled'));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(new AppError('cancelled', 'the wait was cancelled'));
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export interface Limit {
  timeoutMs: number;
  /** What is waited for, as it stands in the error. */
  what: string;
  signal?: AbortSignal | undefined;
}

/**
 * The result of `work`, which is told to stop through its signal when the time is over.
 * @throws AppError 'timeout' after `timeoutMs`, 'cancelled' when the outer signal aborts.
 */
export async function withTimeout<T>(clock: Clock, limit: Limit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const outer = limit.signal;
  return new Promise<T>((resolve, reject) => {
    const end = (error: AppError): void => {
      reject(error);
      controller.abort(error);
    };
    const onAbort = (): void => end(new AppError('cancelled', 'the call was cancelled', { what: limit.what }));
    const timer = clock.after(limit.timeoutMs, () =>
      end(new AppError('timeout', 'no answer within the time limit', { what: limit.what, timeoutMs: limit.timeoutMs })),
    );
    const settle = (): void => {
      timer.cancel();
      outer?.removeEventListener('abort', onAbort);
    };
    if (outer?.aborted === true) {
      settle();
      onAbort();
      return;
    }
    outer?.addEventListener('abort', onAbort, { once: true });
    work(controller.signal).then(resolve, reject).finally(settle);
  });
}
