import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { RESOURCES } from '../../../common/schema/resources.ts';
import type { Store } from '../../../common/store/store.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import type { OperationsFixture } from '../../contract/operations-harness.ts';
import { describePlacement } from '../../contract/placement-contract.ts';
import { startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';

let ensemble: Ensemble;

beforeAll(async () => {
  ensemble = await startZooKeeper(3);
});

afterAll(async () => {
  await ensemble.stop();
});

async function started(hosts: readonly string[]): Promise<Store> {
  const store = new ZooKeeperStore({ hosts, sessionTimeoutMs: 10_000, clock: systemClock, log: silentLogger });
  await store.start(new AbortController().signal);
  return store;
}

/** Removes every document, so that each test begins with none. */
async function wipe(): Promise<void> {
  const store = await started(ensemble.hosts);
  for (const { root } of Object.values(RESOURCES)) {
    for (const id of await store.list(root)) {
      const entry = await store.read(`${root}/${id}`);
      if (entry !== undefined) await store.remove(entry.path, entry.version);
    }
  }
  await store.stop();
}

/** Each process at a server of its own, followers among them: those lag behind the leader, and behind each other. */
async function open(): Promise<OperationsFixture> {
  await wipe();
  let count = 0;
  const next = (): readonly string[] => ensemble.hosts.slice(count % ensemble.hosts.length, (count++ % ensemble.hosts.length) + 1);
  return { store: () => started(next()), stop: async () => undefined };
}

describePlacement('placement on a real ensemble', open);
