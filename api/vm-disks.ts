import { parseDomainXml } from '../common/domain/domain-xml.ts';
import { usersOfVolume, volumesOf } from '../common/domain/volume-users.ts';
import { isOwned } from '../common/domain/vm-state.ts';
import { AppError, isAppError } from '../common/errors.ts';
import { vmStatusOf } from '../common/operations/find-vm.ts';
import type { VmSpec } from '../common/schema/vm.ts';
import { volumeText } from '../common/schema/volume.ts';
import type { ApiMirror } from './cluster.ts';
import type { VolumeStorage } from './storage/storage-cluster.ts';
import type { VolumeLocks } from './storage/volume-locks.ts';

/** The volumes that are disks of a VM. All throw AppError as StorageCluster does. */
export interface VmDisks {
  /** @throws AppError 'invalid' that names the volumes of the definition that do not exist; and about the definition itself. */
  confirm(xml: string): Promise<void>;
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
  confirm: async () => undefined,
  refuseShared: () => undefined,
  remove: async () => undefined,
  freeLocks: async () => {
    throw new AppError('state', 'this cluster has no storage: pvc.enable_storage is false');
  },
};

/** Volumes that a message names, at most. */
const NAMED_MAX = 10;

/** The disks of VMs on the cluster's Ceph. */
export class CephVmDisks implements VmDisks {
  readonly #mirror: ApiMirror;
  readonly #volumes: Pick<VolumeStorage, 'missing' | 'remove'>;
  readonly #locks: VolumeLocks;

  constructor(deps: { mirror: ApiMirror; volumes: Pick<VolumeStorage, 'missing' | 'remove'>; locks: VolumeLocks }) {
    this.#mirror = deps.mirror;
    this.#volumes = deps.volumes;
    this.#locks = deps.locks;
  }

  async confirm(xml: string): Promise<void> {
    parseDomainXml(xml);
    // One in a namespace of its pool is not looked up.
    const wanted = volumesOf(xml).filter(({ volume }) => !volume.includes('/'));
    const missing = wanted.length === 0 ? [] : await this.#volumes.missing(wanted);
    if (missing.length === 0) return;
    throw new AppError('invalid', 'the definition has disks on volumes that do not exist', { volumes: missing.slice(0, NAMED_MAX).map(volumeText).join(', ') });
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
