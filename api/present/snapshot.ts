import { shownStorageSize } from '../../common/domain/storage-size.ts';
import type { SnapshotView } from '../../common/view/snapshot.ts';
import type { Snapshot } from '../storage/storage-cluster.ts';
import { shownTimestamp } from './volume.ts';

export function presentSnapshot({ pool, volume, snapshot, id, sizeBytes, isProtected, createdMs }: Snapshot): SnapshotView {
  return {
    pool,
    volume,
    snapshot,
    stats: { id, name: snapshot, size: shownStorageSize(sizeBytes), size_bytes: sizeBytes, protected: isProtected, timestamp: shownTimestamp(createdMs) },
  };
}
