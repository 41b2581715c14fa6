import { nextVolumeLockStep } from '../../common/domain/volume-lock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { CHANGE_LIMIT_MS, READ_LIMIT_MS, type CephLink } from './ceph-commands.ts';

const READ = { timeoutMs: READ_LIMIT_MS };
const CHANGE = { timeoutMs: CHANGE_LIMIT_MS };

/** Clients that a message names, at most. */
const NAMED_MAX = 10;

/** The locks of volumes. */
export interface VolumeLocks {
  /**
   * Breaks the locks that dead clients have left; each client is shut out of Ceph first. One that is gone already is none.
   * @returns how many.
   * @throws AppError 'state' while somebody has the volume open, 'not-found', and as StorageCluster does.
   */
  free(ref: VolumeRef): Promise<number>;
}

/** Locks of RBD images through librbd, which blocklists the client whose lock it breaks. */
export class CephVolumeLocks implements VolumeLocks {
  readonly #link: CephLink;

  constructor({ link }: { link: CephLink }) {
    this.#link = link;
  }

  async free(ref: VolumeRef): Promise<number> {
    const { locks } = (await this.#link.rados()).rbd(ref.pool);
    const { lockers } = await locks.lockers(ref.volume, READ);
    const watchers = (await locks.watchers(ref.volume, READ)).map(({ address }) => address);
    const step = nextVolumeLockStep({ locks: lockers, watchers });
    if (step.kind === 'held') throw new AppError('state', 'somebody has the volume open', { volume: volumeText(ref), clients: step.by.slice(0, NAMED_MAX).join(', ') });
    if (step.kind === 'free') return 0;
    for (const lock of step.locks) await ignoreGone(locks.breakLock(ref.volume, lock, CHANGE));
    return step.locks.length;
  }
}

async function ignoreGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
}
