import { expect, test } from 'vitest';
import { aManagedNetwork } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { delay, type Clock } from '../clock.ts';
import { silentLogger } from '../log.ts';
import { createMirror } from '../mirror/mirror.ts';
import { MIRRORED, pathOf, RESOURCES, type Kind } from '../schema/resources.ts';
import { MemoryStore } from '../store/memory-store.ts';
import type { Store } from '../store/store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { networkAclOperations } from './network-acl.ts';
import { NETWORK_PARTS } from './network-part.ts';
import { NetworkPartSweep } from './network-part-sweep.ts';
import { networkOperations } from './network.ts';

const never = new AbortController().signal;
const SETTLE_MS = 60_000;
const RULE = { description: 'web', rule: 'accept' };
const PARTS: Readonly<Record<string, unknown>> = {
  'network-acl': { vni: 7, in: [RULE], out: [] },
  'dhcp-reservation': { vni: 7, reservations: [] },
  'dhcp-lease': { vni: 7, serverDuid: null, ip4: [], ip6: [] },
};

async function aCluster(latencyMs?: () => number) {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock, ...(latencyMs === undefined ? {} : { latencyMs }) });
  const process = async (name: string) => {
    const store = new MemoryStore({ zookeeper, clock, name });
    await store.start(never);
    const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock, log: silentLogger });
    const started = mirror.start(never);
    await clock.advance(100);
    await started;
    return { store, mirror, clock };
  };
  const context = await process('api');
  const sweep = new NetworkPartSweep({ context, log: silentLogger, intervalMs: 3_600_000, settleMs: SETTLE_MS });
  const put = async (kind: Kind, id: string, value: unknown): Promise<void> => {
    const written = context.store.create(pathOf(kind, id), value);
    await clock.advance(50);
    await written;
  };
  const putParts = async (): Promise<void> => {
    for (const kind of NETWORK_PARTS) await put(kind, '7', PARTS[kind]);
  };
  const swept = async (meanwhile: () => Promise<void> = async () => undefined): Promise<number> => {
    const done = sweep.sweep(never);
    await clock.settle();
    await meanwhile();
    await clock.advance(SETTLE_MS + 1_000);
    return done;
  };
  const left = (): Kind[] => NETWORK_PARTS.filter((kind) => zookeeper.peek(pathOf(kind, '7')) !== undefined);
  return { clock, zookeeper, context, process, sweep, put, putParts, swept, left };
}

test('what a removed network has left goes, and what a network has stays', async () => {
  const { put, putParts, swept, left, zookeeper } = await aCluster();
  await putParts();
  await put('network', '8', aManagedNetwork({ vni: 8 }));
  await put('network-acl', '8', { vni: 8, in: [RULE], out: [] });
  expect(await swept()).toBe(3);
  expect(left()).toEqual([]);
  expect(zookeeper.peek(pathOf('network-acl', '8'))).toBeDefined();
  expect(zookeeper.peek(pathOf('network-turn', '7'))).toBeUndefined();
  expect(await swept()).toBe(0);
});

test('nothing goes when the network came meanwhile, or the mirror is stale', async () => {
  const { put, putParts, swept, left, zookeeper, clock } = await aCluster();
  await putParts();
  expect(await swept(() => put('network', '7', aManagedNetwork({ vni: 7 })))).toBe(0);
  expect(left()).toEqual([...NETWORK_PARTS]);
  zookeeper.startOutage();
  await clock.advance(20_000);
  expect(await swept()).toBe(0);
});

test('a removal that was killed on the way leaves nothing behind in the end', async () => {
  for (let kept = 0; kept <= NETWORK_PARTS.length; kept += 1) {
    const { put, swept, left } = await aCluster();
    for (const kind of NETWORK_PARTS.slice(kept)) await put(kind, '7', PARTS[kind]);
    expect(await swept()).toBe(NETWORK_PARTS.length - kept);
    expect(left()).toEqual([]);
  }
});

/** The answer of one call comes late: everybody else may do much meanwhile. */
function slowAt(store: Store, clock: Clock, at: number): Store {
  let calls = 0;
  const late = async <T>(call: Promise<T>): Promise<T> => {
    calls += 1;
    const isLate = calls === at;
    const result = await call;
    if (isLate) await delay(clock, 300);
    return result;
  };
  return {
    get state() {
      return store.state;
    },
    start: (signal) => store.start(signal),
    stop: () => store.stop(),
    sync: () => store.sync(),
    list: (path, options) => store.list(path, options),
    listen: (listener) => store.listen(listener),
    update: (path, value, version) => store.update(path, value, version),
    read: (path, options) => late(store.read(path, options)),
    create: (path, value, options) => late(store.create(path, value, options)),
    remove: (path, version) => late(store.remove(path, version)),
  };
}

test('a rule of a network that is created anew while its VNI is swept is never lost, whichever answer comes late', async () => {
  for (let at = 1; at <= 12; at += 1) {
    const { clock, process, putParts, zookeeper, context } = await aCluster(() => 2);
    const other = await process('other');
    await putParts();
    const slow = { ...context, store: slowAt(context.store, clock, at) };
    const swept = new NetworkPartSweep({ context: slow, log: silentLogger, intervalMs: 3_600_000, settleMs: SETTLE_MS }).sweep(never);
    await clock.advance(SETTLE_MS + 50);
    const made = networkOperations(other)
      .create({ type: 'managed', vni: 7 }, { description: 'net7' })
      .then(() => networkAclOperations(other).insert({ vni: 7, direction: 'in', description: 'new', rule: 'accept' }));
    await clock.advance(5_000);
    await Promise.all([made, swept]);
    const entry = zookeeper.peek(pathOf('network-acl', '7'));
    expect(JSON.parse(entry?.text ?? 'null'), `call ${at}`).toEqual({ vni: 7, in: [{ description: 'new', rule: 'accept' }], out: [] });
    await context.store.stop();
  }
});

test('a turn is waited for, and one whose holder has died is free when its session is over', async () => {
  const { clock, process, putParts, zookeeper } = await aCluster();
  const other = await process('other');
  await putParts();
  void (await other.store.create(pathOf('network-turn', '7'), { holder: 'other' }, { ephemeral: true }));
  const third = await process('third');
  let created = false;
  const creation = networkOperations(third).create({ type: 'managed', vni: 7 }, { description: 'net7' }).then(() => (created = true));
  await clock.advance(3_000);
  expect(created).toBe(false);
  zookeeper.crash('other');
  await clock.advance(15_000);
  await creation;
  expect(zookeeper.peek(pathOf('network-acl', '7'))).toBeUndefined();
});
