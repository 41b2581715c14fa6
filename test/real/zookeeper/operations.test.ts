import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { RESOURCES } from '../../../common/schema/resources.ts';
import type { Store } from '../../../common/store/store.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { describeOperations } from '../../contract/operations-contract.ts';
import type { OperationsFixture } from '../../contract/operations-harness.ts';
import { describeNetworkOperations } from '../../contract/operations-network-contract.ts';
import { describeNetworkRaces } from '../../contract/operations-network-races-contract.ts';
import { describePowerOperations } from '../../contract/operations-power-contract.ts';
import { startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';

let ensemble: Ensemble;

beforeAll(async () => {
  ensemble = await startZooKeeper();
});

afterAll(async () => {
  await ensemble.stop();
});

async function started(): Promise<Store> {
  const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: 10_000, clock: systemClock, log: silentLogger });
  await store.start(new AbortController().signal);
  return store;
}

/** Removes every document, so that each test begins with none. */
async function wipe(): Promise<void> {
  const store = await started();
  for (const { root } of Object.values(RESOURCES)) {
    for (const id of await store.list(root)) {
      const entry = await store.read(`${root}/${id}`);
      if (entry !== undefined) await store.remove(entry.path, entry.version);
    }
  }
  await store.stop();
}

async function open(): Promise<OperationsFixture> {
  await wipe();
  return { store: started, stop: async () => undefined };
}

describeOperations('operations on a real ZooKeeper', open);
describePowerOperations('power and place on a real ZooKeeper', open);
describeNetworkOperations('networks on a real ZooKeeper', open);
describeNetworkRaces('networks at the same time on a real ZooKeeper', open);
