import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { AppError } from '../errors.ts';
import { silentLogger } from '../log.ts';
import { backoffMs } from './backoff.ts';
import { DONE, type Outcome } from './reconciler.ts';
import { WorkQueue } from './work-queue.ts';

function aQueue(work: (key: string, signal: AbortSignal) => Promise<Outcome>, workers = 2) {
  const clock = new VirtualClock();
  const queue = new WorkQueue({ clock, log: silentLogger, work, workers, jitter: () => 1 });
  return { clock, queue };
}

test('a key added many times before its turn is worked on once', async () => {
  const seen: string[] = [];
  const { clock, queue } = aQueue(async (key) => {
    seen.push(key);
    return DONE;
  });
  for (let count = 0; count < 100; count += 1) queue.add('a');
  queue.start();
  await clock.settle();
  expect(seen).toEqual(['a']);
});

test('a key added during its work is worked on once more, and never by two workers at a time', async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  const { clock, queue } = aQueue(async () => {
    runs += 1;
    running += 1;
    most = Math.max(most, running);
    if (runs === 1) for (let count = 0; count < 10; count += 1) queue.add('a');
    await new Promise<void>((resolve) => clock.after(100, resolve));
    running -= 1;
    return DONE;
  });
  queue.start();
  queue.add('a');
  await clock.advance(1_000);
  expect({ runs, most }).toEqual({ runs: 2, most: 1 });
});

test('no more keys are in work than there are workers', async () => {
  let running = 0;
  let most = 0;
  const { clock, queue } = aQueue(async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => clock.after(10, resolve));
    running -= 1;
    return DONE;
  }, 3);
  queue.start();
  for (let index = 0; index < 20; index += 1) queue.add(`k${index}`);
  await clock.advance(1_000);
  expect(most).toBe(3);
  expect(queue.counts()).toEqual({ queued: 0, running: 0, waiting: 0, failing: 0 });
});

test('a retryable failure is repeated with growing waits and a success forgets them', async () => {
  const atMs: number[] = [];
  const { clock, queue } = aQueue(async () => {
    atMs.push(clock.monotonicMs());
    if (atMs.length <= 4) throw new AppError('component', 'tool failed');
    return DONE;
  });
  queue.start();
  queue.add('a');
  await clock.advance(60_000);
  expect(atMs).toEqual([0, 500, 1_500, 3_500, 7_500]);
  expect(queue.counts().failing).toBe(0);
});

test('a failure that no repetition can cure waits for the next change', async () => {
  let runs = 0;
  const { clock, queue } = aQueue(async () => {
    runs += 1;
    throw new AppError('invalid', 'spec is wrong');
  });
  queue.start();
  queue.add('a');
  await clock.advance(3_600_000);
  expect(runs).toBe(1);
  queue.add('a');
  await clock.advance(3_600_000);
  expect(runs).toBe(2);
});

test('a worker that fails and causes a change each time does not spin', async () => {
  let runs = 0;
  const { clock, queue } = aQueue(async () => {
    runs += 1;
    queue.add('a');
    throw new AppError('component', 'tool failed');
  });
  queue.start();
  queue.add('a');
  await clock.advance(10_000);
  expect(runs).toBeGreaterThan(5);
  expect(runs).toBeLessThanOrEqual(21);
});

test('a change shortens a long back-off to the shortest one', async () => {
  const atMs: number[] = [];
  const { clock, queue } = aQueue(async () => {
    atMs.push(clock.monotonicMs());
    throw new AppError('component', 'tool failed');
  });
  queue.start();
  queue.add('a');
  await clock.advance(20_000);
  expect(atMs.at(-1)).toBe(15_500);
  queue.add('a');
  await clock.settle();
  expect(atMs.at(-1)).toBe(20_000);
});

test('a recheck runs after its time, and a change runs at once instead', async () => {
  const atMs: number[] = [];
  const { clock, queue } = aQueue(async () => {
    atMs.push(clock.monotonicMs());
    return { kind: 'recheck', afterMs: 2_000, why: 'not yet' };
  });
  queue.start();
  queue.add('a');
  await clock.advance(2_500);
  queue.add('a');
  await clock.advance(2_100);
  expect(atMs).toEqual([0, 2_000, 2_500, 4_500]);
});

test('stop aborts the running work, waits for its end and keeps what was not done', async () => {
  let ended = false;
  const { clock, queue } = aQueue(async (key, signal) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => clock.after(50, resolve)));
    ended = key === 'a';
    throw new AppError('cancelled', 'stopped');
  }, 1);
  queue.start();
  queue.add('a');
  queue.add('b');
  await clock.settle();
  const stopped = queue.stop();
  await clock.advance(100);
  await stopped;
  expect(ended).toBe(true);
  expect(queue.counts()).toMatchObject({ queued: 2, running: 0, waiting: 0 });
  await clock.advance(10_000);
  expect(clock.timerCount).toBe(0);
});

test('the back-off doubles up to its limit and jitter takes at most half of it away', () => {
  const limits = { baseMs: 100, maxMs: 1_000 };
  expect([1, 2, 3, 4, 5, 50].map((failures) => backoffMs(limits, failures, 1))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(backoffMs(limits, 3, 0)).toBe(200);
});
