import { wantsToRun } from '../domain/placement.ts';
import { exclusiveVolumesOf } from '../domain/rbd-access.ts';
import { isOwned } from '../domain/vm-state.ts';
import { usersOfPool, usersOfVolume } from '../domain/volume-users.ts';
import { AppError } from '../errors.ts';
import type { VmSpec } from '../schema/vm.ts';
import { volumeText, type VolumeRef } from '../schema/volume.ts';
import { isAlive } from './choose-node.ts';
import type { ClusterMirror } from './context.ts';
import { vmStatusOf } from './find-vm.ts';

/** Names that a message has, at most. */
const NAMED_MAX = 10;

/** @throws AppError 'state' with the VMs when any has this volume as a disk. */
export function refuseUsedVolume(mirror: ClusterMirror, ref: VolumeRef): void {
  refuseFor(usersOfVolume(definitions(mirror), ref), 'VMs have this volume as a disk', { volume: volumeText(ref) });
}

/** @throws AppError 'state' with the VMs when any that a node runs has this volume as a disk. */
export function refuseRunningVolume(mirror: ClusterMirror, ref: VolumeRef): void {
  const users = usersOfVolume(definitions(mirror), ref).filter(({ uuid }) => isOwned(vmStatusOf(mirror, uuid)));
  refuseFor(users, 'VMs that run have this volume as a disk', { volume: volumeText(ref) });
}

/** The VMs that have this volume to themselves, run at a living node, and are to go on. One that is only being started is not among them. */
export function runningUsersOfVolume(mirror: ClusterMirror, ref: VolumeRef): VmSpec[] {
  return usersOfVolume(definitions(mirror), ref).filter((spec) => {
    const status = vmStatusOf(mirror, spec.uuid);
    const runs = status?.phase.kind === 'running' || status?.phase.kind === 'migrating';
    const goesOn = runs && status.owner !== null && isAlive(mirror, status.owner) && wantsToRun(spec);
    return goesOn && exclusiveVolumesOf(spec.xml).some((one) => volumeText(one) === volumeText(ref));
  });
}

/** @throws AppError 'state' with the VMs when any has a volume of this pool as a disk. */
export function refuseUsedPool(mirror: ClusterMirror, pool: string): void {
  refuseFor(usersOfPool(definitions(mirror), pool), 'VMs have volumes of this pool as disks', { pool });
}

function definitions(mirror: ClusterMirror): VmSpec[] {
  return Array.from(mirror.all('vm').values(), ({ doc }) => doc);
}

function refuseFor(users: readonly VmSpec[], message: string, what: Record<string, string>): void {
  if (users.length === 0) return;
  const named = users.slice(0, NAMED_MAX).map(({ name }) => name).join(', ');
  const rest = users.length - NAMED_MAX;
  throw new AppError('state', message, { ...what, vms: rest > 0 ? `${named} and ${rest} more` : named });
}
