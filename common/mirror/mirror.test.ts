import { afterEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { silentLogger, type Logger } from '../log.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { createMirror } from './mirror.ts';

const TABLE = {
  vm: { root: '/spec/vm', schema: z.strictObject({ name: z.string(), size: z.int() }), foundBy: 'name' },
  node: { root: '/spec/node', schema: z.strictObject({ up: z.boolean() }) },
} as const;

const never = new AbortController().signal;
const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function aCluster(log: Logger = silentLogger, latencyMs = () => 0) {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock, latencyMs });
  const writer = new MemoryStore({ zookeeper, clock, name: 'writer' });
  const store = new MemoryStore({ zookeeper, clock, name: 'reader' });
  await writer.start(never);
  await store.start(never);
  const mirror = createMirror({ store, table: TABLE, kinds: ['vm', 'node'], clock, log });
  cleanups.push(() => mirror.stop());
  const changes: string[] = [];
  mirror.onChange((kind, id) => changes.push(`${kind}/${id}`));
  return { clock, zookeeper, writer, store, mirror, changes };
}

test('start resolves when every document is there, and not before', async () => {
  const { clock, writer, mirror } = await aCluster(silentLogger, () => 5);
  const writing = Promise.all(Array.from({ length: 600 }, (_, index) => writer.create(`/spec/vm/v${index}`, { name: 'x', size: index })));
  await clock.advance(10_000);
  await writing;
  expect(mirror.staleForMs()).toBe(Number.POSITIVE_INFINITY);
  let started = false;
  const starting = mirror.start(never).then(() => (started = true));
  await clock.settle();
  expect(started).toBe(false);
  await clock.advance(1_000);
  await starting;
  expect(mirror.size('vm')).toBe(600);
  expect(mirror.get('vm', 'v599')).toMatchObject({ id: 'v599', doc: { size: 599 }, version: 0 });
  expect(mirror.staleForMs()).toBe(0);
});

test('documents are found by their field as it is now', async () => {
  const { clock, writer, mirror } = await aCluster();
  const found = (name: string): string[] => mirror.find('vm', name).map(({ id }) => id).sort();
  await writer.create('/spec/vm/a', { name: 'web', size: 1 });
  await mirror.start(never);
  expect([found('web'), found('a')]).toEqual([['a'], []]);
  await writer.create('/spec/vm/b', { name: 'web', size: 1 });
  await clock.settle();
  expect(found('web')).toEqual(['a', 'b']);
  await writer.update('/spec/vm/a', { name: 'www', size: 1 }, 0);
  await clock.settle();
  expect([found('web'), found('www')]).toEqual([['b'], ['a']]);
  await writer.update('/spec/vm/a', { name: 'www', size: 2 }, 1);
  await writer.remove('/spec/vm/b', 0);
  await clock.settle();
  expect([found('web'), found('www')]).toEqual([[], ['a']]);
  expect(mirror.find('vm', 'www')[0]?.doc.size).toBe(2);
  expect(mirror.find('node', 'web')).toEqual([]);
});

test('creations, changes and removals arrive and are told once each', async () => {
  const { clock, writer, mirror, changes } = await aCluster();
  await mirror.start(never);
  await writer.create('/spec/vm/a', { name: 'a', size: 1 });
  await clock.settle();
  expect(mirror.get('vm', 'a')?.doc.size).toBe(1);
  await writer.update('/spec/vm/a', { name: 'a', size: 2 }, 0);
  await clock.settle();
  expect(mirror.get('vm', 'a')).toMatchObject({ version: 1, doc: { size: 2 } });
  await writer.remove('/spec/vm/a', 1);
  await clock.settle();
  expect(mirror.get('vm', 'a')).toBeUndefined();
  expect(changes).toEqual(['vm/a', 'vm/a', 'vm/a']);
});

test('a document that was removed and created again at once is held with its new creation', async () => {
  const { clock, writer, mirror } = await aCluster();
  await mirror.start(never);
  const first = await writer.create('/spec/vm/a', { name: 'a', size: 1 });
  await clock.settle();
  await writer.remove('/spec/vm/a', 0);
  await writer.create('/spec/vm/a', { name: 'a', size: 2 });
  await clock.settle();
  expect(mirror.get('vm', 'a')).toMatchObject({ version: 0, doc: { size: 2 } });
  expect(mirror.get('vm', 'a')?.createdZxid).toBeGreaterThan(first.createdZxid);
});

