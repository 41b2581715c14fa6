import { systemClock } from '../../common/clock.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import type { OperationsFixture } from './operations-harness.ts';
import { describePlacement } from './placement-contract.ts';

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

describePlacement('placement on the store in memory', open(() => 0));
describePlacement('placement on the store in memory with uneven latency', open(() => (count += 1) % 3));
