import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import type { Mirror } from '../common/mirror/mirror.ts';
import type { OperationContext } from '../common/operations/context.ts';
import { Controller } from '../common/reconcile/controller.ts';
import type { MirroredKind, RESOURCES } from '../common/schema/resources.ts';
import type { NodeConfig } from './config.ts';
import { LinuxBlockDevices } from './drivers/block-device.ts';
import { RadosCommands } from './drivers/ceph-commands.ts';
import type { CephLink } from './drivers/ceph-link.ts';
import { CephOsdCluster } from './drivers/osd-cluster.ts';
import { createOsdService, type OsdServiceDeps } from './drivers/osd-service.ts';
import { CephOsdStore } from './drivers/osd-store.ts';
import { mirrorChanges, whenFresh } from './reconcilers/key-sources.ts';
import type { OsdWorld } from './reconcilers/osd-observer.ts';
import { OsdReconciler } from './reconcilers/osd.ts';

/** What the cluster's storage needs of this host. */
export interface StorageParts {
  /** Absent: this node has no OSDs. */
  readonly osds?: OsdWorld;
}

/** What it needs besides. */
export interface StorageDeps {
  readonly parts: StorageParts & { readonly clock: Clock; readonly log: Logger; readonly jitter: () => number };
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
  readonly context: OperationContext;
}

/** The storage of one node. */
export interface NodeStorage {
  start(signal: AbortSignal): Promise<void>;
  /** The OSDs go on. */
  stop(): Promise<void>;
  /** Ends all work at once, as with the process. */
  abandon(): void;
}

/** OSDs worked on at a time: most of the work is waiting for Ceph, and two at once on one slow disk controller are enough for its disks. */
const OSD_WORKERS = 4;

/** The sweep that proves that no event was missed, and that finds OSDs that have ended. */
const OSD_RESYNC_MS = 30_000;

const OSD_BACKOFF = { baseMs: 1_000, maxMs: 30_000 };

const NONE: NodeStorage = { start: async () => undefined, stop: async () => undefined, abandon: () => undefined };

/** The only place where a node's storage is put together. Nothing has happened yet. */
export function composeStorage(config: NodeConfig, deps: StorageDeps): NodeStorage {
  const { osds } = deps.parts;
  return osds === undefined ? NONE : new Storage(config, osds, deps);
}

class Storage implements NodeStorage {
  readonly #osds: OsdWorld;
  readonly #controller: Controller;

  constructor(config: NodeConfig, osds: OsdWorld, { parts, mirror, context }: StorageDeps) {
    this.#osds = osds;
    const { clock, log, jitter } = parts;
    const limits = { drainStallMs: config.ceph.osd.drain_stall_s * 1_000 };
    const reconciler = new OsdReconciler({ me: config.node, mirror, context, world: osds, clock, log, limits });
    const keys = (): Iterable<string> => reconciler.keys();
    const sources = [mirrorChanges(mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(mirror, keys)];
    this.#controller = new Controller({ name: 'osd', clock, log, jitter, reconciler, sources, keys, workers: OSD_WORKERS, resyncMs: OSD_RESYNC_MS, backoff: OSD_BACKOFF });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#osds.service.start(signal);
    this.#controller.start();
  }

  async stop(): Promise<void> {
    await this.#controller.stop();
    await this.#osds.service.stop();
  }

  abandon(): void {
    void this.#controller.stop();
    void this.#osds.service.stop();
  }
}

/** The OSDs of this very host. */
export function composeOsdHost({ ceph }: NodeConfig, deps: OsdServiceDeps & { link: CephLink }): OsdWorld {
  const { run } = deps;
  const { config_file: configFile, osd } = ceph;
  const user = osd.service.kind === 'systemd' ? osd.service.user : undefined;
  return {
    cluster: new CephOsdCluster(new RadosCommands(deps.link)),
    devices: new LinuxBlockDevices({ run }),
    store: new CephOsdStore({ run, directory: osd.directory, configFile, user }),
    service: createOsdService(ceph, deps),
  };
}
