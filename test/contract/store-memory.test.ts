import { systemClock } from '../../common/clock.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { describeStore } from './store-contract.ts';

function open(latencyMs: () => number) {
  return async () => {
    const zookeeper = new MemoryZooKeeper({ clock: systemClock, latencyMs });
    return {
      root: '/contract',
      store: (name: string) => new MemoryStore({ zookeeper, clock: systemClock, name, connectWaitMs: 50 }),
      expire: async (name: string) => zookeeper.expire(name),
      stop: async () => undefined,
    };
  };
}

let count = 0;

describeStore('MemoryStore', open(() => 0));
describeStore('MemoryStore with uneven latency', open(() => (count += 1) % 4));
