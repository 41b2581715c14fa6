import { withTimeout, type Clock } from '../common/clock.ts';
import type { RbdAccess } from '../common/domain/rbd-access.ts';
import { describeError } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import type { ClusterMirror } from '../common/operations/context.ts';
import { runningUsersOfVolume } from '../common/operations/volume-use.ts';
import { Controller, type KeySource } from '../common/reconcile/controller.ts';
import type { VolumeRef } from '../common/schema/volume.ts';
import type { NodeConfig } from './config.ts';
import type { CephLink } from './drivers/ceph-link.ts';
import { HostCephFiles, type CephFiles } from './drivers/ceph-files.ts';
import type { Hypervisor } from './drivers/hypervisor.ts';
import { LibvirtSecrets } from './drivers/libvirt-secret.ts';
import { RbdVolumes, type Volumes } from './drivers/volume.ts';
import { CephVolumeLocks, type VolumeLocks } from './drivers/volume-lock.ts';
import { CEPH_SECRET_KEY, CephSecretReconciler } from './reconcilers/ceph-secret.ts';
import { NO_GROWTH, RbdDiskGrowth, type VmDiskGrowth } from './reconcilers/vm-disk-growth.ts';
import { CephVmDisks, NO_DISKS, type VmDisks } from './reconcilers/vm-disks.ts';

/** What guests' disks need of this host. */
export interface DiskParts {
  /** Absent: the cluster has no Ceph. */
  readonly disks?: DiskHost;
}

export interface DiskHost {
  readonly files: CephFiles;
  readonly secrets: Pick<LibvirtSecrets, 'set' | 'stop'>;
  readonly locks: VolumeLocks;
  readonly volumes: Volumes;
}

export interface DiskDeps {
  readonly parts: DiskParts & { readonly clock: Clock; readonly log: Logger; readonly jitter: () => number; readonly hypervisor: Pick<Hypervisor, 'listen' | 'disks' | 'resizeDisk'> };
  readonly mirror: ClusterMirror;
}

/** Guests' disks on one node. */
export interface NodeDisks {
  readonly ofVms: VmDisks;
  readonly growth: VmDiskGrowth;
  start(): Promise<void>;
  /** The secret stays: guests that run, and that arrive, need it. */
  stop(): Promise<void>;
  /** Ends all work at once, as with the process. */
  abandon(): void;
}

/** The sweep that finds a secret that somebody took away, and a key that was replaced. */
const SECRET_RESYNC_MS = 60_000;

/** Guests are started after the first attempt; libvirt may be away. */
const FIRST_ATTEMPT_LIMIT_MS = 5_000;

const NONE: NodeDisks = { ofVms: NO_DISKS, growth: NO_GROWTH, start: async () => undefined, stop: async () => undefined, abandon: () => undefined };

/** The only place where a node's part in guests' disks is put together. Nothing has happened yet. */
export function composeDisks(config: NodeConfig, deps: DiskDeps): NodeDisks {
  const { disks } = deps.parts;
  return disks === undefined ? NONE : new Disks(config, disks, deps);
}

class Disks implements NodeDisks {
  readonly ofVms: CephVmDisks;
  readonly growth: VmDiskGrowth;
  readonly #host: DiskHost;
  readonly #deps: DiskDeps;
  readonly #secret: CephSecretReconciler;
  readonly #controller: Controller;

  constructor({ ceph }: NodeConfig, host: DiskHost, deps: DiskDeps) {
    this.#host = host;
    this.#deps = deps;
    const { clock, log, jitter, hypervisor } = deps.parts;
    const secret = new CephSecretReconciler({ ...host, client: ceph.libvirt_client, keyringFile: ceph.libvirt_keyring_file, uuid: ceph.secret_uuid });
    const user = ceph.libvirt_client.replace(/^client\./u, '');
    this.#secret = secret;
    const access = async (): Promise<RbdAccess> => ({ user, secretUuid: await secret.uuid(), configFile: ceph.config_file });
    const runningWith = (ref: VolumeRef): string[] => runningUsersOfVolume(deps.mirror, ref).map(({ name }) => name);
    this.ofVms = new CephVmDisks({ access, locks: host.locks, runningWith, clock, log });
    this.growth = new RbdDiskGrowth({ volumes: host.volumes, hypervisor, log });
    const libvirtIsBack: KeySource = (enqueue) => hypervisor.listen({ connection: (state) => (state === 'connected' ? enqueue(CEPH_SECRET_KEY) : undefined) });
    const keys = (): readonly string[] => [CEPH_SECRET_KEY];
    this.#controller = new Controller({ name: 'ceph-secret', clock, log, jitter, reconciler: secret, sources: [libvirtIsBack], keys, workers: 1, resyncMs: SECRET_RESYNC_MS });
  }

  async start(): Promise<void> {
    const { clock, log } = this.#deps.parts;
    try {
      await withTimeout(clock, { timeoutMs: FIRST_ATTEMPT_LIMIT_MS, what: "the key of guests' disks" }, () => this.#secret.reconcile());
    } catch (error) {
      log.warn({ why: describeError(error) }, "the key of guests' disks could not be given to libvirt; it is tried again");
    }
    this.#controller.start();
  }

  async stop(): Promise<void> {
    this.ofVms.stop();
    await this.#controller.stop();
    await this.#host.secrets.stop();
  }

  abandon(): void {
    this.ofVms.stop();
    void this.#controller.stop();
    void this.#host.secrets.stop();
  }
}

/** Of this very host. */
export function composeDiskHost({ ceph, libvirt }: NodeConfig, deps: { clock: Clock; link: CephLink }): DiskHost {
  const { clock, link } = deps;
  return { files: new HostCephFiles(ceph), secrets: new LibvirtSecrets({ clock, libvirtSocket: libvirt.socket }), locks: new CephVolumeLocks(link), volumes: new RbdVolumes(link) };
}
