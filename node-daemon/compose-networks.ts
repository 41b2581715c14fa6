import type { Clock } from '../common/clock.ts';
import { networkOf, parseAddress } from '../common/domain/addressing.ts';
import { vniOfBridge } from '../common/domain/network.ts';
import { AppError } from '../common/errors.ts';
import type { NodeName } from '../common/ids.ts';
import type { Logger } from '../common/log.ts';
import type { Mirror } from '../common/mirror/mirror.ts';
import { Controller, type ControllerOptions, type KeySource } from '../common/reconcile/controller.ts';
import type { MirroredKind, RESOURCES } from '../common/schema/resources.ts';
import type { Store } from '../common/store/store.ts';
import { composeServers, type NodeServers, type ServerParts } from './compose-servers.ts';
import type { NodeConfig } from './config.ts';
import type { Firewall } from './drivers/firewall.ts';
import type { LinkDriver } from './drivers/link.ts';
import type { HostNetworks } from './plans/firewall.ts';
import { FIREWALL_KEY, FirewallReconciler } from './reconcilers/firewall.ts';
import { mirrorChanges, whenFresh } from './reconcilers/key-sources.ts';
import { NetworkIndex } from './reconcilers/network-index.ts';
import { NetworkStatusReporter, type FirewallState } from './reconcilers/network-status.ts';
import { NetworkReconciler } from './reconcilers/network.ts';
import { GATEWAY_KEY, type PrimaryAddresses } from './reconcilers/primary-addresses.ts';
import type { PrimaryServer } from './reconcilers/primary.ts';
import { coalesce } from './reconcilers/vm-console.ts';
import { NO_NETWORKS, VmNetworksGate, type VmNetworks } from './reconcilers/vm-networks.ts';

/** What client networks need of this host, real or simulated. */
export interface NetworkParts {
  readonly links: LinkDriver;
  readonly firewall: Firewall;
  /** Absent: nobody serves addresses and names here. */
  readonly servers?: ServerParts;
}

/** What they need besides. */
export interface NetworkDeps {
  readonly parts: NetworkParts & { readonly store: Store; readonly clock: Clock; readonly log: Logger; readonly jitter: () => number };
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
  /** The gateways among them are this node's while it is primary. */
  readonly addresses: PrimaryAddresses;
}

/** The client networks of one node. */
export interface NodeNetworks {
  /** What guests wait for. */
  readonly ofVms: VmNetworks;
  readonly controllers: readonly Controller[];
  /** What runs while this node is primary. */
  readonly servers: readonly PrimaryServer[];
  start(signal: AbortSignal): Promise<void>;
  /** After the controllers have been told to stop. */
  stop(): Promise<void>;
  /** Ends all work at once, as with the process. */
  abandon(): void;
}

type Networking = NonNullable<NodeConfig['networking']>;

/** All networks at a time: the driver answers them together, and most of the work is waiting for it. */
const NETWORK_WORKERS = 256;

/** The sweep that proves that no event was missed, in milliseconds. */
const NETWORK_RESYNC_MS = 30_000;

/** Our own changes cause a handful of events for each link. */
const LINK_EVENT_INTERVAL_MS = 200;

const NETWORK_BACKOFF = { baseMs: 500, maxMs: 15_000 };

/** The only place where a node's client networks are put together. Nothing has happened yet. */
export function composeNetworks(config: NodeConfig, deps: NetworkDeps): NodeNetworks {
  const { networking } = config;
  return networking === undefined ? NONE : new Networks(config, networking, deps);
}

const NONE: NodeNetworks = { ofVms: NO_NETWORKS, controllers: [], servers: [], start: async () => undefined, stop: async () => undefined, abandon: () => undefined };

class Networks implements NodeNetworks {
  readonly ofVms: VmNetworksGate;
  readonly controllers: readonly Controller[];
  readonly servers: readonly PrimaryServer[];
  readonly #deps: NetworkDeps;
  readonly #index: NetworkIndex;
  readonly #status: NetworkStatusReporter;
  readonly #links: Controller;
  readonly #servers: NodeServers | undefined;