test('a storm of changes coalesces and the last one is held', async () => {
  const { clock, writer, mirror, changes } = await aCluster(silentLogger, () => 3);
  const starting = mirror.start(never);
  await clock.advance(100);
  await starting;
  const storm = async (): Promise<void> => {
    await writer.create('/spec/vm/a', { name: 'a', size: 0 });
    for (let n = 1; n <= 500; n += 1) await writer.update('/spec/vm/a', { name: 'a', size: n }, n - 1);
  };
  const writing = storm();
  await clock.advance(10_000);
  await writing;
  expect(mirror.get('vm', 'a')).toMatchObject({ version: 500, doc: { size: 500 } });
  expect(changes.length).toBeLessThanOrEqual(501);
});

test('an invalid document is kept out, the last good one stays, and each bad change is logged once', async () => {
  const errors: unknown[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => errors.push(fields), child: () => log };
  const { clock, zookeeper, writer, mirror } = await aCluster(log);
  await writer.create('/spec/vm/bad', { name: 7 });
  await writer.create('/spec/vm/good', { name: 'good', size: 1 });
  await mirror.start(never);
  expect(mirror.get('vm', 'bad')).toBeUndefined();
  expect(mirror.invalid).toBe(1);
  await writer.update('/spec/vm/good', 'broken', 0);
  await clock.settle();
  expect(mirror.get('vm', 'good')).toMatchObject({ version: 0, doc: { size: 1 } });
  expect(mirror.invalid).toBe(2);
  zookeeper.expire('reader');
  await clock.settle();
  expect(errors).toHaveLength(2);
  await writer.update('/spec/vm/good', { name: 'good', size: 3 }, 1);
  await writer.remove('/spec/vm/bad', 0);
  await clock.settle();
  expect(mirror.invalid).toBe(0);
  expect(mirror.get('vm', 'good')?.doc.size).toBe(3);
});

test('what changed during a partition is found after it, whether the session lived or expired', async () => {
  for (const outageMs of [1_000, 60_000]) {
    const { clock, zookeeper, writer, mirror } = await aCluster();
    for (const id of ['kept', 'changed', 'removed']) await writer.create(`/spec/vm/${id}`, { name: id, size: 1 });
    await mirror.start(never);
    const freshness: boolean[] = [];
    mirror.onFreshness((fresh) => freshness.push(fresh));
    zookeeper.partition('reader');
    await writer.update('/spec/vm/changed', { name: 'changed', size: 2 }, 0);
    await writer.remove('/spec/vm/removed', 0);
    await writer.create('/spec/vm/created', { name: 'created', size: 1 });
    await clock.advance(outageMs);
    expect(mirror.staleForMs()).toBe(outageMs);
    expect(mirror.get('vm', 'removed')).toBeDefined();
    zookeeper.heal('reader');
    await clock.settle();
    expect([...mirror.all('vm').keys()].sort()).toEqual(['changed', 'created', 'kept']);
    expect(mirror.get('vm', 'changed')?.doc.size).toBe(2);
    expect(mirror.staleForMs()).toBe(0);
    expect(freshness).toEqual([false, true]);
    await writer.update('/spec/vm/kept', { name: 'kept', size: 9 }, 0);
    await clock.settle();
    expect(mirror.get('vm', 'kept')?.doc.size).toBe(9);
  }
});

test('a wait ends when the mirror holds the version or the document is gone, and not before', async () => {
  const { clock, writer, mirror } = await aCluster();
  await mirror.start(never);
  const waits: string[] = [];
  void mirror.waitFor('vm', 'a', 1, { timeoutMs: 5_000 }).then(() => waits.push('version 1'));
  await writer.create('/spec/vm/a', { name: 'a', size: 1 });
  await clock.settle();
  expect(waits).toEqual([]);
  await writer.update('/spec/vm/a', { name: 'a', size: 2 }, 0);
  await clock.settle();
  expect(waits).toEqual(['version 1']);
  void mirror.waitFor('vm', 'a', 'gone', { timeoutMs: 5_000 }).then(() => waits.push('gone'));
  await writer.remove('/spec/vm/a', 1);
  await clock.settle();
  expect(waits).toEqual(['version 1', 'gone']);
});

