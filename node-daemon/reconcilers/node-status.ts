import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { readResource } from '../../common/operations/update-resource.ts';
import type { CoordinatorState, DaemonState, NodeFacts, NodeStatistics, NodeStatus } from '../../common/schema/node.ts';
import { pathOf } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import type { HostFacts, HostStatistics } from '../drivers/host-statistics.ts';
import type { DomainStats, Hypervisor } from '../drivers/hypervisor.ts';

/** Rounds of one write: nobody else writes this document, so the second one succeeds unless the store is away. */
const TRIES_MAX = 4;

/** Of a libvirt that has not answered yet. */
const UNKNOWN_VERSION = 'unknown';

const NO_STATISTICS: NodeStatistics = {
  load: 0,
  memoryTotalMib: 0,
  memoryUsedMib: 0,
  memoryFreeMib: 0,
  memoryAllocatedMib: 0,
  memoryProvisionedMib: 0,
  vcpusAllocated: 0,
  runningDomains: [],
};

export interface NodeStatusDeps {
  me: NodeName;
  store: Store;
  mirror: ClusterMirror;
  hypervisor: Hypervisor;
  statistics: HostStatistics;
  clock: Clock;
  log: Logger;
  pvcVersion: string;
  /** Told the figures of this node's guests in each round. */
  guests: (figures: readonly DomainStats[]) => Promise<void>;
  /** Statistics are written at most once in this time, in milliseconds. */
  keepaliveIntervalMs: number;
}

/**
 * The only writer of this node's status document. A change of a state is written at once, statistics once per keepalive interval and
 * only when they differ. Nothing depends on this for liveness.
 */
export class NodeStatusReporter {
  readonly #deps: NodeStatusDeps;
  #status: NodeStatus | undefined;
  #version: number | undefined;
  #hostFacts: HostFacts | undefined;
  /** Changes so far, and those of them that the store has. */
  #changes = 0;
  #written = 0;
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;
  #running = false;
  #beatMs: number;
  /** Of the last look at libvirt. */
  #figures: readonly DomainStats[] = [];

  constructor(deps: NodeStatusDeps) {
    this.#deps = deps;
    this.#beatMs = deps.clock.monotonicMs();
  }

