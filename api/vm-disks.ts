import { parseDomainXml } from '../common/domain/domain-xml.ts';
import { volumesToCreate, type VolumeCreation, type VolumeSize } from '../common/domain/volume-creation.ts';
import { usersOfVolume, volumesOf } from '../common/domain/volume-users.ts';
import { isOwned } from '../common/domain/vm-state.ts';
import { AppError, isAppError } from '../common/errors.ts';
import { vmStatusOf } from '../common/operations/find-vm.ts';
import type { VmId } from '../common/ids.ts';
import type { VmSpec } from '../common/schema/vm.ts';
import { volumeText, type VolumeRef } from '../common/schema/volume.ts';
import type { ApiMirror } from './cluster.ts';
import type { VolumeStorage } from './storage/storage-cluster.ts';
import type { VolumeLocks } from './storage/volume-locks.ts';

/** The volumes that are disks of a VM. All throw AppError as StorageCluster does. */
export interface VmDisks {
  /**
   * Carries out `define`, which takes this definition, when all volumes exist that it names; those that do not are created first, with the sizes given.
   * When one cannot be, or `define` fails, those that were created are removed again, unless a VM has them by now, or may have.
   * @throws AppError 'invalid' that names the volumes that do not exist and have no size; and about the definition and the sizes; as `define`
   * does. `volumes_left` in the details are the volumes that could not be removed again.
   */
  provide<T>(xml: string, sizes: readonly VolumeSize[], define: (created: readonly VolumeRef[]) => Promise<T>): Promise<T>;
  /** @throws AppError 'state' when another VM has one of them as a disk too. */
  refuseShared(vm: VmSpec): void;
  /** Removes them; those that are gone already are none. @throws AppError 'state' while somebody has one open. */
  remove(vm: VmSpec): Promise<void>;
  /**
   * Breaks the locks that dead clients have left on them; each client is shut out of Ceph first.
   * @returns how many.
   * @throws AppError 'state' while a node has the VM, or somebody has a volume open.
   */
  freeLocks(vm: VmSpec): Promise<number>;
}

/** Of a cluster without storage: what a definition says of volumes is somebody else's business. */
export const NO_VM_DISKS: VmDisks = {
  provide: async (_xml, sizes, define) => {
    if (sizes.length > 0) throw noStorage();
    return define([]);
  },
  refuseShared: () => undefined,
  remove: async () => undefined,
  freeLocks: async () => {
    throw noStorage();
  },
};

function noStorage(): AppError {
  return new AppError('state', 'this cluster has no storage: pvc.enable_storage is false');
}

/** The mirror shows a removal within milliseconds. */
const MIRROR_WAIT_MS = 2_000;

type Volumes = Pick<VolumeStorage, 'missing' | 'create' | 'remove'>;

/** The disks of VMs on the cluster's Ceph. */
export class CephVmDisks implements VmDisks {
  readonly #mirror: ApiMirror;
  readonly #volumes: Volumes;
  readonly #locks: VolumeLocks;

  constructor(deps: { mirror: ApiMirror; volumes: Volumes; locks: VolumeLocks }) {
    this.#mirror = deps.mirror;
    this.#volumes = deps.volumes;
    this.#locks = deps.locks;
  }

  async provide<T>(xml: string, sizes: readonly VolumeSize[], define: (created: readonly VolumeRef[]) => Promise<T>): Promise<T> {
    parseDomainXml(xml);
    // One in a namespace of its pool is not looked up.
    const wanted = volumesOf(xml).filter(({ volume }) => !volume.includes('/'));
    const missing = wanted.length === 0 ? [] : await this.#volumes.missing(wanted);
    const created = await this.#createAll(volumesToCreate(xml, distinct(missing), sizes));
    try {
      return await define(created);
    } catch (error) {
      throw isUndecided(error) ? withLeft(error, created) : await this.#afterUndo(error, created);
    }
  }

  refuseShared(vm: VmSpec): void {
    const others = Array.from(this.#mirror.all('vm').values(), ({ doc }) => doc).filter(({ uuid }) => uuid !== vm.uuid);
    for (const ref of volumesOf(vm.xml)) {
      const [user] = usersOfVolume(others, ref);
      if (user !== undefined) throw new AppError('state', 'another VM has a volume of this one as a disk', { volume: volumeText(ref), vm: user.name });
    }
  }

  async remove(vm: VmSpec): Promise<void> {
    for (const ref of volumesOf(vm.xml)) {
      try {
        await this.#volumes.remove(ref);
      } catch (error) {
        if (!isAppError(error, 'not-found')) throw error;
      }
    }
  }

  /** All, or none. One whose answer was lost may exist, and is to be removed with the others. */
  async #createAll(creations: readonly VolumeCreation[]): Promise<VolumeRef[]> {
    const created: VolumeRef[] = [];
    for (const { ref, sizeBytes } of creations) {
      try {
        await this.#volumes.create(ref, sizeBytes);
      } catch (error) {
        throw await this.#afterUndo(error, isUndecided(error) ? [...created, ref] : created);
      }
      created.push(ref);
    }
    return created;
  }

  /** Removes them. @returns what is to be told of the failure. */
  async #afterUndo(failure: unknown, created: readonly VolumeRef[]): Promise<unknown> {
    const left: VolumeRef[] = [];
    for (const ref of created) if (!(await this.#undone(ref))) left.push(ref);
    return withLeft(failure, left);
  }

  /** One that another VM has by now is that one's. */
  async #undone(ref: VolumeRef): Promise<boolean> {
    try {
      if (!(await this.#isUsed(ref))) await this.#volumes.remove(ref);
      return true;
    } catch (error) {
      if (!isAppError(error)) throw error;
      return error.code === 'not-found';
    }
  }

  /** The VM whose definition was taken back may still be shown. */
  async #isUsed(ref: VolumeRef): Promise<boolean> {
    const definitions = Array.from(this.#mirror.all('vm').values(), ({ doc }) => doc);
    for (const { uuid } of usersOfVolume(definitions, ref)) if (!(await this.#goes(uuid))) return true;
    return false;
  }

  async #goes(uuid: VmId): Promise<boolean> {
    try {
      await this.#mirror.waitFor('vm', uuid, 'gone', { timeoutMs: MIRROR_WAIT_MS });
      return true;
    } catch (error) {
      if (!isAppError(error, 'timeout')) throw error;
      return false;
    }
  }

  async freeLocks(vm: VmSpec): Promise<number> {
    const refuseOwned = (): void => {
      if (isOwned(vmStatusOf(this.#mirror, vm.uuid))) throw new AppError('state', 'the locks of a VM can be freed only while it is off', { vm: vm.name });
    };
    let freed = 0;
    for (const ref of volumesOf(vm.xml)) {
      refuseOwned();
      freed += await this.#locks.free(ref);
    }
    return freed;
  }
}

/** It may have been done, or may still be. */
function isUndecided(error: unknown): boolean {
  return isAppError(error, 'unknown-outcome', 'timeout', 'unavailable', 'cancelled');
}

function withLeft(failure: unknown, left: readonly VolumeRef[]): unknown {
  if (left.length === 0 || !(failure instanceof AppError)) return failure;
  return new AppError(failure.code, failure.message, { ...failure.details, volumes_left: left.map(volumeText).join(', ') }, { cause: failure });
}

function distinct(refs: readonly VolumeRef[]): VolumeRef[] {
  return [...new Map(refs.map((ref) => [volumeText(ref), ref])).values()];
}
