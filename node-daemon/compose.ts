import { withTimeout, type Clock } from '../common/clock.ts';
import { describeError } from '../common/errors.ts';
import type { NodeName, VmId } from '../common/ids.ts';
import type { Logger } from '../common/log.ts';
import type { LogTail } from '../common/log-tail.ts';
import { Audit, AUDIT_INTERVAL_MS } from '../common/mirror/audit.ts';
import { createMirror, type Mirror } from '../common/mirror/mirror.ts';
import type { OperationContext } from '../common/operations/context.ts';
import { nodeOperations } from '../common/operations/node.ts';
import { OccupancyLedger } from '../common/operations/occupancy-ledger.ts';
import { vmOperations } from '../common/operations/vm.ts';
import { Controller, type ControllerOptions, type KeySource } from '../common/reconcile/controller.ts';
import { MIRRORED, RESOURCES, type MirroredKind } from '../common/schema/resources.ts';
import type { Store } from '../common/store/store.ts';
import { PVC_VERSION } from '../common/version.ts';
import { composeDisks, type DiskParts, type NodeDisks } from './compose-disks.ts';
import { composeNetworks, type NetworkParts, type NodeNetworks } from './compose-networks.ts';
import { createPrimary, createPrimaryAddresses, createStatus, createVms } from './compose-roles.ts';
import { composeStorage, type NodeStorage, type StorageParts } from './compose-storage.ts';
import type { NodeConfig } from './config.ts';
import type { AddressDriver } from './drivers/address.ts';
import type { ApiService } from './drivers/api-service.ts';
import type { CephLink } from './drivers/ceph-link.ts';
import type { ConsoleLogs } from './drivers/console-log.ts';
import type { HostStatistics } from './drivers/host-statistics.ts';
import type { Hypervisor } from './drivers/hypervisor.ts';
import { DomainsReconciler } from './reconcilers/domains.ts';
import { mirrorChanges, whenFresh } from './reconcilers/key-sources.ts';
import { NodeLogReporter } from './reconcilers/node-log.ts';
import type { NodeStatusReporter } from './reconcilers/node-status.ts';
import { PresenceReconciler } from './reconcilers/presence.ts';
import { PrimaryLease } from './reconcilers/primary-lease.ts';
import { PRIMARY_KEY, type PrimaryReconciler } from './reconcilers/primary.ts';
import { coalesce, CONSOLE_INTERVAL_MS, VmConsoleReconciler } from './reconcilers/vm-console.ts';
import type { VmReconciler } from './reconcilers/vm.ts';

/** The world outside of the daemon, real or simulated. */
export interface NodeParts extends NetworkParts, StorageParts, DiskParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** The end of what `log` says. */
  readonly logTail: LogTail;
  readonly hypervisor: Hypervisor;
  readonly addresses: AddressDriver;
  readonly apiService: ApiService;
  readonly statistics: HostStatistics;
  readonly consoles: ConsoleLogs;
  /** What `osds` and `disks` speak to Ceph by. */
  readonly ceph?: CephLink;
  /** From 0 to 1, for the back-off of what failed. */
  readonly jitter: () => number;
  /** Differs with each start of the daemon. */
  readonly instance: string;
}

/** One node's daemon, without its process. */
export interface NodeDaemon {
  /** Resolves when the node is registered, present and at work. */
  start(signal: AbortSignal): Promise<void>;
  /** Gives up the primary role, says goodbye and ends, within a bounded time. The guests go on running. Safe to call twice. */
  stop(): Promise<void>;
  /** Ends all work at once and releases nothing, as a killed process does. For the simulator. */
  abandon(): void;
  /** How long ago the daemon last ended a round of its regular work, in milliseconds; for the watchdog. */
  silentForMs(): number;
  /** Where a live node is reached on the cluster network. */
  addressOf(node: string): string | undefined;
}

/** VMs worked on at a time: most of the work is waiting for libvirt. */
const VM_WORKERS = 32;

/** The sweeps that prove that no event was missed, in milliseconds. */
const VM_RESYNC_MS = 30_000;
const DOMAINS_RESYNC_MS = 30_000;
const CONSOLE_RESYNC_MS = 60_000;
const PRIMARY_RESYNC_MS = 10_000;
const PRESENCE_RESYNC_MS = 10_000;

