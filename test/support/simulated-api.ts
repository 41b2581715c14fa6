import type { SimulatedClient, SimulatedCluster } from './simulated-cluster.ts';
import { FaultPoints, FaultStore, MortalClock } from './simulated-faults.ts';

const NAME = 'pvc-api';

/** RestartSec of its unit, and what Node and the mirror take. */
const RESTART_MS = 1_000;

/** In the middle of a write: a request takes a millisecond or two each way. */
const DURING_MS = 1;

/** The API's process, which may be killed at any of its writes and is started again as its supervisor does. */
export class SimulatedApi {
  readonly points: FaultPoints;
  readonly #cluster: SimulatedCluster;
  #clock: MortalClock | undefined;
  #client: SimulatedClient | undefined;
  /** How often it was killed and is back. */
  restarts = 0;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
    const { clock, zookeeper } = cluster;
    this.points = new FaultPoints({ clock, zookeeper, name: NAME, kill: () => this.#killAndRestart(), duringMs: DURING_MS });
  }

  /** Undefined while it is down. */
  get client(): SimulatedClient | undefined {
    return this.#client;
  }

  async boot(): Promise<void> {
    const clock = new MortalClock(this.#cluster.clock);
    this.#clock = clock;
    const client = await this.#cluster.startClient(NAME, { clock, wrap: (store) => new FaultStore(store, this.points) });
    if (this.#clock === clock) this.#client = client;
  }

  /** SIGKILL: nothing of it runs on, and nobody hears an answer. */
  #killAndRestart(): void {
    this.#clock?.kill();
    this.#clock = undefined;
    this.#client = undefined;
    this.#cluster.zookeeper.crash(NAME);
    this.#cluster.clock.after(RESTART_MS, () => void this.boot().then(() => (this.restarts += 1)));
  }
}
