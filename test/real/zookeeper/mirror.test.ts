import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { createMirror } from '../../../common/mirror/mirror.ts';
import { RESOURCES } from '../../../common/schema/resources.ts';
import { vmSpec } from '../../../common/schema/vm.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { heapBytes } from '../../support/heap.ts';
import { until } from '../../support/until.ts';
import { startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';
import { expireSession } from '../../support/zookeeper-session.ts';

const VM_COUNT = 10_000;

let ensemble: Ensemble;
const cleanups: (() => void | Promise<void>)[] = [];
const never = new AbortController().signal;
const uuids = Array.from({ length: VM_COUNT }, () => randomUUID());

beforeAll(async () => {
  ensemble = await startZooKeeper();
  const { store } = await aStore();
  for (let from = 0; from < VM_COUNT; from += 500) {
    await Promise.all(uuids.slice(from, from + 500).map((uuid, index) => store.create(`/spec/vm/${uuid}`, aVm(uuid, from + index))));
  }
  await store.stop();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  await ensemble.stop();
});

async function aStore(): Promise<{ store: ZooKeeperStore }> {
  const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: 10_000, clock: systemClock, log: silentLogger });
  cleanups.push(() => store.stop());
  await store.start(never);
  return { store };
}

async function aMirror() {
  const { store } = await aStore();
  const mirror = createMirror({ store, table: RESOURCES, kinds: ['vm', 'node'], clock: systemClock, log: silentLogger });
  cleanups.push(() => mirror.stop());
  const beganMs = systemClock.monotonicMs();
  await mirror.start(never);
  return { store, mirror, loadedMs: systemClock.monotonicMs() - beganMs };
}

/** A VM of about 4 kB. */
function aVm(uuid: string, number: number): unknown {
  return vmSpec.parse({
    uuid,
    name: `vm-${number}`,
    xml: `<domain><name>vm-${number}</name>${'<device type="x"/>'.repeat(190)}</domain>`,
    memoryMib: 1_024,
    vcpus: 2,
    interfaces: [],
    node: 'hv1',
    homeNode: null,
    placement: { generation: 0, method: 'any', previousHome: null },
    power: { action: 'stop', generation: 0 },
    growth: { sizes: {}, generation: 0 },
    nodeLimit: null,
    selector: null,
    autostart: false,
    migrationMethod: null,
    migrationMaxDowntimeMs: 300,
    onFlushBlocked: 'block',
    profile: null,
    tags: [],
    deletion: null,
  });
}

test('a mirror of 10,000 VMs of 4 kB is loaded, costs little more than its documents, and is fresh', async () => {
  const beforeBytes = heapBytes();
  const { mirror, loadedMs } = await aMirror();
  const heldBytes = heapBytes() - beforeBytes;
  console.info(`mirror of ${VM_COUNT} VMs: ${Math.round(loadedMs)} ms, ${Math.round(heldBytes / VM_COUNT)} bytes of heap for each`);
  expect(mirror.size('vm')).toBe(VM_COUNT);
  expect(mirror.invalid).toBe(0);
  expect(mirror.staleForMs()).toBe(0);
  // The bar is 3 s on an idle machine; this fails when loading has become serial.
  expect(loadedMs).toBeLessThan(20_000);
  // 3.6 kB of it is the XML itself.
  expect(heldBytes / VM_COUNT).toBeLessThan(8_000);
});

test('after a storm of 10,000 writes, and an expired session in its middle, the mirror holds the last of each document', async () => {
  const { store, mirror } = await aMirror();
  const { store: writer } = await aStore();
  const stormed = uuids.slice(0, 1_000);
  const last = new Map<string, number>();
  const write = async (uuid: string): Promise<void> => {
    let version = mirror.get('vm', uuid)?.version ?? 0;
    const doc = mirror.get('vm', uuid)?.doc;
    for (let n = 1; n <= 10; n += 1) {
      version = (await writer.update(`/spec/vm/${uuid}`, { ...doc, memoryMib: 2_000 + n }, version)).version;
    }
    last.set(uuid, version);
  };
  const storm = Promise.all(stormed.map(write));
  await until(() => mirror.get('vm', stormed[0] ?? '')?.version !== 0, 10_000, 'the storm');
  const [server] = ensemble.servers;
  const session = store.session;
  if (server === undefined || session === undefined) throw new Error('no session');
  await expireSession(server.port, session);
  await storm;
  const beganMs = systemClock.monotonicMs();
  await until(() => mirror.staleForMs() === 0 && stormed.every((uuid) => mirror.get('vm', uuid)?.version === last.get(uuid)), 20_000, 'the last writes');
  console.info(`mirror right ${Math.round(systemClock.monotonicMs() - beganMs)} ms after the storm`);
  expect(stormed.every((uuid) => mirror.get('vm', uuid)?.doc.memoryMib === 2_010)).toBe(true);
  expect(store.session?.id).not.toBe(session.id);
  expect(mirror.size('vm')).toBe(VM_COUNT);
});

test('a write is seen by the mirror of the same process in a moment, also among 10,000 documents', async () => {
  const { store, mirror } = await aMirror();
  const elapsedMs: number[] = [];
  for (let n = 0; n < 50; n += 1) {
    const uuid = randomUUID();
    const beganMs = systemClock.monotonicMs();
    const created = await store.create(`/spec/vm/${uuid}`, aVm(uuid, n));
    await mirror.waitFor('vm', uuid, created.version, { timeoutMs: 5_000 });
    elapsedMs.push(systemClock.monotonicMs() - beganMs);
    await store.remove(`/spec/vm/${uuid}`, 0);
    await mirror.waitFor('vm', uuid, 'gone', { timeoutMs: 5_000 });
  }
  elapsedMs.sort((one, other) => one - other);
  console.info(`create and see it among ${VM_COUNT}: median ${elapsedMs[25]?.toFixed(1)} ms, longest ${elapsedMs.at(-1)?.toFixed(1)} ms`);
  expect(mirror.size('vm')).toBe(VM_COUNT);
});
