import type { z } from 'zod';
import { storageName } from './pool.ts';
import { volumeText, type VolumeRef } from './volume.ts';

/** Name of a volume's snapshot that is made here. */
export const snapshotName = storageName.brand<'SnapshotName'>();
export type SnapshotName = z.infer<typeof snapshotName>;

/** A snapshot by the names that are given for it, whoever made it. */
export interface SnapshotRef extends VolumeRef {
  readonly snapshot: string;
}

/** As Ceph and its people write it. */
export function snapshotText(ref: SnapshotRef): string {
  return `${volumeText(ref)}@${ref.snapshot}`;
}
