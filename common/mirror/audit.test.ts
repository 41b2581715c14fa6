import { expect, test } from 'vitest';
import { z } from 'zod';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { silentLogger, type Logger } from '../log.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { Audit } from './audit.ts';
import { createMirror } from './mirror.ts';

const TABLE = { vm: { root: '/spec/vm', schema: z.int() }, node: { root: '/spec/node', schema: z.int() } } as const;
const never = new AbortController().signal;

async function anAudit(samplesMax = 100) {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock });
  const writer = new MemoryStore({ zookeeper, clock, name: 'writer' });
  const store = new MemoryStore({ zookeeper, clock, name: 'reader' });
  await writer.start(never);
  await store.start(never);
  for (const id of ['a', 'b', 'c', 'd', 'e']) await writer.create(`/spec/vm/${id}`, 0);
  const mirror = createMirror({ store, table: TABLE, kinds: ['vm', 'node'], clock, log: silentLogger });
  await mirror.start(never);
  const errors: object[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => errors.push(fields) };
  const audit = new Audit({ mirror, store, clock, log, intervalMs: 60_000, samplesMax });
  return { clock, zookeeper, writer, store, mirror, audit, errors };
}

test('a lost change, creation and removal are found, reported and repaired', async () => {
  const { clock, zookeeper, writer, mirror, audit, errors } = await anAudit();
  zookeeper.dropWatches('reader');
  await writer.update('/spec/vm/a', 7, 0);
  await writer.remove('/spec/vm/b', 0);
  await writer.create('/spec/vm/new', 1);
  await clock.settle();
  expect(mirror.get('vm', 'a')?.doc).toBe(0);
  const sweep = audit.sweep(never);
  await clock.advance(10_000);
  expect(await sweep).toEqual({ compared: 5, repaired: 3 });
  expect(errors.map((fields) => (fields as { id: string }).id).sort()).toEqual(['a', 'b', 'new']);
  expect([...mirror.all('vm').keys()].sort()).toEqual(['a', 'c', 'd', 'e', 'new']);
  expect(mirror.get('vm', 'a')?.doc).toBe(7);
  await writer.update('/spec/vm/a', 8, 1);
  await clock.settle();
  expect(mirror.get('vm', 'a')?.doc, 'the watch is there again').toBe(8);
});

test('a mirror that has everything is not suspected, whatever changes meanwhile', async () => {
  const { clock, writer, audit, errors } = await anAudit();
  const sweep = audit.sweep(never);
  await writer.update('/spec/vm/a', 1, 0);
  await writer.remove('/spec/vm/b', 0);
  await clock.advance(10_000);
  expect((await sweep).repaired).toBe(0);
  expect(errors).toEqual([]);
});

test('every document has its turn, however small the sample', async () => {
  const { clock, zookeeper, writer, mirror, audit } = await anAudit(2);
  zookeeper.dropWatches('reader');
  await writer.update('/spec/vm/e', 7, 0);
  audit.start();
  await clock.advance(4 * 65_000);
  expect(mirror.get('vm', 'e')?.doc).toBe(7);
  await audit.stop();
  expect(clock.timerCount).toBe(0);
});

test('nothing is compared while the mirror is known to be stale', async () => {
  const { zookeeper, audit } = await anAudit();
  zookeeper.partition('reader');
  expect(await audit.sweep(never)).toEqual({ compared: 0, repaired: 0 });
});
