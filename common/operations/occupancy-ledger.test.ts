import fc from 'fast-check';
import { expect, test } from 'vitest';
import { aNodeName, anOffStatus, aRunningVm, aStatus, aVm, aVmId } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { occupancyOf, type Occupancy } from '../domain/placement.ts';
import { silentLogger } from '../log.ts';
import { createMirror, type Mirror } from '../mirror/mirror.ts';
import { MIRRORED, pathOf, RESOURCES, type MirroredKind } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { OccupancyLedger } from './occupancy-ledger.ts';

type ClusterMirrorImpl = Mirror<typeof RESOURCES, MirroredKind>;

const VM_COUNT = 4;
const UUIDS = Array.from({ length: VM_COUNT }, (_, number) => aVmId(number));
const never = new AbortController().signal;

/** What the mirror's VMs but one come to, counted from nothing. */
function counted(mirror: ClusterMirrorImpl, except?: string): Map<string, Occupancy> {
  const vms = [...mirror.all('vm').values()].filter(({ id }) => id !== except);
  return occupancyOf(vms.map(({ id, doc }) => ({ spec: doc, status: mirror.get('vm-status', id)?.doc })));
}

async function aCluster() {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock, latencyMs: () => 1 });
  const writer = new MemoryStore({ zookeeper, clock, name: 'writer' });
  const store = new MemoryStore({ zookeeper, clock, name: 'reader' });
  const started = Promise.all([writer.start(never), store.start(never)]);
  await clock.settle();
  await started;
  const mirror: ClusterMirrorImpl = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock, log: silentLogger });
  const put = async (kind: 'vm' | 'vm-status', uuid: string, value: unknown): Promise<void> => {
    const path = pathOf(kind, uuid);
    const present = zookeeper.peek(path);
    const writing = present === undefined ? writer.create(path, value) : writer.update(path, value, present.version);
    await clock.advance(10);
    await writing;
  };
  const drop = async (kind: 'vm' | 'vm-status', uuid: string): Promise<void> => {
    const path = pathOf(kind, uuid);
    const present = zookeeper.peek(path);
    if (present === undefined) return;
    const removing = writer.remove(path, present.version);
    await clock.advance(10);
    await removing;
  };
  return { clock, zookeeper, mirror, put, drop };
}

const node = fc.constantFrom('hv1', 'hv2', 'hv3').map(aNodeName);
const vm = fc.nat(VM_COUNT - 1).map((number) => aVmId(number));
const spec = fc
  .record({ node, memoryMib: fc.integer({ min: 1, max: 9 }), vcpus: fc.integer({ min: 1, max: 3 }), runs: fc.boolean(), isRemoved: fc.boolean() })
  .map(({ runs, isRemoved, ...given }) => (runs ? aRunningVm : aVm)({ ...given, deletion: isRemoved ? { disks: false } : null }) satisfies VmSpec);
const status: fc.Arbitrary<VmStatus> = fc.oneof(
  node.map((owner) => aStatus({ owner })),
  fc.constantFrom(anOffStatus(), anOffStatus({ powerGeneration: 0 }), anOffStatus({ phase: { kind: 'relocating' } })),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('put' as const), kind: fc.constant('vm' as const), vm, doc: spec }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('put' as const), kind: fc.constant('vm-status' as const), vm, doc: status }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('put' as const), kind: fc.constantFrom('vm' as const, 'vm-status' as const), vm, doc: fc.constant('not a document') }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('drop' as const), kind: fc.constantFrom('vm' as const, 'vm-status' as const), vm }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constantFrom('cut' as const, 'heal' as const, 'expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom('follow' as const, 'leave' as const) }) },
);

