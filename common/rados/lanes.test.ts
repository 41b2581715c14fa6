import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import type { Lane } from './call.ts';
import { Lanes, THREADS, type Job } from './lanes.ts';
import type { FromWorker } from './message.ts';

/** Threads that answer when they are told to. */
class Bench {
  readonly begun: number[] = [];
  readonly answered: number[] = [];
  readonly clock = new VirtualClock();
  threads = 0;
  ended = 0;
  stuck = 0;
  readonly lanes: Lanes;
  readonly #answers = new Map<number, (answer: FromWorker) => void>();

  constructor() {
    this.lanes = new Lanes({
      clock: this.clock,
      startThread: (onAnswer) => {
        this.threads += 1;
        return {
          post: (job) => {
            this.begun.push(job.request.id);
            this.#answers.set(job.request.id, onAnswer);
          },
          end: () => (this.ended += 1),
        };
      },
      onAnswer: (answer) => answer.kind === 'done' && this.answered.push(answer.id),
      onStuck: () => (this.stuck += 1),
    });
  }

  submit(id: number, lane: Lane = 'image', key?: string): void {
    const job: Job = { request: { kind: 'call', id, call: 'c', lane, args: {}, ...(key === undefined ? {} : { key }) }, handle: 0n };
    this.lanes.submit(job);
  }

  end(id: number): void {
    this.#answers.get(id)?.({ kind: 'done', id, result: undefined });
  }
}

test('a full lane keeps no other lane waiting', () => {
  const bench = new Bench();
  for (let id = 1; id <= THREADS.image + 2; id += 1) bench.submit(id);
  expect(bench.begun).toHaveLength(THREADS.image);
  bench.submit(100, 'mon');
  expect(bench.begun).toContain(100);
  bench.end(1);
  expect(bench.begun).toContain(THREADS.image + 1);
  expect(bench.threads).toBe(THREADS.image + 1);
});

test('calls of one key follow each other, others go past them', () => {
  const bench = new Bench();
  bench.submit(1, 'image', 'a');
  bench.submit(2, 'image', 'a');
  bench.submit(3, 'image', 'b');
  expect(bench.begun).toEqual([1, 3]);
  bench.end(1);
  expect(bench.begun).toEqual([1, 3, 2]);
});

test('a cancelled call that waits is never begun', () => {
  const bench = new Bench();
  bench.submit(1, 'image', 'a');
  bench.submit(2, 'image', 'a');
  expect(bench.lanes.cancel(2)).toMatchObject({ isBegun: false, request: { id: 2 } });
  expect(bench.lanes.cancel(2)).toBeUndefined();
  bench.end(1);
  expect(bench.begun).toEqual([1]);
  expect(bench.lanes.jobCount).toBe(0);
});

test('a cancelled call that runs lets the next one have a thread, but not one of its key', () => {
  const bench = new Bench();
  for (let id = 1; id <= THREADS.mon; id += 1) bench.submit(id, 'mon', `k${id}`);
  bench.submit(50, 'mon', 'k1');
  bench.submit(51, 'mon');
  expect(bench.lanes.cancel(1)).toMatchObject({ isBegun: true, request: { id: 1 } });
  expect(bench.begun).toEqual([1, 2, 51]);
  bench.end(1);
  expect(bench.answered).toEqual([1]);
  expect(bench.begun).toEqual([1, 2, 51, 50]);
  bench.end(2);
  bench.end(50);
  bench.end(51);
  bench.submit(60, 'mon');
  expect(bench.threads).toBe(THREADS.mon + 1);
});

test('a call that gives up a handle is not cancelled', () => {
  const bench = new Bench();
  bench.submit(1, 'image', 'a');
  bench.lanes.submit({ request: { kind: 'call', id: 2, call: 'c', lane: 'image', key: 'a', role: 'close', args: {} }, handle: 1n });
  expect(bench.lanes.cancel(2)).toBeUndefined();
  bench.end(1);
  expect(bench.begun).toEqual([1, 2]);
});

test('too many calls that never end are told', () => {
  const bench = new Bench();
  for (let id = 1; id <= 25; id += 1) {
    bench.submit(id);
    bench.lanes.cancel(id);
  }
  expect(bench.stuck).toBe(1);
});

test('a queue has an end', () => {
  const bench = new Bench();
  for (let id = 1; id <= 2_048 + THREADS.mon; id += 1) bench.submit(id, 'mon');
  expect(() => bench.submit(9_999, 'mon')).toThrow(expect.objectContaining({ code: 'unavailable' }));
});

test('threads of a burst end when nobody needs them, but for one', async () => {
  const bench = new Bench();
  for (let id = 1; id <= 5; id += 1) bench.submit(id);
  for (let id = 1; id <= 5; id += 1) bench.end(id);
  await bench.clock.advance(20_000);
  bench.submit(6);
  await bench.clock.advance(20_000);
  // The one with a call stays, those that did nothing for 30 s went.
  expect(bench.ended).toBe(4);
  bench.end(6);
  await bench.clock.advance(60_000);
  expect(bench.ended).toBe(4);
  bench.submit(7);
  expect(bench.threads).toBe(5);
});
