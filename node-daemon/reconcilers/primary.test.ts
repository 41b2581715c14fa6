import { expect, test } from 'vitest';
import { nodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import type { ApiService } from '../drivers/api-service.ts';
import { PrimaryLease } from './primary-lease.ts';
import { PRIMARY_KEY, PrimaryReconciler } from './primary.ts';

const [hv1, hv2] = [nodeName.parse('hv1'), nodeName.parse('hv2')];
const log: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => log };

/** hv1, with the addresses on its devices, in a cluster whose lease hv2 has; `report` is how its status is written. */
function aLostPrimary(report: () => Promise<void>): { reconciler: PrimaryReconciler; done: string[] } {
  const clock = new VirtualClock();
  const store = new MemoryStore({ zookeeper: new MemoryZooKeeper({ clock }), clock, name: hv1 });
  let here = true;
  const done: string[] = [];
  const addresses = {
    take: async () => undefined,
    drop: async () => {
      here = false;
      done.push('addresses removed');
    },
    where: async () => (here ? ('all' as const) : ('none' as const)),
  };
  const apiService: ApiService = { start: async () => undefined, stop: async () => undefined, state: async () => 'stopped' };
  const reconciler = new PrimaryReconciler({
    me: hv1,
    coordinators: [hv1, hv2],
    mirror: { staleForMs: () => 0, get: (kind: string) => (kind === 'lease' ? { doc: { node: hv2 } } : undefined) } as never,
    lease: new PrimaryLease({ node: hv1, instance: 'x', store, clock, log, sessionTimeoutMs: 10_000 }),
    addresses,
    servers: [],
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

test('who has lost the lease to another node removes the addresses before it says so', async () => {
  const { reconciler, done } = aLostPrimary(async () => undefined);
  await reconciler.reconcile(PRIMARY_KEY, new AbortController().signal);
  expect(done).toEqual(['addresses removed', 'secondary reported']);
});

test('a status that cannot be written does not keep the addresses of another node here', async () => {
  const { reconciler, done } = aLostPrimary(() => Promise.reject(new Error('no quorum')));
  await expect(reconciler.reconcile(PRIMARY_KEY, new AbortController().signal)).rejects.toThrow('no quorum');
  expect(done[0]).toBe('addresses removed');
});
