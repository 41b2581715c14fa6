import type { CephAccess } from '../../common/config.ts';
import type { Clock } from '../../common/clock.ts';
import type { VolumeHolders, VolumeLock } from '../../common/domain/volume-lock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { Rados } from '../../common/rados/rados.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';

/** Who has a volume open, and who may write it. All throw AppError: 'unavailable' or 'timeout' when Ceph does not answer, 'state' when there is no such volume. */
export interface VolumeLocks {
  holders(ref: VolumeRef): Promise<VolumeHolders>;
  /** Takes a lock from a client, which is shut out of Ceph first. Gone already is fine. */
  break(ref: VolumeRef, lock: VolumeLock): Promise<void>;
  stop(): Promise<void>;
}

/** Through librbd; connects when it is first asked, and again after that failed. */
export class CephVolumeLocks implements VolumeLocks {
  readonly #access: CephAccess;
  readonly #deps: { clock: Clock; log: Logger };
  #rados: Promise<Rados> | undefined;

  constructor({ config_file, client, keyring_file }: CephAccess, deps: { clock: Clock; log: Logger }) {
    this.#access = { config_file, client, keyring_file };
    this.#deps = deps;
  }

  async holders(ref: VolumeRef): Promise<VolumeHolders> {
    try {
      const { locks } = (await this.#connected()).rbd(ref.pool);
      const [{ lockers }, watchers] = await Promise.all([locks.lockers(ref.volume), locks.watchers(ref.volume)]);
      return { locks: lockers, watchers: watchers.map(({ address }) => address) };
    } catch (error) {
      if (isAppError(error, 'not-found')) throw new AppError('state', 'a volume of the VM does not exist', { volume: volumeText(ref) }, { cause: error });
      throw error;
    }
  }

  async break(ref: VolumeRef, lock: VolumeLock): Promise<void> {
    try {
      await (await this.#connected()).rbd(ref.pool).locks.breakLock(ref.volume, lock);
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
  }

  async stop(): Promise<void> {
    const ending = this.#rados;
    this.#rados = undefined;
    if (ending !== undefined) await ending.then((rados) => rados.close(), () => undefined);
  }

  #connected(): Promise<Rados> {
    const { config_file: configFile, client, keyring_file: keyringFile } = this.#access;
    const connecting = this.#rados ?? Rados.connect({ configFile, client, keyringFile, ...this.#deps });
    this.#rados = connecting;
    connecting.catch(() => {
      if (this.#rados === connecting) this.#rados = undefined;
    });
    return connecting;
  }
}
