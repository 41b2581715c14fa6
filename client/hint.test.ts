import { expect, test } from 'vitest';
import { holdingClock, type Clock } from '../common/clock.ts';
import { Hint } from './hint.ts';

/** Counts the timers that would still keep a program alive. */
function countingClock(): Clock & { running: Set<symbol> } {
  const running = new Set<symbol>();
  return {
    ...holdingClock,
    running,
    after: (delayMs, callback) => {
      const id = Symbol('timer');
      running.add(id);
      const timer = holdingClock.after(delayMs, () => {
        running.delete(id);
        callback();
      });
      return {
        cancel: () => {
          running.delete(id);
          timer.cancel();
        },
      };
    },
  };
}

test('however a wait ends, no timer of it goes on', async () => {
  const clock = countingClock();
  const hint = new Hint();
  const over = new AbortController();
  const given = hint.wait(clock, 60_000, over.signal);
  hint.give();
  await given;
  await hint.wait(clock, 1, over.signal);
  const aborted = hint.wait(clock, 60_000, over.signal);
  expect(clock.running.size).toBe(1);
  over.abort();
  await aborted;
  expect(clock.running.size).toBe(0);
});
