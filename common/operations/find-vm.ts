import { AppError } from '../errors.ts';
import { vmId } from '../ids.ts';
import type { Versioned } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import type { ClusterMirror } from './context.ts';

/**
 * The VM with exactly this name or UUID, never a prefix.
 * @throws AppError 'not-found'; 'conflict' while two have the name, of which one gives it up: whose it is stands in the store only.
 */
export function findVm(mirror: ClusterMirror, nameOrUuid: string): Versioned<VmSpec> {
  const uuid = vmId.safeParse(nameOrUuid.toLowerCase());
  const byUuid = uuid.success ? mirror.get('vm', uuid.data) : undefined;
  if (byUuid !== undefined) return byUuid;
  const [vm, ...others] = mirror.find('vm', nameOrUuid);
  if (vm === undefined) throw new AppError('not-found', 'no VM has this name or UUID', { vm: nameOrUuid });
  if (others.length > 0) throw new AppError('conflict', 'more than one VM has this name now: use the UUID', { name: nameOrUuid, uuids: [vm, ...others].map(({ id }) => id) });
  return vm;
}

export function vmStatusOf(mirror: ClusterMirror, uuid: string): VmStatus | undefined {
  return mirror.get('vm-status', uuid)?.doc;
}
