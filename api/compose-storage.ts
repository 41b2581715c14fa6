import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import { run } from '../common/process.ts';
import type { VmOperations } from '../common/operations/vm.ts';
import type { ApiMirror } from './cluster.ts';
import type { ApiConfig } from './config.ts';
import type { Route } from './route.ts';
import { imageRoutes } from './routes/image.ts';
import { osdRoutes } from './routes/osd.ts';
import { poolRoutes } from './routes/pool.ts';
import { snapshotRoutes } from './routes/snapshot.ts';
import { storageRoutes } from './routes/storage.ts';
import { volumeRoutes } from './routes/volume.ts';
import { cephCluster } from './storage/ceph-cluster.ts';
import { LazyLink } from './storage/lazy-link.ts';
import { NO_STORAGE } from './storage/no-storage.ts';
import type { StorageCluster } from './storage/storage-cluster.ts';
import { CephVmDisks, NO_VM_DISKS, type VmDisks } from './vm-disks.ts';
import { CephVolumeLocks } from './storage/volume-locks.ts';
import { StorageWatch } from './storage/storage-watch.ts';

export interface Storage {
  readonly cluster: StorageCluster;
  disksOfVms(mirror: ApiMirror): VmDisks;
  /** Undefined in a cluster without storage. */
  readonly watch: StorageWatch | undefined;
  start(): void;
  /** Safe to call twice. */
  stop(): Promise<void>;
}

/** The storage of the cluster. Nobody waits for Ceph before something is wanted of it. */
export function composeStorage({ config, clock, log }: { config: ApiConfig; clock: Clock; log: Logger }): Storage {
  const { enable_storage, ceph } = config.pvc;
  const { operation_timeout_s, ...access } = ceph;
  if (!enable_storage) return { cluster: NO_STORAGE, disksOfVms: () => NO_VM_DISKS, watch: undefined, start: () => undefined, stop: async () => undefined };
  const link = new LazyLink({ access, operationTimeoutMs: operation_timeout_s * 1_000, clock, log });
  const cluster = cephCluster({ link, access, run, clock, log });
  const watch = new StorageWatch({ cluster, clock, log });
  return {
    cluster,
    disksOfVms: (mirror) => new CephVmDisks({ mirror, volumes: cluster.volumes, locks: new CephVolumeLocks({ link }) }),
    watch,
    start: () => watch.start(),
    stop: async () => {
      await watch.stop();
      await link.close();
    },
  };
}

export function allStorageRoutes({ cluster, mirror, vms, clock }: { cluster: StorageCluster; mirror: ApiMirror; vms: VmOperations; clock: Clock }): Route[] {
  return [
    ...storageRoutes({ mirror, overview: cluster.overview }),
    ...osdRoutes({ osds: cluster.osds }),
    ...poolRoutes({ mirror, pools: cluster.pools }),
    ...snapshotRoutes({ mirror, snapshots: cluster.snapshots }),
    ...volumeRoutes({ mirror, volumes: cluster.volumes, vms }),
    ...imageRoutes({ mirror, images: cluster.images, clock }),
  ];
}