  constructor(config: NodeConfig, networking: Networking, deps: NetworkDeps) {
    this.#deps = deps;
    const { mirror, parts } = deps;
    const { store, clock, log } = parts;
    this.#index = new NetworkIndex({ me: config.node, coordinators: config.coordinators, mirror });
    this.#status = new NetworkStatusReporter({ me: config.node, store, clock, log, parts: ['links', 'firewall'] });
    const node = { name: config.node, address: config.address, clusterDevice: networking.cluster.device, bridgeDevice: networking.bridge_device };
    const enqueue = (key: string): void => this.#links.enqueue(key);
    const reconciler = new NetworkReconciler({ node, mirror, links: parts.links, index: this.#index, status: this.#status, clock, log, enqueue });
    this.#links = this.#linksController(reconciler);
    const report = (vni: number, server: 'dhcp' | 'dns', error: string | null): void => this.#status.setServer(vni, server, error);
    this.#servers = parts.servers === undefined ? undefined : composeServers(config, { parts: { ...parts, ...parts.servers }, mirror, role: deps.addresses, report });
    this.servers = this.#servers?.servers ?? [];
    this.controllers = [this.#links, this.#firewallController(config.node, networking), this.#gatewayController(), ...(this.#servers?.controllers ?? [])];
    this.ofVms = new VmNetworksGate({
      me: config.node,
      mirror,
      onDocument: (listener) => mirror.onChange(listener),
      status: this.#status,
      clock,
      enqueue: (vni) => enqueue(String(vni)),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#status.start();
    await this.#deps.parts.links.start(signal);
    await this.#servers?.start(signal);
    this.#index.rebuild();
    for (const controller of this.controllers) controller.start();
  }

  async stop(): Promise<void> {
    this.ofVms.stop();
    await Promise.all(this.controllers.map((controller) => controller.stop()));
    await this.#servers?.stop();
    await this.#deps.parts.links.stop();
    this.#deps.parts.firewall.stop();
    await this.#status.stop();
  }

  abandon(): void {
    this.ofVms.stop();
    for (const controller of this.controllers) void controller.stop();
    void this.#servers?.stop();
    void this.#deps.parts.links.stop();
    this.#deps.parts.firewall.stop();
    void this.#status.stop();
  }

  #linksController(reconciler: NetworkReconciler): Controller {
    const { mirror, parts } = this.#deps;
    const keys = (): readonly string[] => reconciler.keys();
    const events: KeySource = (enqueue) => {
      const notify = coalesce(parts.clock, LINK_EVENT_INTERVAL_MS, enqueue);
      const look = (all: readonly string[]): void => {
        for (const key of all) notify(key);
      };
      const unlisten = parts.links.listen({ link: (link) => look(reconciler.keysOfLink(link)), missed: () => look(reconciler.keys()) });
      return () => {
        unlisten();
        notify.stop();
      };
    };
    const sources = [mirrorChanges(mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(mirror, keys), events];
    return this.#controller({ name: 'network', reconciler, sources, keys, workers: NETWORK_WORKERS });
  }

  #firewallController(me: NodeName, networking: Networking): Controller {
    const { mirror, parts } = this.#deps;
    const { firewall, clock, log } = parts;
    const isNeeded = (vni: number): boolean => this.#index.isNeeded(vni);
    const report = (vni: number, state: FirewallState): void => this.#status.setFirewall(vni, state);
    const reconciler = new FirewallReconciler({ me, mirror, firewall, clock, log, hosts: hostNetworks(networking), isNeeded, report });
    const keys = (): readonly string[] => {
      reconciler.rebuild();
      return [FIREWALL_KEY];
    };
    const tampering: KeySource = (enqueue) =>
      firewall.listen(() => {
        reconciler.doubt();
        enqueue(FIREWALL_KEY);
      });
    const sources = [mirrorChanges(mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(mirror, keys), tampering];
    return this.#controller({ name: 'firewall', reconciler, sources, keys, workers: 1 });
  }

  /** A bridge that comes up gets its gateway; an address of the primary that somebody takes off is put back by the kernel's event. */
  #gatewayController(): Controller {
    const { mirror, parts, addresses } = this.#deps;
    const keys = (): readonly string[] => [GATEWAY_KEY];
    const devices: KeySource = (enqueue) => {
      const notify = coalesce(parts.clock, LINK_EVENT_INTERVAL_MS, enqueue);
      const look = (): void => void (addresses.isMine() && notify(GATEWAY_KEY));
      const matters = (link: string): boolean => vniOfBridge(link) !== undefined || addresses.isFloatingOn(link);
      const unlisten = parts.links.listen({ link: (link) => (matters(link) ? look() : undefined), missed: look });
      return () => {
        unlisten();
        notify.stop();
      };
    };
    const role: KeySource = (enqueue) => addresses.onChange(() => enqueue(GATEWAY_KEY));
    const sources = [mirrorChanges(mirror, (kind) => addresses.keysOf(kind)), whenFresh(mirror, keys), devices, role];
    return this.#controller({ name: 'gateway', reconciler: addresses, sources, keys, workers: 1 });
  }

  #controller(options: Pick<ControllerOptions, 'name' | 'reconciler' | 'sources' | 'keys' | 'workers'>): Controller {
    const { clock, log, jitter } = this.#deps.parts;
    return new Controller({ clock, log, jitter, resyncMs: NETWORK_RESYNC_MS, backoff: NETWORK_BACKOFF, ...options });
  }
}

/** A prefix is known by the floating address in it; a device that leads to the outside too is guarded by prefix alone. */
function hostNetworks({ cluster, storage, upstream }: Networking): HostNetworks {
  const guarded = [cluster, storage].filter((network) => network !== undefined);
  return {
    prefixes: [...new Set(guarded.flatMap(({ floating_address: cidr }) => (cidr === undefined ? [] : [networkPrefix(cidr)])))],
    devices: [...new Set(guarded.map(({ device }) => device).filter((device) => device !== upstream?.device))],
    upstreamDevice: upstream?.device,
  };
}

function networkPrefix(cidr: string): string {
  const [address = '', length = ''] = cidr.split('/');
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new AppError('bug', 'a floating address was not checked', { cidr });
  return networkOf(parsed, Number(length)).text;
}
