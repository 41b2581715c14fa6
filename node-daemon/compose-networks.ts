import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import type { Mirror } from '../common/mirror/mirror.ts';
import { Controller, type KeySource } from '../common/reconcile/controller.ts';
import type { MirroredKind, RESOURCES } from '../common/schema/resources.ts';
import type { Store } from '../common/store/store.ts';
import type { NodeConfig } from './config.ts';
import type { LinkDriver } from './drivers/link.ts';
import { mirrorChanges, whenFresh } from './reconcilers/key-sources.ts';
import { NetworkIndex } from './reconcilers/network-index.ts';
import { NetworkStatusReporter } from './reconcilers/network-status.ts';
import { NetworkReconciler } from './reconcilers/network.ts';
import { coalesce } from './reconcilers/vm-console.ts';
import { NO_NETWORKS, VmNetworksGate, type VmNetworks } from './reconcilers/vm-networks.ts';

/** What client networks need of this host, real or simulated. */
export interface NetworkParts {
  readonly links: LinkDriver;
}

/** What they need besides. */
export interface NetworkDeps {
  readonly parts: NetworkParts & { readonly store: Store; readonly clock: Clock; readonly log: Logger; readonly jitter: () => number };
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
}

/** The client networks of one node. */
export interface NodeNetworks {
  /** What guests wait for. */
  readonly ofVms: VmNetworks;
  readonly controllers: readonly Controller[];
  start(signal: AbortSignal): Promise<void>;
  /** After the controllers have been told to stop. */
  stop(): Promise<void>;
  /** Ends all work at once, as with the process. */
  abandon(): void;
}

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

const NONE: NodeNetworks = { ofVms: NO_NETWORKS, controllers: [], start: async () => undefined, stop: async () => undefined, abandon: () => undefined };

class Networks implements NodeNetworks {
  readonly ofVms: VmNetworksGate;
  readonly controllers: readonly Controller[];
  readonly #deps: NetworkDeps;
  readonly #index: NetworkIndex;
  readonly #status: NetworkStatusReporter;
  readonly #links: Controller;

  constructor(config: NodeConfig, networking: NonNullable<NodeConfig['networking']>, deps: NetworkDeps) {
    this.#deps = deps;
    const { mirror, parts } = deps;
    const { store, clock, log } = parts;
    this.#index = new NetworkIndex({ me: config.node, coordinators: config.coordinators, mirror });
    this.#status = new NetworkStatusReporter({ me: config.node, store, clock, log, parts: ['links'] });
    const node = { name: config.node, address: config.address, clusterDevice: networking.cluster.device, bridgeDevice: networking.bridge_device };
    const enqueue = (key: string): void => this.#links.enqueue(key);
    const reconciler = new NetworkReconciler({ node, mirror, links: parts.links, index: this.#index, status: this.#status, clock, log, enqueue });
    this.#links = this.#controller('network', reconciler);
    this.controllers = [this.#links];
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
    this.#index.rebuild();
    for (const controller of this.controllers) controller.start();
  }

  async stop(): Promise<void> {
    this.ofVms.stop();
    await Promise.all(this.controllers.map((controller) => controller.stop()));
    await this.#deps.parts.links.stop();
    await this.#status.stop();
  }

  abandon(): void {
    this.ofVms.stop();
    for (const controller of this.controllers) void controller.stop();
    void this.#deps.parts.links.stop();
    void this.#status.stop();
  }

  #controller(name: string, reconciler: NetworkReconciler): Controller {
    const { mirror, parts } = this.#deps;
    const { clock, log, jitter } = parts;
    const keys = (): readonly string[] => reconciler.keys();
    const events: KeySource = (enqueue) => {
      const notify = coalesce(clock, LINK_EVENT_INTERVAL_MS, enqueue);
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
    return new Controller({ clock, log, jitter, name, reconciler, sources, keys, workers: NETWORK_WORKERS, resyncMs: NETWORK_RESYNC_MS, backoff: NETWORK_BACKOFF });
  }
}
