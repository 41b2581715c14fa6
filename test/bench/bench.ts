import type { Store } from '../../common/store/store.ts';
import type { ApiProcess } from './api-process.ts';
import type { Figure } from './figure.ts';

/** A cluster's state in a real ZooKeeper with an API over it, and no hosts. */
export interface Scene {
  vmCount: number;
  /** host:port. */
  zookeeper: string;
  /** A session of the bench's own. */
  store: Store;
  api: ApiProcess;
}

/** Measures with a number of VMs in ZooKeeper. */
export interface SceneBench {
  name: string;
  vmCounts: readonly number[];
  measure(scene: Scene): Promise<Figure[]>;
}

/** Measures without a cluster, and makes what it needs itself. */
export interface LoneBench {
  name: string;
  measure(): Promise<Figure[]>;
}
