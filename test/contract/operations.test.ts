import { systemClock } from '../../common/clock.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { describeOperations } from './operations-contract.ts';
import type { OperationsFixture } from './operations-harness.ts';
import { describeNetworkOperations } from './operations-network-contract.ts';
import { describeNetworkRaces } from './operations-network-races-contract.ts';
import { describePowerOperations } from './operations-power-contract.ts';

function open(latencyMs: () => number): () => Promise<OperationsFixture> {
  return async () => {
    const zookeeper = new MemoryZooKeeper({ clock: systemClock, latencyMs });
    return {
      store: async (name) => {
        const store = new MemoryStore({ zookeeper, clock: systemClock, name });
        await store.start(new AbortController().signal);
        return store;
      },
      stop: async () => undefined,
    };
  };
}

let count = 0;

describeOperations('operations on the store in memory', open(() => 0));
describeOperations('operations on the store in memory with uneven latency', open(() => (count += 1) % 3));
describePowerOperations('power and place on the store in memory', open(() => 0));
describeNetworkOperations('networks on the store in memory', open(() => 0));
describeNetworkOperations('networks on the store in memory with uneven latency', open(() => (count += 1) % 3));
describeNetworkRaces('networks at the same time on the store in memory', open(() => 0));
describeNetworkRaces('networks at the same time on the store in memory with uneven latency', open(() => (count += 1) % 3));
