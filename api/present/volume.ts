import { z } from 'zod';
import { shownStorageSize } from '../../common/domain/storage-size.ts';
import type { Volume } from '../storage/storage-cluster.ts';

/** One volume as clients see it; `stats` is what `rbd info` tells, with the size for people. */
export const volumeView = z.object({
  name: z.string(),
  pool: z.string(),
  stats: z.object({
    name: z.string(),
    id: z.string(),
    size: z.string().describe('Rounded up, such as 20G.'),
    size_bytes: z.int(),
    objects: z.int(),
    order: z.int(),
    object_size: z.int(),
    snapshot_count: z.int(),
    block_name_prefix: z.string(),
    format: z.int(),
    features: z.array(z.string()),
    op_features: z.array(z.string()).describe('Always empty.'),
    flags: z.array(z.string()),
    create_timestamp: z.string().describe('In the time zone of the primary, as rbd has it.'),
    access_timestamp: z.string(),
    modify_timestamp: z.string(),
  }),
});
export type VolumeView = z.infer<typeof volumeView>;

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
