import { expect, test } from 'vitest';
import { VirtualClock } from '../test/support/virtual-clock.ts';
import { delay, withTimeout } from './clock.ts';
import { AppError, isAppError } from './errors.ts';

const codeOf = (call: Promise<unknown>): Promise<string> => call.then(() => 'done', (error: unknown) => (isAppError(error) ? error.code : 'foreign'));
const forever = (): Promise<never> => new Promise(() => undefined);

test('work that takes too long fails with timeout and is told to stop', async () => {
  const clock = new VirtualClock();
  let told: AbortSignal | undefined;
  const code = codeOf(withTimeout(clock, { timeoutMs: 100, what: 'x' }, (signal) => ((told = signal), forever())));
  await clock.advance(99);
  expect(told?.aborted).toBe(false);
  await clock.advance(1);
  expect(await code).toBe('timeout');
  expect(told?.aborted).toBe(true);
});

test('an abort from outside is cancelled and not timeout, and the work is told to stop', async () => {
  const clock = new VirtualClock();
  const outer = new AbortController();
  let told: AbortSignal | undefined;
  const code = codeOf(withTimeout(clock, { timeoutMs: 100, what: 'x', signal: outer.signal }, (signal) => ((told = signal), forever())));
  outer.abort();
  expect(await code).toBe('cancelled');
  expect(told?.aborted).toBe(true);
});

test('work is not begun when the outer signal has aborted already', async () => {
  const clock = new VirtualClock();
  let begun = false;
  const work = async (): Promise<void> => void (begun = true);
  expect(await codeOf(withTimeout(clock, { timeoutMs: 100, what: 'x', signal: AbortSignal.abort() }, work))).toBe('cancelled');
  expect([begun, clock.timerCount]).toEqual([false, 0]);
});

test('the result and the failure of work pass through, and no timer is left', async () => {
  const clock = new VirtualClock();
  expect(await withTimeout(clock, { timeoutMs: 100, what: 'x' }, async () => 7)).toBe(7);
  const failing = withTimeout(clock, { timeoutMs: 100, what: 'x' }, () => Promise.reject(new AppError('state', 'no')));
  expect(await codeOf(failing)).toBe('state');
  await clock.settle();
  expect(clock.timerCount).toBe(0);
});

test('a delay ends at its time, or at once as cancelled, and leaves no timer', async () => {
  const clock = new VirtualClock();
  let over = false;
  void delay(clock, 50).then(() => (over = true));
  await clock.advance(49);
  expect(over).toBe(false);
  await clock.advance(1);
  expect(over).toBe(true);
  const outer = new AbortController();
  const code = codeOf(delay(clock, 50, outer.signal));
  outer.abort();
  expect(await code).toBe('cancelled');
  expect(await codeOf(delay(clock, 50, outer.signal))).toBe('cancelled');
  expect(clock.timerCount).toBe(0);
});
