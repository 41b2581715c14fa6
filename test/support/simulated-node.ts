import type { Logger } from '../../common/log.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import type { NodeDaemon } from '../../node-daemon/compose.ts';
import { releaseHost } from '../../node-daemon/release.ts';
import { addressesOf, composeDaemon, NETWORKING } from './simulated-daemon.ts';
import { FaultPoints, FaultStore, MortalClock, withFaults } from './simulated-faults.ts';
import type { SimulatedHost } from './simulated-hosts.ts';
import { SimulatedHypervisor } from './simulated-hypervisor.ts';
import { addressesWithFaults, endServers, simulatedServing, type SimulatedServing } from './simulated-servers.ts';
import { SimulatedLinkDriver, withLinkFaults } from './simulated-links.ts';
import { simulatedDisks, type SimulatedVolumes } from './simulated-volumes.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** How long systemd waits before it starts a daemon that was killed. */
const RESTART_MS = 1_000;

/** What it takes systemd to run the release of a daemon that was killed. */
const RELEASE_MS = 50;

export interface SimulatedNodeDeps {
  host: SimulatedHost;
  clock: VirtualClock;
  zookeeper: MemoryZooKeeper;
  log: Logger;
  random: () => number;
  initial: 'ready' | 'flushed';
  coordinators: readonly string[];
  parallel: number;
  /** Absent: a cluster without Ceph. */
  volumes?: SimulatedVolumes | undefined;
}

interface Life {
  daemon: NodeDaemon;
  clock: MortalClock;
  hypervisor: SimulatedHypervisor;
  links: SimulatedLinkDriver;
  serving: SimulatedServing;
  store: FaultStore;
  ending: AbortController;
}

/** One host with its daemon, which may be started, ended and killed at any time. */
export class SimulatedNode {
  readonly host: SimulatedHost;
  readonly points: FaultPoints;
  /** What each line of a batch of links takes from the next life on, where a script kills between two. */
  linkLineMs: number | undefined;
  readonly #deps: SimulatedNodeDeps;
  #life: Life | undefined;
  #lives = 0;

  constructor(deps: SimulatedNodeDeps) {
    this.#deps = deps;
    this.host = deps.host;
    const { clock, zookeeper, host } = deps;
    this.points = new FaultPoints({ clock, zookeeper, name: host.name, kill: () => this.killAndRestart() });
  }

  get runs(): boolean {
    return this.#life !== undefined;
  }

  /** Its session is connected. */
  get isConnected(): boolean {
    return this.#life?.store.state === 'connected';
  }

  /** Begins the daemon's start; a failed one is repeated as systemd would. */
  boot(): void {
    if (this.#life !== undefined) return;
    const { host, zookeeper, log, random, initial, coordinators, parallel, volumes } = this.#deps;
    const clock = new MortalClock(this.#deps.clock);
    const hypervisor = new SimulatedHypervisor(host);
    const links = new SimulatedLinkDriver(host.links, clock);
    links.lineMs = this.linkLineMs ?? links.lineMs;
    const store = new FaultStore(new MemoryStore({ zookeeper, clock, name: host.name }), this.points);
    this.#lives += 1;
    const instance = `${host.name}-${this.#lives}`;
    const serving = simulatedServing(host, clock, this.points);
    const { firewall, servers } = serving;
    const addresses = addressesWithFaults(addressesOf(host, clock), this.points);
    const faulty = { hypervisor: withFaults(hypervisor, this.points), links: withLinkFaults(links, this.points) };
    const disks = volumes === undefined ? undefined : simulatedDisks(volumes, this.points);
    const daemon = composeDaemon({ store, ...faulty, firewall, servers, addresses, disks, clock, log, host, instance, random, initial, coordinators, parallel });
    const life: Life = { daemon, clock, hypervisor, links, serving, store, ending: new AbortController() };
    this.#life = life;
    daemon.start(life.ending.signal).catch((error: unknown) => {
      log.warn({ node: host.name, error: String(error) }, 'daemon could not start');
      if (this.#life === life) this.killAndRestart();
    });
  }

  /** SIGKILL: nothing of it runs on. */
  kill(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    life.clock.kill();
    this.#deps.zookeeper.crash(this.host.name);
    life.hypervisor.kill();
    life.links.kill();
    life.serving.silence();
    this.#release();
  }

  /** As the unit's ExecStopPost does after each end of the daemon. */
  #release(): void {
    const { clock, log } = this.#deps;
    const deps = { addresses: addressesOf(this.host, clock), endServers: async () => endServers(this.host), log };
    clock.after(RELEASE_MS, () => void releaseHost({ networking: { ...NETWORKING } }, deps));
  }

  killAndRestart(): void {
    this.kill();
    this.#deps.clock.after(RESTART_MS, () => this.boot());
  }

  /** SIGTERM. */
  async terminate(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    await life.daemon.stop();
    if (this.#life !== life) return;
    this.#life = undefined;
    this.#release();
  }

  cutLinks(): void {
    this.#life?.hypervisor.cutLinks();
  }
}
