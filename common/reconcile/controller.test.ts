import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { silentLogger } from '../log.ts';
import { Controller } from './controller.ts';
import { DONE } from './reconciler.ts';

function aController(keys: () => Iterable<string>) {
  const clock = new VirtualClock();
  const runs: string[] = [];
  const subscribers = new Set<(key: string) => void>();
  const controller = new Controller({
    name: 'thing',
    clock,
    log: silentLogger,
    reconciler: {
      reconcile: async (key) => {
        runs.push(key);
        return DONE;
      },
    },
    sources: [
      (enqueue) => {
        subscribers.add(enqueue);
        return () => subscribers.delete(enqueue);
      },
    ],
    keys,
    workers: 4,
    resyncMs: 60_000,
    jitter: () => 0.5,
  });
  return { clock, runs, subscribers, controller };
}

test('every key is looked at on start and by each sweep, and one key when its source says so', async () => {
  const { clock, runs, subscribers, controller } = aController(() => ['a', 'b']);
  controller.start();
  controller.start();
  await clock.settle();
  expect(runs).toEqual(['a', 'b']);
  for (const tell of subscribers) tell('b');
  await clock.settle();
  expect(runs).toEqual(['a', 'b', 'b']);
  await clock.advance(60_000);
  expect(runs).toEqual(['a', 'b', 'b', 'a', 'b']);
  await controller.stop();
});

test('a stopped controller listens to nothing and leaves no timer', async () => {
  const { clock, runs, subscribers, controller } = aController(() => ['a']);
  controller.start();
  await clock.settle();
  await controller.stop();
  await controller.stop();
  controller.enqueue('a');
  await clock.advance(600_000);
  expect(runs).toEqual(['a']);
  expect(subscribers.size).toBe(0);
  expect(clock.timerCount).toBe(0);
});
