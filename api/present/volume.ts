import { shownStorageSize } from '../../common/domain/storage-size.ts';
import type { VolumeView } from '../../common/view/volume.ts';
import type { Volume } from '../storage/storage-cluster.ts';

/** Images of the old format 1 cannot be made any more, and have no id. */
const FORMAT = 2;

export function presentVolume(volume: Volume): VolumeView {
  return {
    name: volume.volume,
    pool: volume.pool,
    stats: {
      name: volume.volume,
      id: volume.id,
      size: shownStorageSize(volume.sizeBytes),
      size_bytes: volume.sizeBytes,
      objects: volume.objects,
      order: volume.order,
      object_size: 2 ** volume.order,
      snapshot_count: volume.snapshotCount,
      block_name_prefix: volume.blockNamePrefix,
      format: FORMAT,
      features: volume.features,
      op_features: [],
      flags: volume.flags,
      create_timestamp: shownTimestamp(volume.createdMs),
      access_timestamp: shownTimestamp(volume.accessedMs),
      modify_timestamp: shownTimestamp(volume.modifiedMs),
    },
  };
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** As C's ctime() writes it, which is what rbd prints. */
export function shownTimestamp(ms: number): string {
  const date = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${DAYS[date.getDay()] ?? ''} ${MONTHS[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2)} ${time} ${date.getFullYear()}`;
}
