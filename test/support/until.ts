import { delay, systemClock } from '../../common/clock.ts';

/** How often a condition is looked at. */
const POLL_MS = 5;

/** Resolves as soon as `condition` holds; fails after `limitMs` of real time. */
export async function until(condition: () => boolean | Promise<boolean>, limitMs: number, what = 'condition'): Promise<void> {
  const endMs = systemClock.monotonicMs() + limitMs;
  for (;;) {
    if (await condition()) return;
    if (systemClock.monotonicMs() > endMs) throw new Error(`${what} did not hold within ${limitMs} ms`);
    await delay(systemClock, POLL_MS);
  }
}
