export interface BackoffLimits {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Half a second lets a conflict or a restart pass; half a minute is what an operator waits after repairing something. */
export const BACKOFF_DEFAULT: BackoffLimits = { baseMs: 500, maxMs: 30_000 };

/**
 * Time to wait after `failures` failures in a row (from 1), doubling from `baseMs` to `maxMs`.
 * @param jitter from 0 to 1: how much of the upper half of the wait is taken, so that many waits do not end together.
 */
export function backoffMs(limits: BackoffLimits, failures: number, jitter: number): number {
  const fullMs = Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(fullMs / 2 + (fullMs / 2) * jitter);
}
