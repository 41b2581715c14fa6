import { expect, test } from 'vitest';
import { nodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import type { AddressDriver } from '../drivers/address.ts';
import type { ApiService } from '../drivers/api-service.ts';
import { PrimaryLease } from './primary-lease.ts';
import { PRIMARY_KEY, PrimaryReconciler } from './primary.ts';

const [hv1, hv2] = [nodeName.parse('hv1'), nodeName.parse('hv2')];
const FLOATING = { address: '10.0.0.100/24', device: 'eth0' };
const log: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => log };

/** hv1, with the address on its device, in a cluster whose lease hv2 has; `report` is how its status is written. */
function aLostPrimary(report: () => Promise<void>): { reconciler: PrimaryReconciler; done: string[] } {
  const clock = new VirtualClock();
  const store = new MemoryStore({ zookeeper: new MemoryZooKeeper({ clock }), clock, name: hv1 });
  const held = new Set([FLOATING.address]);
  const done: string[] = [];
  const addresses: AddressDriver = {
    add: async () => void held.add(FLOATING.address),
    remove: async () => {
      held.delete(FLOATING.address);
      done.push('address removed');
    },
    list: async () => [...held],
  };
  const apiService: ApiService = { start: async () => undefined, stop: async () => undefined, state: async () => 'stopped' };
  const reconciler = new PrimaryReconciler({
    me: hv1,
    coordinators: [hv1, hv2],
    mirror: { staleForMs: () => 0, get: (kind: string) => (kind === 'lease' ? { doc: { node: hv2 } } : undefined) } as never,
    lease: new PrimaryLease({ node: hv1, instance: 'x', store, clock, log, sessionTimeoutMs: 10_000 }),
    addresses,
    floating: FLOATING,
    isFloating: (listed) => listed === FLOATING.address,
    apiService,
    clock,
    log,
    report: (state) => {
      done.push(`${state} reported`);
      return report();
    },
    settleWish: async () => undefined,
  });
  return { reconciler, done };
}

test('who has lost the lease to another node removes the address before it says so', async () => {
  const { reconciler, done } = aLostPrimary(async () => undefined);
  await reconciler.reconcile(PRIMARY_KEY, new AbortController().signal);
  expect(done).toEqual(['address removed', 'secondary reported']);
});

test('a status that cannot be written does not keep the address of another node here', async () => {
  const { reconciler, done } = aLostPrimary(() => Promise.reject(new Error('no quorum')));
  await expect(reconciler.reconcile(PRIMARY_KEY, new AbortController().signal)).rejects.toThrow('no quorum');
  expect(done[0]).toBe('address removed');
});
