import { expect, test } from 'vitest';
import { VirtualClock } from '../test/support/virtual-clock.ts';
import { delay } from './clock.ts';
import { AppError } from './errors.ts';
import { silentLogger } from './log.ts';
import { SweepLoop } from './sweep-loop.ts';

function aLoop(work: (clock: VirtualClock, signal: AbortSignal, count: number) => Promise<void>) {
  const clock = new VirtualClock();
  const warnings: object[] = [];
  const state = { begun: 0, ended: 0 };
  const sweep = async (signal: AbortSignal): Promise<void> => {
    state.begun += 1;
    await work(clock, signal, state.begun);
    state.ended += 1;
  };
  const log = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
  return { clock, state, warnings, loop: new SweepLoop({ clock, log, intervalMs: 1_000, name: 'test', sweep }) };
}

test('the first sweep comes after the interval, and the next one an interval after its end', async () => {
  const { clock, state, loop } = aLoop((time, signal) => delay(time, 500, signal));
  loop.start();
  loop.start();
  await clock.advance(999);
  expect(state).toEqual({ begun: 0, ended: 0 });
  await clock.advance(1_000);
  expect(state).toEqual({ begun: 1, ended: 1 });
  await clock.advance(600);
  expect(state).toEqual({ begun: 2, ended: 1 });
  await loop.stop();
});

test('a sweep that fails is told of, and the next one is tried', async () => {
  const { clock, state, warnings, loop } = aLoop((_time, _signal, count) => (count === 1 ? Promise.reject(new AppError('unavailable', 'not now')) : Promise.resolve()));
  loop.start();
  await clock.advance(2_100);
  expect([state, warnings]).toEqual([{ begun: 2, ended: 1 }, [expect.objectContaining({ name: 'test' })]]);
  await loop.stop();
});

test('once it is stopped nothing is swept, and a sweep under way was told to end', async () => {
  const { clock, state, warnings, loop } = aLoop((time, signal) => delay(time, 3_600_000, signal));
  loop.start();
  await clock.advance(1_100);
  await loop.stop();
  await loop.stop();
  await clock.advance(10_000);
  expect([state, warnings]).toEqual([{ begun: 1, ended: 0 }, []]);
});
