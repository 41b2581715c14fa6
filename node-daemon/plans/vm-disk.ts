import type { VolumeRef } from '../../common/schema/volume.ts';
import type { GuestDisk } from '../drivers/hypervisor.ts';

/** A disk of a guest whose volume was given another size. */
export interface GrownDisk {
  dev: string;
  volume: VolumeRef;
  /** The size that the guest knows, and the one that was asked for. */
  toldBytes: number;
  wantedBytes: number;
}

/** Those of the guest's disks that are on a volume which was given one of these sizes (bytes, by `pool/volume`). */
export function grownDisks(disks: readonly GuestDisk[], sizes: Readonly<Record<string, number>>): GrownDisk[] {
  return disks.flatMap(({ dev, type, name, sizeBytes }) => {
    const wantedBytes = type === 'rbd' ? sizes[name] : undefined;
    const [pool, volume] = name.split('/');
    if (wantedBytes === undefined || pool === undefined || volume === undefined) return [];
    return [{ dev, volume: { pool, volume }, toldBytes: sizeBytes ?? 0, wantedBytes }];
  });
}

/**
 * The size to give a disk whose volume has `volumeBytes` now. QEMU gives the volume that size too, so it must take nothing away: neither from what the
 * guest has, nor from a change that came between the look at the volume and this. Undefined: the volume has become smaller, and nothing is done.
 *
 * A guest is told also of a size that its QEMU has already: one that moved here meanwhile found the volume so, and did not tell.
 */
export function sizeToTell({ toldBytes, wantedBytes }: GrownDisk, volumeBytes: number): number | undefined {
  const sizeBytes = Math.max(volumeBytes, wantedBytes);
  return sizeBytes < toldBytes ? undefined : sizeBytes;
}