/** Nobody serves the API's address while a step of the primary waits to be repeated. */
const PRIMARY_BACKOFF = { baseMs: 200, maxMs: 2_000 };

/** A hand-over at the end of the daemon waits for the successor's API, then for the end of the own one. */
const RELINQUISH_LIMIT_MS = 20_000;

/** Each of the other parts of the end, in milliseconds: one call to the store or to libvirt. */
const STOP_PART_LIMIT_MS = 10_000;

type ClusterMirrorImpl = Mirror<typeof RESOURCES, MirroredKind>;

/** Everything that one node runs, made and connected; nothing has happened yet. */
class Node implements NodeDaemon {
  readonly #config: NodeConfig;
  readonly #parts: NodeParts;
  readonly #mirror: ClusterMirrorImpl;
  readonly #occupancy: OccupancyLedger;
  readonly #audit: Audit<MirroredKind>;
  readonly #context: OperationContext;
  readonly #status: NodeStatusReporter;
  readonly #log: NodeLogReporter;
  readonly #presence: PresenceReconciler;
  readonly #lease: PrimaryLease;
  readonly #primary: PrimaryReconciler;
  readonly #networks: NodeNetworks;
  readonly #storage: NodeStorage;
  readonly #disks: NodeDisks;
  readonly #vms: VmReconciler;
  readonly #controllers: { vm: Controller; domains: Controller; console: Controller; primary: Controller; presence: Controller };
  #registered = false;
  /** This host's domains are known, so that it may be given VMs. */
  #hostKnown = false;
  #ended: Promise<void> | undefined;

