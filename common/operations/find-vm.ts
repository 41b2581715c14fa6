import { AppError } from '../errors.ts';
import { vmId } from '../ids.ts';
import type { Versioned } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import type { ClusterMirror } from './context.ts';

/**
 * The VM with exactly this name or UUID, never a prefix.
 * @throws AppError 'not-found'.
 */
export function findVm(mirror: ClusterMirror, nameOrUuid: string): Versioned<VmSpec> {
  const uuid = vmId.safeParse(nameOrUuid.toLowerCase());
  const byUuid = uuid.success ? mirror.get('vm', uuid.data) : undefined;
  const vm = byUuid ?? findByName(mirror, nameOrUuid);
  if (vm === undefined) throw new AppError('not-found', 'no VM has this name or UUID', { vm: nameOrUuid });
  return vm;
}

/** The index may be ahead of the VM (being defined) or behind it (being renamed): both must agree. */
export function findByName(mirror: ClusterMirror, name: string): Versioned<VmSpec> | undefined {
  const index = mirror.get('vm-name', name);
  const vm = index && mirror.get('vm', index.doc.uuid);
  return vm?.doc.name === name ? vm : undefined;
}

export function vmStatusOf(mirror: ClusterMirror, uuid: string): VmStatus | undefined {
  return mirror.get('vm-status', uuid)?.doc;
}