  /** Takes up what the last daemon of this node reported of its domains, and says `init`. */
  async start(coordinatorState: CoordinatorState): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const { me, store } = this.#deps;
    const last = await readResource({ store }, 'node-status', me);
    this.#version = last?.version;
    this.#status = {
      name: me,
      daemonState: 'init',
      coordinatorState,
      domains: last?.doc.domains ?? { state: 'flushed', generation: 0, blocked: [] },
      facts: await this.#facts(),
      statistics: last?.doc.statistics ?? NO_STATISTICS,
    };
    await this.#change({});
    this.#schedule();
  }

  /** Nothing is written by itself any more. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** How long ago the last round of statistics ended, in milliseconds; for the watchdog. */
  silentForMs(): number {
    return this.#deps.clock.monotonicMs() - this.#beatMs;
  }

  async setDaemon(daemonState: DaemonState): Promise<void> {
    await this.#change({ daemonState });
  }

  async setCoordinator(coordinatorState: CoordinatorState): Promise<void> {
    await this.#change({ coordinatorState });
  }

  async setDomains(domains: NodeStatus['domains']): Promise<void> {
    await this.#change({ domains });
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(this.#deps.keepaliveIntervalMs, () => void this.#keepalive());
  }

  /** Looks at the host and libvirt now, and writes what differs. */
  async refresh(): Promise<void> {
    const [statistics, facts] = [await this.#statistics(), await this.#facts()];
    if (this.#running) await this.#change({ statistics, facts });
  }

  async #keepalive(): Promise<void> {
    try {
      await this.refresh();
      await this.#deps.guests(this.#figures);
    } catch (error) {
      this.#deps.log.warn({ why: describeError(error) }, "the node's statistics could not be written");
    }
    this.#beatMs = this.#deps.clock.monotonicMs();
    if (this.#running) this.#schedule();
  }

  async #facts(): Promise<NodeFacts> {
    const { statistics, pvcVersion } = this.#deps;
    this.#hostFacts ??= await statistics.facts();
    const { libvirtVersion, hypervisorVersion } = (await this.#ifLibvirtAnswers(() => this.#deps.hypervisor.hostInfo())) ?? {
      libvirtVersion: this.#status?.facts.libvirtVersion ?? UNKNOWN_VERSION,
      hypervisorVersion: this.#status?.facts.qemuVersion ?? UNKNOWN_VERSION,
    };
    return { ...this.#hostFacts, pvcVersion, libvirtVersion, qemuVersion: hypervisorVersion };
  }

  async #statistics(): Promise<NodeStatistics> {
    const { statistics, mirror, me } = this.#deps;
    const load = await statistics.load();
    let memoryProvisionedMib = 0;
    for (const { doc } of mirror.all('vm').values()) if (doc.node === me) memoryProvisionedMib += doc.memoryMib;
    const before = this.#status?.statistics ?? NO_STATISTICS;
    const guests = (await this.#ifLibvirtAnswers(() => this.#guests())) ?? {
      memoryAllocatedMib: before.memoryAllocatedMib,
      vcpusAllocated: before.vcpusAllocated,
      runningDomains: before.runningDomains,
    };
    return { ...load, ...guests, memoryProvisionedMib };
  }

  async #guests(): Promise<Pick<NodeStatistics, 'memoryAllocatedMib' | 'vcpusAllocated' | 'runningDomains'>> {
    const [domains, stats] = await Promise.all([this.#deps.hypervisor.list(), this.#deps.hypervisor.stats()]);
    const here = domains.filter((domain) => domain.ours && domain.state !== 'shutoff' && domain.state !== 'crashed');
    const running = new Set<string>(here.map((domain) => domain.uuid));
    const counted = stats.filter((one) => running.has(one.uuid));
    this.#figures = counted;
    return {
      memoryAllocatedMib: counted.reduce((sum, one) => sum + one.memoryMib, 0),
      vcpusAllocated: counted.reduce((sum, one) => sum + one.vcpus, 0),
      runningDomains: here.map((domain) => domain.uuid).sort(),
    };
  }

  /** Without libvirt the last figures stand; the hypervisor driver itself tells that it is away. */
  async #ifLibvirtAnswers<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (error) {
      if (!isAppError(error, 'unavailable', 'timeout', 'component')) throw error;
      this.#deps.log.debug({ why: describeError(error) }, 'libvirt does not tell its figures now');
      return undefined;
    }
  }

  /** Resolves when the store has this change, written together with others that came meanwhile. */
  async #change(change: Partial<NodeStatus>): Promise<void> {
    if (this.#status === undefined) throw new AppError('bug', "the node's status is not started");
    const next = { ...this.#status, ...change };
    if (isDeepStrictEqual(next, this.#status) && this.#written === this.#changes && this.#written > 0) return;
    this.#status = next;
    this.#changes += 1;
    const mine = this.#changes;
    while (this.#written < mine) {
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
      await this.#writing;
    }
  }

  async #write(): Promise<void> {
    for (let round = 0; round < TRIES_MAX; round += 1) {
      const [covered, status] = [this.#changes, this.#status];
      try {
        const path = pathOf('node-status', this.#deps.me);
        const entry = this.#version === undefined ? await this.#deps.store.create(path, status) : await this.#deps.store.update(path, status, this.#version);
        this.#version = entry.version;
        this.#written = covered;
        return;
      } catch (error) {
        if (!isAppError(error, 'conflict', 'exists', 'not-found', 'unknown-outcome')) throw error;
        this.#version = await readEntryVersion(this.#deps.store, this.#deps.me);
      }
    }
    throw new AppError('conflict', "somebody else writes this node's status", { node: this.#deps.me });
  }
}

async function readEntryVersion(store: Store, me: NodeName): Promise<number | undefined> {
  return (await store.read(pathOf('node-status', me)))?.version;
}