async function carryOut(cluster: Awaited<ReturnType<typeof aCluster>>, ledger: OccupancyLedger, one: typeof step extends fc.Arbitrary<infer T> ? T : never) {
  switch (one.act) {
    case 'put':
      return cluster.put(one.kind, one.vm, one.kind === 'vm' && typeof one.doc === 'object' ? { ...one.doc, uuid: one.vm } : one.doc);
    case 'drop':
      return cluster.drop(one.kind, one.vm);
    case 'cut':
      return cluster.zookeeper.partition('reader');
    case 'heal':
      return cluster.zookeeper.heal('reader');
    case 'expire':
      return cluster.zookeeper.expire('reader');
    case 'follow':
      return ledger.start();
    case 'leave':
      return ledger.stop();
  }
}

test('whatever happens to documents and to the connection, the ledger says what counting from nothing says', async () => {
  const seen = { sums: new Set<string>(), reloads: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.array(step, { minLength: 1, maxLength: 25 }), async (before, steps) => {
      const cluster = await aCluster();
      const { clock, zookeeper, mirror } = cluster;
      const ledger = new OccupancyLedger(mirror);
      for (const one of before) await carryOut(cluster, ledger, one);
      zookeeper.heal('reader');
      await clock.advance(100);
      const starting = mirror.start(never);
      await clock.advance(100);
      await starting;
      mirror.onFreshness((fresh) => (seen.reloads += fresh ? 1 : 0));
      for (const one of steps) {
        await carryOut(cluster, ledger, one);
        if (one.act === 'leave') continue;
        ledger.start();
        await clock.advance(20);
        for (const uuid of UUIDS) expect(ledger.without(uuid)).toEqual(counted(mirror, uuid));
        expect(ledger.without(aVmId(VM_COUNT))).toEqual(counted(mirror));
        seen.sums.add(JSON.stringify([...counted(mirror)].sort()));
      }
      zookeeper.heal('reader');
      ledger.start();
      await clock.advance(20);
      expect(mirror.staleForMs()).toBe(0);
      expect(ledger.without(aVmId(VM_COUNT))).toEqual(counted(mirror));
      ledger.stop();
      await mirror.stop();
    }),
  );
  expect(seen.sums.size).toBeGreaterThan(100);
  expect(seen.reloads).toBeGreaterThan(20);
});

test('looking for a place with one VM left out does not change the sums', async () => {
  const { clock, mirror, put } = await aCluster();
  const ledger = new OccupancyLedger(mirror);
  ledger.start();
  const starting = mirror.start(never);
  await clock.advance(100);
  await starting;
  for (const uuid of UUIDS) await put('vm', uuid, aRunningVm({ uuid, memoryMib: 100 }));
  const [first = aVmId(0), second = aVmId(0)] = UUIDS;
  const without = ledger.without(first);
  expect(without.get('hv1')).toEqual({ memoryMib: 300, vcpus: 3, vms: 3, provisionedMib: 300 });
  await put('vm', second, aVm({ uuid: second, memoryMib: 100 }));
  expect(without.get('hv1')?.vms).toBe(3);
  expect(ledger.without(first).get('hv1')).toEqual({ memoryMib: 200, vcpus: 2, vms: 2, provisionedMib: 300 });
  expect(ledger.without(aVmId(VM_COUNT)).get('hv1')).toEqual({ memoryMib: 300, vcpus: 3, vms: 3, provisionedMib: 400 });
});

test('a ledger that was never started says so and not that all nodes are empty', async () => {
  const { mirror } = await aCluster();
  expect(() => new OccupancyLedger(mirror).without(aVmId(1))).toThrow('before it was counted');
});

test('a ledger that was stopped keeps its last sums', async () => {
  const { clock, mirror, put } = await aCluster();
  const ledger = new OccupancyLedger(mirror);
  ledger.start();
  const starting = mirror.start(never);
  await clock.advance(100);
  await starting;
  await put('vm', aVmId(1), aVm({ uuid: aVmId(1) }));
  ledger.stop();
  await put('vm', aVmId(2), aVm({ uuid: aVmId(2) }));
  expect(ledger.without(aVmId(3)).get('hv1')?.provisionedMib).toBe(512);
});
