import type { VolumeHolders, VolumeLock } from '../../common/domain/volume-lock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import type { CephLink } from './ceph-link.ts';

/** Who has a volume open, and who may write it. All throw AppError: 'unavailable' or 'timeout' when Ceph does not answer, 'state' when there is no such volume. */
export interface VolumeLocks {
  holders(ref: VolumeRef): Promise<VolumeHolders>;
  /** Takes a lock from a client, which is shut out of Ceph first. Gone already is fine. */
  break(ref: VolumeRef, lock: VolumeLock): Promise<void>;
}

/** Through librbd. */
export class CephVolumeLocks implements VolumeLocks {
  readonly #link: CephLink;

  constructor(link: CephLink) {
    this.#link = link;
  }

  async holders(ref: VolumeRef): Promise<VolumeHolders> {
    try {
      const { locks } = (await this.#link.rados()).rbd(ref.pool);
      const [{ lockers }, watchers] = await Promise.all([locks.lockers(ref.volume), locks.watchers(ref.volume)]);
      return { locks: lockers, watchers: watchers.map(({ address }) => address) };
    } catch (error) {
      if (isAppError(error, 'not-found')) throw new AppError('state', 'a volume of the VM does not exist', { volume: volumeText(ref) }, { cause: error });
      throw error;
    }
  }

  async break(ref: VolumeRef, lock: VolumeLock): Promise<void> {
    try {
      await (await this.#link.rados()).rbd(ref.pool).locks.breakLock(ref.volume, lock);
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
  }
}
