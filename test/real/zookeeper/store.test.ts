import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { describeStore } from '../../contract/store-contract.ts';
import { startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';
import { expireSession } from '../../support/zookeeper-session.ts';

let ensemble: Ensemble;
let count = 0;

beforeAll(async () => {
  ensemble = await startZooKeeper();
});

afterAll(async () => {
  await ensemble.stop();
});

describeStore('ZooKeeperStore', async () => {
  const stores = new Map<string, ZooKeeperStore>();
  count += 1;
  return {
    root: `/contract-${count}`,
    store: (name) => {
      const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: 6_000, clock: systemClock, log: silentLogger, connectWaitMs: 2_000 });
      stores.set(name, store);
      return store;
    },
    expire: async (name) => {
      const session = stores.get(name)?.session;
      if (session === undefined) throw new Error('no session');
      await expireSession(ensemble.servers[0]?.port ?? 0, session);
    },
    stop: async () => undefined,
  };
});
