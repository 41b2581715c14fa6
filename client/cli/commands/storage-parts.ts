import type { VmView } from '../../../common/view/vm.ts';
import type { Context } from '../context.ts';
import { one } from '../declare.ts';
import { named } from '../output/counted.ts';

/** What more than one command of storage has. */
export const POOL = one('name of the pool', { completes: 'pool' });
export const VOLUME = one('name of the volume', { completes: 'volume' });
export const SNAPSHOT = one('name of the snapshot', { completes: 'snapshot' });
export const SIZE = one('size: bytes, or with a unit of 1024 each, such as 512M, 20G or 1T');

export const showPercent = (percent: number): string => `${percent.toFixed(1)} %`;

/** `name` of a VM's disk: the volume with its pool. */
type VolumeTest = (name: string) => boolean;

/** A line for those VMs that have such a volume as a disk: while there are any the cluster refuses. */
export async function usersLine(context: Context, what: string, isMeant: VolumeTest): Promise<string[]> {
  const has = (vm: VmView): boolean => vm.disks.some(({ type, name }) => type === 'rbd' && isMeant(name));
  const users = (await (await context.vms()).list()).filter(has);
  return users.length === 0 ? [] : [`${what} of ${named(users.map(({ name }) => `VM ${name}`))}: the cluster refuses`];
}
