import { storageName } from './pool.ts';
import type { z } from 'zod';

/** Name of a volume (an RBD image) that is made here. */
export const volumeName = storageName.brand<'VolumeName'>();
export type VolumeName = z.infer<typeof volumeName>;

/** A volume by the names that are given for it, whoever made it. */
export interface VolumeRef {
  readonly pool: string;
  readonly volume: string;
}

/** As Ceph and its people write it. */
export function volumeText({ pool, volume }: VolumeRef): string {
  return `${pool}/${volume}`;
}
