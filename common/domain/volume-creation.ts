import { AppError } from '../errors.ts';
import { volumeName, volumeText, type VolumeRef } from '../schema/volume.ts';
import { readDomainFacts, type DomainDisk } from './domain-xml.ts';

/** How large a volume is to be that a definition names and that does not exist: that of one disk (`vda`), or of every other (null). */
export interface VolumeSize {
  dev: string | null;
  sizeBytes: number;
}

export interface VolumeCreation {
  ref: VolumeRef;
  sizeBytes: number;
}

/** Volumes that a message names, at most. */
const NAMED_MAX = 10;

/**
 * What has to be created for the disks of a definition, one that was accepted, by the sizes that were given; a size for a volume that exists says nothing.
 * @param missing the volumes of its disks that do not exist.
 * @throws AppError 'invalid' when a missing volume has no size, or a name that none may have; when a size is of no disk on a volume, or one of two.
 */
export function volumesToCreate(xml: string, missing: readonly VolumeRef[], sizes: readonly VolumeSize[]): VolumeCreation[] {
  const disks = readDomainFacts(xml).disks.filter(({ type, name }) => type === 'rbd' && !isInNamespace(name));
  const byDev = sizesByDev(disks, sizes);
  const sized = missing.map((ref) => ({ ref, sizeBytes: byDev.get(devOf(disks, ref)) ?? byDev.get(null) }));
  const without = sized.filter(({ sizeBytes }) => sizeBytes === undefined).map(({ ref }) => volumeText(ref));
  if (without.length > 0) throw new AppError('invalid', 'the definition has disks on volumes that do not exist', { volumes: without.slice(0, NAMED_MAX).join(', ') });
  return sized.flatMap(({ ref, sizeBytes }) => (sizeBytes === undefined ? [] : [{ ref: creatable(disks, ref), sizeBytes }]));
}

/** Volumes in a namespace of their pool are none of those that are kept here. */
function isInNamespace(name: string): boolean {
  return name.split('/').length > 2;
}

function sizesByDev(disks: readonly DomainDisk[], sizes: readonly VolumeSize[]): Map<string | null, number> {
  const found = new Map<string | null, number>();
  for (const { dev, sizeBytes } of sizes) {
    if (dev !== null && !disks.some((disk) => disk.dev === dev)) throw new AppError('invalid', 'a size is given for a disk that the definition does not have on a volume', { disk: dev });
    if (found.has(dev)) throw new AppError('invalid', 'two sizes are given for the same disk', { disk: dev ?? 'all' });
    found.set(dev, sizeBytes);
  }
  return found;
}

/** Of several disks on the same volume, the first. */
function devOf(disks: readonly DomainDisk[], ref: VolumeRef): string | null {
  return diskOf(disks, ref)?.dev ?? null;
}

function diskOf(disks: readonly DomainDisk[], ref: VolumeRef): DomainDisk | undefined {
  const text = volumeText(ref);
  return disks.find(({ name }) => name === text || name.startsWith(`${text}@`));
}

function creatable(disks: readonly DomainDisk[], ref: VolumeRef): VolumeRef {
  if (diskOf(disks, ref)?.name.includes('@') === true) throw new AppError('invalid', 'a disk is on a snapshot of a volume that does not exist', { volume: volumeText(ref) });
  const name = volumeName.safeParse(ref.volume);
  if (!name.success) throw new AppError('invalid', 'a volume cannot be created with this name', { volume: volumeText(ref), why: name.error.issues[0]?.message });
  return ref;
}
