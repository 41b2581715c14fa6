import type { PoolView } from '../../common/view/pool.ts';
import type { Pool } from '../storage/storage-cluster.ts';

export function presentPool({ id, name, volumeCount, tier, pgs, copies, minCopies, statistics }: Pool): PoolView {
  return {
    name,
    volume_count: volumeCount,
    tier,
    pgs: String(pgs),
    copies,
    mincopies: minCopies,
    stats: {
      id,
      free_bytes: statistics.freeBytes,
      used_bytes: statistics.usedBytes,
      stored_bytes: statistics.storedBytes,
      used_percent: statistics.usedShare,
      num_objects: statistics.objects,
      num_object_clones: statistics.objectClones,
      num_object_copies: statistics.objectCopies,
      num_objects_missing_on_primary: statistics.objectsMissingOnPrimary,
      num_objects_unfound: statistics.objectsUnfound,
      num_objects_degraded: statistics.objectsDegraded,
      read_ops: statistics.readOps,
      read_bytes: statistics.readBytes,
      write_ops: statistics.writeOps,
      write_bytes: statistics.writeBytes,
    },
  };
}
