import type { VmSpec } from '../schema/vm.ts';
import { volumeText, type VolumeRef } from '../schema/volume.ts';
import { readDomainFacts } from './domain-xml.ts';

/** A VM's definition, as far as its disks go. */
type Definition = Pick<VmSpec, 'uuid' | 'name' | 'xml'>;

/**
 * The volumes that a domain definition has as disks. What stands behind an `@` in a disk's name is a snapshot of the volume. A volume in a
 * namespace of its pool has the namespace in its name, so it is none of those that are kept here.
 */
export function volumesOf(xml: string): VolumeRef[] {
  return readDomainFacts(xml)
    .disks.filter((disk) => disk.type === 'rbd')
    .flatMap(({ name }) => {
      const [, pool, volume] = /^([^/]+)\/([^@]+)/u.exec(name) ?? [];
      return pool === undefined || volume === undefined ? [] : [{ pool, volume }];
    });
}

/** The VMs that have this volume as a disk, by name. */
export function usersOfVolume<D extends Definition>(vms: Iterable<D>, ref: VolumeRef): D[] {
  return usersAmong(vms, volumeText(ref), (one) => one.pool === ref.pool && one.volume === ref.volume);
}

/** The VMs that have a volume of this pool as a disk, by name. */
export function usersOfPool<D extends Definition>(vms: Iterable<D>, pool: string): D[] {
  return usersAmong(vms, `${pool}/`, (one) => one.pool === pool);
}

/** Only definitions in which the text stands, be it written with character references, are read: thousands of others are not. */
function usersAmong<D extends Definition>(vms: Iterable<D>, text: string, wanted: (ref: VolumeRef) => boolean): D[] {
  return [...vms]
    .filter(({ xml }) => xml.includes(text) || xml.includes('&'))
    .filter(({ xml }) => volumesOf(xml).some(wanted))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