test('an own write is there once it is acknowledged, and is told once', async () => {
  const { clock, store, mirror, changes } = await aCluster(silentLogger, () => 5);
  const starting = mirror.start(never);
  await clock.advance(1_000);
  await starting;
  const reads = vi.spyOn(store, 'read');
  let held: unknown[] = [];
  const look = (): void => void (held = [...held, [mirror.get('vm', 'a')?.version, reads.mock.results.length]]);
  void store.create('/spec/vm/a', { name: 'a', size: 1 }).then(look);
  await clock.advance(1_000);
  void store.update('/spec/vm/a', { name: 'a', size: 2 }, 0).then(look);
  await clock.advance(1_000);
  expect(held).toEqual([[0, 1], [1, 2]]);
  expect(changes).toEqual(['vm/a', 'vm/a']);
  expect(mirror.find('vm', 'a')).toHaveLength(1);
});

test('a document of our own that somebody changes later is read as ever', async () => {
  const { clock, writer, store, mirror } = await aCluster(silentLogger, () => 5);
  const starting = mirror.start(never);
  await clock.advance(1_000);
  await starting;
  void store.create('/spec/vm/a', { name: 'a', size: 1 });
  await clock.advance(1_000);
  void writer.update('/spec/vm/a', { name: 'b', size: 2 }, 0);
  await clock.advance(1_000);
  expect(mirror.get('vm', 'a')).toMatchObject({ version: 1, doc: { name: 'b' } });
  void writer.remove('/spec/vm/a', 1);
  await clock.advance(1_000);
  expect(mirror.get('vm', 'a')).toBeUndefined();
});

test('a wait that comes while the document is being read looks once more only if that read does not bring it', async () => {
  const { clock, zookeeper, writer, store, mirror } = await aCluster(silentLogger, () => 5);
  void writer.create('/spec/vm/a', { name: 'a', size: 1 });
  const starting = mirror.start(never);
  await clock.advance(1_000);
  await starting;
  const reads = vi.spyOn(store, 'read');
  void store.update('/spec/vm/a', { name: 'a', size: 2 }, 0).then(() => mirror.waitFor('vm', 'a', 1, { timeoutMs: 5_000 }));
  await clock.advance(1_000);
  expect(mirror.get('vm', 'a')?.version).toBe(1);
  expect(reads).toHaveBeenCalledTimes(1);
  mirror.refresh('vm', 'a');
  await clock.advance(6);
  zookeeper.dropWatches('reader');
  // Changed after the read that is under way was answered, and no watch will tell.
  void writer.update('/spec/vm/a', { name: 'a', size: 3 }, 1);
  void mirror.waitFor('vm', 'a', 2, { timeoutMs: 5_000 });
  await clock.advance(1_000);
  expect(mirror.get('vm', 'a')?.version).toBe(2);
  expect(reads).toHaveBeenCalledTimes(3);
});

