import type { VolumeHolders, VolumeLock } from '../../common/domain/volume-lock.ts';
import { AppError } from '../../common/errors.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import type { DiskHost } from '../../node-daemon/compose-disks.ts';
import type { Volumes } from '../../node-daemon/drivers/volume.ts';
import type { VolumeLocks } from '../../node-daemon/drivers/volume-lock.ts';
import type { FaultPoints } from './simulated-faults.ts';

interface SimulatedVolume {
  sizeBytes: number;
  locks: VolumeLock[];
  watchers: string[];
}

/** The volumes of a simulated Ceph, which all hosts share. */
export class SimulatedVolumes implements Volumes, VolumeLocks {
  readonly #volumes = new Map<string, SimulatedVolume>();

  /** Makes it, or gives it another size. */
  put(ref: VolumeRef, sizeBytes: number): void {
    this.#volumes.set(volumeText(ref), { locks: [], watchers: [], ...this.#volumes.get(volumeText(ref)), sizeBytes });
  }

  /** Somebody has it open until they close it. */
  open(ref: VolumeRef, address: string): () => void {
    const volume = this.#find(ref);
    volume.watchers.push(address);
    return () => {
      volume.watchers = volume.watchers.filter((one) => one !== address);
    };
  }

  /** A client that died has left it. */
  leaveLock(ref: VolumeRef, lock: VolumeLock): void {
    this.#find(ref).locks.push(lock);
  }

  async sizeBytes(ref: VolumeRef): Promise<number> {
    return this.#find(ref).sizeBytes;
  }

  async holders(ref: VolumeRef): Promise<VolumeHolders> {
    const { locks, watchers } = this.#find(ref);
    return { locks: [...locks], watchers: [...watchers] };
  }

  async break(ref: VolumeRef, { client, cookie }: VolumeLock): Promise<void> {
    const volume = this.#find(ref);
    volume.locks = volume.locks.filter((one) => one.client !== client || one.cookie !== cookie);
  }

  #find(ref: VolumeRef): SimulatedVolume {
    const volume = this.#volumes.get(volumeText(ref));
    if (volume === undefined) throw new AppError('state', 'a volume of the VM does not exist', { volume: volumeText(ref) });
    return volume;
  }
}

const FSID = '00000000-0000-4000-8000-00000000ceff';

/** What a simulated daemon knows of Ceph; each question is a numbered point. The key of guests' disks is tested on its own. */
export function simulatedDisks(volumes: SimulatedVolumes, points: FaultPoints): DiskHost {
  return {
    files: { fsid: async () => FSID, key: async () => Buffer.alloc(28) },
    secrets: { set: async () => undefined, stop: async () => undefined },
    volumes: { sizeBytes: (ref) => points.pass(`volumes.sizeBytes ${volumeText(ref)}`, () => volumes.sizeBytes(ref)) },
    locks: {
      holders: (ref) => points.pass(`locks.holders ${volumeText(ref)}`, () => volumes.holders(ref)),
      break: (ref, lock) => points.pass(`locks.break ${volumeText(ref)}`, () => volumes.break(ref, lock)),
    },
  };
}