  constructor(config: NodeConfig, parts: NodeParts) {
    this.#config = config;
    this.#parts = parts;
    const { store, clock, log } = parts;
    this.#mirror = createMirror({ store, clock, log, table: RESOURCES, kinds: MIRRORED });
    this.#occupancy = new OccupancyLedger(this.#mirror);
    this.#audit = new Audit({ mirror: this.#mirror, store, clock, log, intervalMs: AUDIT_INTERVAL_MS });
    const placement = { selector: config.placement.selector, reserveMib: config.placement.reserve_mib };
    this.#context = { store, clock, mirror: this.#mirror, occupancy: this.#occupancy, placement };
    this.#status = createStatus(config, parts, this.#mirror);
    this.#log = new NodeLogReporter({ node: config.node, store, clock, tail: parts.logTail });
    this.#presence = new PresenceReconciler({ store, presence: { node: config.node, instance: parts.instance, address: config.address, version: PVC_VERSION } });
    this.#lease = new PrimaryLease({ node: config.node, instance: parts.instance, store, clock, log, sessionTimeoutMs: config.zookeeper.session_timeout_s * 1_000 });
    const addresses = createPrimaryAddresses(config, parts, { mirror: this.#mirror, lease: this.#lease });
    this.#networks = composeNetworks(config, { parts, mirror: this.#mirror, addresses });
    this.#storage = composeStorage(config, { parts, mirror: this.#mirror, context: this.#context });
    this.#disks = composeDisks(config, { parts, mirror: this.#mirror });
    this.#primary = createPrimary(config, parts, { context: this.#context, lease: this.#lease, status: this.#status, addresses, servers: this.#networks.servers });
    this.#vms = createVms(config, parts, { context: this.#context, networks: this.#networks.ofVms, disks: this.#disks.ofVms, growth: this.#disks.growth, enqueue: (uuid) => this.#controllers.vm.enqueue(uuid) });
    this.#controllers = {
      vm: this.#vmController(),
      domains: this.#domainsController(),
      console: this.#consoleController(),
      primary: this.#primaryController(),
      presence: this.#presenceController(),
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    const { store, hypervisor, consoles } = this.#parts;
    const { node, coordinators, initial_domain_state: initial } = this.#config;
    await store.start(signal);
    this.#log.start();
    await this.#mirror.start(signal);
    this.#occupancy.start();
    this.#audit.start();
    await nodeOperations(this.#context).register(node, initial === 'ready' ? 'ready' : 'flush');
    await this.#status.start(coordinators.includes(node) ? 'secondary' : 'client');
    await this.#lease.removePredecessor();
    this.#lease.start();
    await consoles.start(signal);
    // Before libvirt: the API's address must not wait for it.
    this.#controllers.primary.start();
    this.#registered = true;
    await this.#networks.start(signal);
    await this.#storage.start(signal);
    await hypervisor.start(signal);
    await this.#disks.start();
    for (const vm of await consoles.list()) this.#controllers.console.enqueue(vm);
    await this.#lookAtHost();
    this.#controllers.presence.start();
    this.#controllers.vm.start();
    // libvirt may have come between the look and the subscription.
    if (!this.#hostKnown) await this.#lookAtHost();
    this.#controllers.domains.start();
    this.#controllers.console.start();
    await this.#atWork();
  }

  stop(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  abandon(): void {
    this.#log.abandon();
    this.#lease.stop();
    void this.#status.stop();
    for (const controller of Object.values(this.#controllers)) void controller.stop();
    this.#networks.abandon();
    this.#storage.abandon();
    this.#disks.abandon();
    void this.#parts.ceph?.stop();
    void this.#vms.stop();
    void this.#audit.stop();
    this.#occupancy.stop();
    void this.#mirror.stop();
  }

  silentForMs(): number {
    return this.#status.silentForMs();
  }

  addressOf(node: string): string | undefined {
    return this.#mirror.get('presence', node)?.doc.address;
  }

  async #end(): Promise<void> {
    const { vm, domains, console, primary, presence } = this.#controllers;
    const { hypervisor, consoles, store } = this.#parts;
    if (this.#registered) {
      await this.#part('the announcement', () => this.#status.setDaemon('shutdown'));
      await this.#part('the primary role', () => this.#relinquish(), RELINQUISH_LIMIT_MS);
    }
    const working = [primary, domains, vm, console, presence];
    const stopped = working.map((controller) => this.#part(`the controller ${controller.name}`, () => controller.stop()));
    await Promise.all([...stopped, this.#part('the networks', () => this.#networks.stop()), this.#part('the OSDs', () => this.#storage.stop())]);
    await this.#part('the disks', () => this.#disks.stop());
    await this.#part('the connection to Ceph', async () => this.#parts.ceph?.stop());
    await this.#part('migrations', () => this.#vms.stop());
    await this.#part('libvirt', () => hypervisor.stop());
    await this.#part('consoles', () => consoles.stop());
    if (this.#registered) await this.#goodbye();
    this.#lease.stop();
    await this.#status.stop();
    await this.#audit.stop();
    this.#occupancy.stop();
    await this.#mirror.stop();
    await this.#part('the log', () => this.#log.stop());
    await this.#part('the session', () => store.stop());
  }

  async #goodbye(): Promise<void> {
    await this.#part('the last status', () => this.#status.setDaemon('stop'));
    await this.#part('the lease', () => this.#lease.release());
    await this.#part('the presence', () => this.#presence.release());
  }

  /** What cannot be released is left to the end of the session. */
  async #part(what: string, work: () => Promise<void>, timeoutMs = STOP_PART_LIMIT_MS): Promise<void> {
    try {
      await withTimeout(this.#parts.clock, { timeoutMs, what }, work);
    } catch (error) {
      this.#parts.log.warn({ what, why: describeError(error) }, 'a part of the daemon did not end well');
    }
  }

  async #relinquish(): Promise<void> {
    const released = this.#primary.relinquish();
    this.#controllers.primary.enqueue(PRIMARY_KEY);
    await released;
  }

  #controller(options: Pick<ControllerOptions, 'name' | 'reconciler' | 'sources' | 'keys' | 'workers' | 'resyncMs' | 'backoff'>): Controller {
    const { clock, log, jitter } = this.#parts;
    return new Controller({ clock, log, jitter, ...options });
  }

  #vmController(): Controller {
    const vms = this.#vms;
    const keys = (): readonly VmId[] => vms.keys();
    const domains: KeySource = () =>
      this.#parts.hypervisor.listen({
        domain: (uuid) => vms.noticed(uuid),
        connection: (state) => {
          if (state === 'connected') void this.#part('the look at this host', () => this.#libvirtIsBack());
        },
      });
    const sources = [mirrorChanges(this.#mirror, (kind, id) => vms.keysOf(kind, id)), whenFresh(this.#mirror, keys), domains];
    return this.#controller({ name: 'vm', reconciler: vms, sources, keys, workers: VM_WORKERS, resyncMs: VM_RESYNC_MS });
  }

  /** Before the first round, and whenever libvirt was away: nobody told what happened meanwhile. */
  async #lookAtHost(): Promise<void> {
    try {
      await this.#vms.refreshLocal();
      this.#hostKnown = true;
    } catch (error) {
      this.#parts.log.warn({ why: describeError(error) }, 'the domains of this host could not be listed; it is done when libvirt is back');
    }
  }

  async #libvirtIsBack(): Promise<void> {
    await this.#lookAtHost();
    for (const uuid of this.#vms.keys()) this.#controllers.vm.enqueue(uuid);
    await this.#atWork();
  }

  /** `run` once libvirt has answered: until then this node is primary if need be, and runs no VMs. */
  async #atWork(): Promise<void> {
    if (!this.#hostKnown || this.#ended !== undefined) return;
    await this.#status.refresh();
    await this.#status.setDaemon('run');
    this.#parts.log.info({ node: this.#config.node }, 'node is at work');
  }

  #domainsController(): Controller {
    const { node, flush } = this.#config;
    const { clock, log } = this.#parts;
    const reconciler = new DomainsReconciler({
      me: node,
      mirror: this.#mirror,
      context: this.#context,
      operations: vmOperations(this.#context),
      clock,
      log,
      parallel: flush.parallel,
      report: (domains) => this.#status.setDomains(domains),
    });
    const keys = (): readonly NodeName[] => [node];
    const sources = [mirrorChanges(this.#mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(this.#mirror, keys)];
    return this.#controller({ name: 'domains', reconciler, sources, keys, workers: 1, resyncMs: DOMAINS_RESYNC_MS });
  }

  #consoleController(): Controller {
    const { node, vm } = this.#config;
    const { clock, store, consoles } = this.#parts;
    const mirror = this.#mirror;
    const reconciler = new VmConsoleReconciler({ node, store, mirror, consoles, linesMax: vm.console_lines_max });
    const keys = function* (): Iterable<string> {
      for (const [uuid, { doc }] of mirror.all('vm-status')) if (doc.owner === node) yield uuid;
    };
    const files: KeySource = (enqueue) => {
      const notify = coalesce(clock, CONSOLE_INTERVAL_MS, enqueue);
      const unlisten = consoles.listen(notify);
      return () => {
        unlisten();
        notify.stop();
      };
    };
    const sources = [mirrorChanges(this.#mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(this.#mirror, keys), files];
    return this.#controller({ name: 'vm-console', reconciler, sources, keys, workers: 4, resyncMs: CONSOLE_RESYNC_MS });
  }

  #primaryController(): Controller {
    const keys = (): readonly string[] => [PRIMARY_KEY];
    const lapses: KeySource = (enqueue) =>
      this.#lease.onLapse(() => {
        this.#primary.lapse();
        enqueue(PRIMARY_KEY);
      });
    const sources = [mirrorChanges(this.#mirror, (kind, id) => this.#primary.keysOf(kind, id)), whenFresh(this.#mirror, keys), lapses];
    return this.#controller({ name: 'primary', reconciler: this.#primary, sources, keys, workers: 1, resyncMs: PRIMARY_RESYNC_MS, backoff: PRIMARY_BACKOFF });
  }

  #presenceController(): Controller {
    const { node } = this.#config;
    const keys = (): readonly string[] => [node];
    const sessions: KeySource = (enqueue) => this.#parts.store.listen({ session: (state) => (state === 'connected' ? enqueue(node) : undefined) });
    const sources = [mirrorChanges(this.#mirror, (kind, id) => (kind === 'presence' && id === node ? [node] : [])), sessions];
    return this.#controller({ name: 'presence', reconciler: this.#presence, sources, keys, workers: 1, resyncMs: PRESENCE_RESYNC_MS });
  }
}

/** The only place where a node is put together. */
export function composeNode(config: NodeConfig, parts: NodeParts): NodeDaemon {
  return new Node(config, parts);
}