test('a wait has a bound and can be cancelled', async () => {
  const { clock, mirror } = await aCluster();
  await mirror.start(never);
  const controller = new AbortController();
  const late = expect(mirror.waitFor('vm', 'never', 0, { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'timeout' });
  const cancelled = expect(mirror.waitFor('vm', 'never', 0, { timeoutMs: 1_000, signal: controller.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  controller.abort();
  await cancelled;
  await clock.advance(1_000);
  await late;
  expect(clock.timerCount).toBe(0);
});

test('documents that come and go leave no watches behind', async () => {
  const { clock, zookeeper, writer, mirror } = await aCluster();
  await mirror.start(never);
  const before = zookeeper.watchCount();
  for (let n = 0; n < 100; n += 1) {
    await writer.create(`/spec/vm/v${n}`, { name: 'x', size: n });
    await clock.settle();
    await writer.remove(`/spec/vm/v${n}`, 0);
    await clock.settle();
  }
  expect(zookeeper.watchCount()).toBe(before);
});

test('a stopped mirror watches nothing, fails its waits and can be started again', async () => {
  const { clock, writer, mirror, changes } = await aCluster();
  await mirror.start(never);
  const waiting = expect(mirror.waitFor('vm', 'a', 0, { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'cancelled' });
  await mirror.stop();
  await waiting;
  await writer.create('/spec/vm/a', { name: 'a', size: 1 });
  await clock.settle();
  expect(changes).toEqual([]);
  await mirror.start(never);
  expect(mirror.get('vm', 'a')?.doc.size).toBe(1);
});

describe('caughtUp', () => {
  const limit = { timeoutMs: 60_000 };

  /** Whether a call has ended. */
  function followed(call: Promise<unknown>): { ended: boolean } {
    const state = { ended: false };
    void call.then(() => (state.ended = true));
    return state;
  }

  async function loaded(latencyMs: () => number, names: readonly string[] = []) {
    const cluster = await aCluster(silentLogger, latencyMs);
    const { clock, writer, mirror } = cluster;
    const writing = Promise.all(names.map((name) => writer.create(`/spec/vm/${name}`, { name, size: 0 })));
    await clock.advance(1_000);
    await writing;
    const starting = mirror.start(never);
    await clock.advance(10_000);
    await starting;
    return cluster;
  }

  test('resolves at once when nothing is to be read', async () => {
    const { clock, mirror } = await loaded(() => 5, ['a']);
    const call = followed(mirror.caughtUp(limit));
    await clock.settle();
    expect(call.ended).toBe(true);
  });

  test('waits for a document of whose change the watch has told', async () => {
    const { clock, writer, mirror } = await loaded(() => 5, ['a']);
    void writer.update('/spec/vm/a', { name: 'a', size: 1 }, 0);
    // 5 ms to the ensemble, 5 ms for the watch, 10 ms for the read.
    await clock.advance(10);
    const call = followed(mirror.caughtUp(limit));
    await clock.advance(9);
    expect(call.ended).toBe(false);
    await clock.advance(1);
    expect(call.ended).toBe(true);
    expect(mirror.get('vm', 'a')?.doc.size).toBe(1);
  });

  test('waits for a new document that so far only the list knows', async () => {
    const { clock, writer, mirror } = await loaded(() => 5);
    void writer.create('/spec/vm/a', { name: 'a', size: 1 });
    await clock.advance(10);
    const call = followed(mirror.caughtUp(limit));
    await clock.advance(19);
    expect(call.ended).toBe(false);
    await clock.advance(1);
    expect(call.ended).toBe(true);
    expect(mirror.get('vm', 'a')?.doc.size).toBe(1);
  });

  test('waits for a new document in a large list, which is listed again only after a rest', async () => {
    const names = Array.from({ length: 1_000 }, (_, index) => `v${index}`);
    const { clock, writer, mirror } = await loaded(() => 5, names);
    void writer.create('/spec/vm/first', { name: 'a', size: 1 });
    void writer.create('/spec/vm/second', { name: 'a', size: 2 });
    await clock.advance(25);
    void writer.create('/spec/vm/third', { name: 'a', size: 3 });
    await clock.advance(10);
    expect(mirror.get('vm', 'third')).toBeUndefined();
    let sizeAtEnd: number | undefined;
    const call = followed(mirror.caughtUp(limit).then(() => (sizeAtEnd = mirror.get('vm', 'third')?.doc.size)));
    await clock.advance(1_100);
    expect(call.ended).toBe(true);
    expect(sizeAtEnd).toBe(3);
  });

  test('does not wait for changes that come later, however many', async () => {
    const { clock, writer, mirror } = await loaded(() => 5, ['a', 'b']);
    void writer.update('/spec/vm/a', { name: 'a', size: 1 }, 0);
    await clock.advance(10);
    const call = followed(mirror.caughtUp(limit));
    void writer.update('/spec/vm/b', { name: 'b', size: 1 }, 0);
    await clock.advance(10);
    expect(call.ended).toBe(true);
    expect(mirror.get('vm', 'b')?.doc.size).toBe(0);
  });

  test('waits for the reload when the connection is lost meanwhile', async () => {
    const { clock, zookeeper, writer, mirror } = await loaded(() => 5, ['a']);
    void writer.update('/spec/vm/a', { name: 'a', size: 1 }, 0);
    await clock.advance(10);
    const call = followed(mirror.caughtUp(limit));
    zookeeper.partition('reader');
    await clock.advance(1_000);
    expect(call.ended).toBe(false);
    zookeeper.heal('reader');
    await clock.advance(100);
    expect(call.ended).toBe(true);
    expect(mirror.get('vm', 'a')?.doc.size).toBe(1);
  });

  test('is bounded, and ends with the mirror', async () => {
    const { clock, zookeeper, mirror } = await loaded(() => 5, ['a']);
    zookeeper.partition('reader');
    const codes: unknown[] = [];
    for (const timeoutMs of [100, 10_000]) mirror.caughtUp({ timeoutMs }).catch((error: unknown) => codes.push(error));
    await clock.advance(100);
    expect(codes).toMatchObject([{ code: 'timeout' }]);
    await mirror.stop();
    await clock.settle();
    expect(codes).toMatchObject([{ code: 'timeout' }, { code: 'cancelled' }]);
  });
});
