import type { Clock } from '../../common/clock.ts';
import type { CephAccess } from '../../common/config.ts';
import type { Logger } from '../../common/log.ts';
import type { Run } from '../../common/process.ts';
import { CephCommands, type CephLink } from './ceph-commands.ts';
import { CephImages } from './ceph-images.ts';
import { CephOsds } from './ceph-osds.ts';
import { CephOverview } from './ceph-overview.ts';
import { CephPools } from './ceph-pools.ts';
import { CephSnapshots } from './ceph-snapshots.ts';
import { CephVolumes } from './ceph-volumes.ts';
import { ImageLists } from './image-lists.ts';
import type { StorageCluster } from './storage-cluster.ts';

/** The storage of a cluster with Ceph. */
export function cephCluster({ link, access, run, clock, log }: { link: CephLink; access: CephAccess; run: Run; clock: Clock; log: Logger }): StorageCluster {
  const commands = new CephCommands(link);
  const images = new ImageLists({ link, clock });
  const pools = new CephPools({ commands, images, clock });
  return {
    overview: new CephOverview({ commands, images, access, run, clock }),
    osds: new CephOsds({ commands, clock }),
    pools,
    volumes: new CephVolumes({ link, commands, images }),
    snapshots: new CephSnapshots({ link, commands, pools, images }),
    images: new CephImages({ link, commands, log }),
  };
}
