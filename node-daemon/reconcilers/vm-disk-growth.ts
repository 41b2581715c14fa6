import { describeError, isAppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { volumeText } from '../../common/schema/volume.ts';
import type { Hypervisor } from '../drivers/hypervisor.ts';
import type { Volumes } from '../drivers/volume.ts';
import { grownDisks, sizeToTell, type GrownDisk } from '../plans/vm-disk.ts';

/** How guests learn that their volumes have grown. */
export interface VmDiskGrowth {
  /**
   * Tells the running guest of the sizes that its volumes have been given. What libvirt refuses is logged, and is over.
   * @param sizes in bytes, by `pool/volume`; what the guest does not have is left out.
   * @throws AppError 'unavailable' or 'timeout' when Ceph or libvirt does not answer: it is to be tried again.
   */
  tell(uuid: VmId, sizes: Readonly<Record<string, number>>): Promise<void>;
}

/** Of a cluster without Ceph. */
export const NO_GROWTH: VmDiskGrowth = { tell: async () => undefined };

export interface RbdDiskGrowthDeps {
  volumes: Volumes;
  hypervisor: Pick<Hypervisor, 'disks' | 'resizeDisk'>;
  log: Logger;
}

/** Compares what the guest has with the volumes as they are. */
export class RbdDiskGrowth implements VmDiskGrowth {
  readonly #deps: RbdDiskGrowthDeps;

  constructor(deps: RbdDiskGrowthDeps) {
    this.#deps = deps;
  }

  async tell(uuid: VmId, sizes: Readonly<Record<string, number>>): Promise<void> {
    await this.#unlessRefused(uuid, async () => {
      for (const disk of grownDisks(await this.#deps.hypervisor.disks(uuid), sizes)) {
        await this.#unlessRefused(uuid, () => this.#tellOf(uuid, disk));
      }
    });
  }

  async #tellOf(uuid: VmId, disk: GrownDisk): Promise<void> {
    const { volumes, hypervisor, log } = this.#deps;
    const sizeBytes = sizeToTell(disk, await volumes.sizeBytes(disk.volume));
    if (sizeBytes === undefined) return;
    await hypervisor.resizeDisk(uuid, { dev: disk.dev, sizeBytes });
    log.info({ vm: uuid, disk: disk.dev, volume: volumeText(disk.volume), sizeBytes }, 'the guest is told the new size of a disk');
  }

  async #unlessRefused(uuid: VmId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isAppError(error, 'component', 'invalid', 'state', 'not-found')) throw error;
      this.#deps.log.warn({ vm: uuid, why: describeError(error) }, 'the guest could not be told the new size of a disk; it learns it with its next start');
    }
  }
}
