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
      op_features: volume.opFeatures,
      flags: volume.flags,
      create_timestamp: shownTimestamp(volume.createdMs),
      access_timestamp: shownTimestamp(volume.accessedMs),
      modify_timestamp: shownTimestamp(volume.modifiedMs),
    },
  };
}

const [OPENED, BETWEEN, CLOSED] = [Buffer.from('['), Buffer.from(','), Buffer.from(']\n')];

/** Lists of volumes as JSON text. That of each volume is made once: lists have thousands. */
export class VolumeTexts {
  readonly #texts = new WeakMap<Volume, Buffer>();

  /** In pieces. */
  list(volumes: readonly Volume[]): Buffer[] {
    return [OPENED, ...volumes.flatMap((volume, at) => (at === 0 ? [this.#text(volume)] : [BETWEEN, this.#text(volume)])), CLOSED];
  }

  #text(volume: Volume): Buffer {
    const known = this.#texts.get(volume);
    if (known !== undefined) return known;
    const text = Buffer.from(JSON.stringify(presentVolume(volume)));
    this.#texts.set(volume, text);
    return text;
  }
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
