import { expect, test } from 'vitest';
import { aNode, aRunningVm, aStatus, aVmId } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { silentLogger } from '../log.ts';
import { createMirror } from '../mirror/mirror.ts';
import { MIRRORED, pathOf, RESOURCES, type Kind, type Versioned } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { confirmPlace } from './confirm-place.ts';
import { OccupancyLedger } from './occupancy-ledger.ts';

const LATENCY_MS = 5;
const never = new AbortController().signal;
const [OWN, OTHER] = [aVmId(1), aVmId(2)];

/** hv1 has room for one VM of 5,000 MiB. */
async function aCluster() {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock, latencyMs: () => LATENCY_MS });
  const writer = new MemoryStore({ zookeeper, clock, name: 'writer' });
  const store = new MemoryStore({ zookeeper, clock, name: 'reader' });
  const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock, log: silentLogger });
  const occupancy = new OccupancyLedger(mirror);
  occupancy.start();
  const done = async <T>(work: Promise<T>): Promise<T> => {
    await clock.advance(200);
    return work;
  };
  const put = (kind: Kind, id: string, doc: unknown): ReturnType<typeof writer.create> => {
    const present = zookeeper.peek(pathOf(kind, id));
    return present === undefined ? writer.create(pathOf(kind, id), doc) : writer.update(pathOf(kind, id), doc, present.version);
  };
  await done(writer.start(never));
  await done(store.start(never));
  await done(mirror.start(never));
  const { spec, status } = aNode('hv1');
  await done(put('node', 'hv1', spec));
  await done(put('node-status', 'hv1', status));
  const context = { store, mirror, occupancy, clock, placement: { selector: 'mem', reserveMib: 0 } } as const;
  /** What becomes of a placement that was written as transaction `modifiedZxid`. */
  const confirm = (modifiedZxid: number): { outcome: string } => {
    const placed: Versioned<VmSpec> = { id: OWN, doc: aLargeVm(OWN), version: 0, createdZxid: 1, modifiedZxid };
    const seen = { outcome: 'open' };
    confirmPlace(context, placed, async () => void (seen.outcome = 'stepped back')).then(
      () => (seen.outcome = 'stands'),
      (error: { code: string }) => (seen.outcome += `, ${error.code}`),
    );
    return seen;
  };
  return { clock, zookeeper, put, done, confirm };
}

function aLargeVm(uuid: VmSpec['uuid']): VmSpec {
  return aRunningVm({ uuid, memoryMib: 5_000 });
}

test('who comes later steps back, who came before stays', async () => {
  const { done, put, confirm, clock } = await aCluster();
  const { modifiedZxid } = await done(put('vm', OTHER, aLargeVm(OTHER)));
  const later = confirm(modifiedZxid + 1);
  const before = confirm(modifiedZxid - 1);
  await clock.settle();
  expect([later.outcome, before.outcome]).toEqual(['stepped back, no-resource', 'stands']);
});

test('a guest that is at the node by now takes its room, whenever its document was changed', async () => {
  const { done, put, confirm, clock } = await aCluster();
  const { modifiedZxid } = await done(put('vm', OTHER, aLargeVm(OTHER)));
  await done(put('vm-status', OTHER, aStatus()));
  const seen = confirm(modifiedZxid - 1);
  await clock.settle();
  expect(seen.outcome).toBe('stepped back, no-resource');
});

test('an earlier write of which the watch has told, and which is still being read, counts', async () => {
  const { done, put, confirm, clock } = await aCluster();
  const { modifiedZxid } = await done(put('vm', OTHER, { ...aLargeVm(OTHER), power: { action: 'stop', generation: 0 } }));
  void put('vm', OTHER, aLargeVm(OTHER));
  await clock.advance(2 * LATENCY_MS);
  const seen = confirm(modifiedZxid + 2);
  await clock.advance(LATENCY_MS);
  expect(seen.outcome).toBe('open');
  await clock.advance(LATENCY_MS);
  expect(seen.outcome).toBe('stepped back, no-resource');
});

test('a write stands when its own process cannot look', async () => {
  const { done, put, confirm, clock, zookeeper } = await aCluster();
  const { modifiedZxid } = await done(put('vm', OTHER, aLargeVm(OTHER)));
  zookeeper.partition('reader');
  const seen = confirm(modifiedZxid + 1);
  await clock.advance(1_000);
  expect(seen.outcome).toBe('open');
  await clock.advance(1_000);
  expect(seen.outcome).toBe('stands');
});
