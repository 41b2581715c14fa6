import { wantsToRun } from '../domain/placement.ts';
import { isOwned } from '../domain/vm-state.ts';
import { usersOfVolume } from '../domain/volume-users.ts';
import { isAppError } from '../errors.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import { volumeText, type VolumeRef } from '../schema/volume.ts';
import type { OperationContext } from './context.ts';
import { vmStatusOf } from './find-vm.ts';
import { updateResource } from './update-resource.ts';

/**
 * Has the guests that have this volume as a disk told the size that it has from now on; called when it has it. Guests that start later find it
 * so. Resolves when it is written down: the nodes tell them.
 */
export async function announceVolumeSize(context: OperationContext, ref: VolumeRef, sizeBytes: number): Promise<void> {
  const definitions = Array.from(context.mirror.all('vm').values(), ({ doc }) => doc);
  for (const { uuid } of usersOfVolume(definitions, ref)) {
    try {
      await updateResource(context, { kind: 'vm', id: uuid }, (spec) => withSize(spec, vmStatusOf(context.mirror, uuid), { volume: volumeText(ref), sizeBytes }));
    } catch (error) {
      // The VM was removed meanwhile.
      if (!isAppError(error, 'not-found')) throw error;
    }
  }
}

/** What its guest was told already is left out. */
function withSize(spec: VmSpec, status: VmStatus | undefined, { volume, sizeBytes }: { volume: string; sizeBytes: number }): VmSpec {
  if (!wantsToRun(spec) && !isOwned(status)) return spec;
  const { generation } = spec.growth;
  const untold = (status?.growthGeneration ?? 0) < generation ? spec.growth.sizes : {};
  return { ...spec, growth: { sizes: { ...untold, [volume]: sizeBytes }, generation: generation + 1 } };
}
