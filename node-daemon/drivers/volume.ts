import { AppError, isAppError } from '../../common/errors.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import type { CephLink } from './ceph-link.ts';

/** Whoever is told of a size of a volume waits for it, and a VM's other requests with it. */
const LOOK_LIMIT_MS = 10_000;

/** The volumes of guests. */
export interface Volumes {
  /** @throws AppError 'unavailable' or 'timeout' when Ceph does not answer, 'state' when there is no such volume. */
  sizeBytes(ref: VolumeRef): Promise<number>;
}

/** RBD images through librbd. */
export class RbdVolumes implements Volumes {
  readonly #link: CephLink;

  constructor(link: CephLink) {
    this.#link = link;
  }

  async sizeBytes(ref: VolumeRef): Promise<number> {
    try {
      const rados = await this.#link.rados();
      return (await rados.rbd(ref.pool).info(ref.volume, { timeoutMs: LOOK_LIMIT_MS })).sizeBytes;
    } catch (error) {
      if (isAppError(error, 'not-found')) throw new AppError('state', 'a volume of the VM does not exist', { volume: volumeText(ref) }, { cause: error });
      throw error;
    }
  }
}
