import { delay, type Clock } from '../../common/clock.ts';
import { exclusiveVolumesOf, withRbdAccess, type RbdAccess } from '../../common/domain/rbd-access.ts';
import { nextVolumeLockStep } from '../../common/domain/volume-lock.ts';
import { volumesOf } from '../../common/domain/volume-users.ts';
import { AppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import type { VolumeLocks } from '../drivers/volume-lock.ts';

/** Ceph drops a client that it hears nothing of after 30 s (osd_client_watch_timeout); commands that look at a volume have it open for moments. */
const HELD_WAIT_MS = 40_000;
/** A guest of the cluster that runs goes on running; that it has just ended may not be known here yet. */
const RUNNING_WAIT_MS = 2_000;
const LOOK_MS = 1_000;

/** The RBD disks of a guest, before it is. */
export interface VmDisks {
  /**
   * Resolves when nobody else has them.
   * @returns the definition that the guest is started from.
   * @throws AppError 'state' that names who has a disk open, or the disk that does not exist; 'component' when this host does not know its Ceph;
   * 'unavailable' or 'timeout' when Ceph does not answer; 'cancelled' at the end of the daemon.
   */
  ready(xml: string): Promise<string>;
}

/** Of a cluster without Ceph: an RBD disk must say by itself where it is. */
export const NO_DISKS: VmDisks = { ready: async (xml) => xml };

export interface CephVmDisksDeps {
  access: () => Promise<RbdAccess>;
  locks: VolumeLocks;
  /** Names of the VMs that run with this volume at living nodes. */
  runningWith: (ref: VolumeRef) => readonly string[];
  clock: Clock;
  log: Logger;
}

/** Fills in how the cluster's Ceph is reached, and sees to it that no other guest is on the disks. */
export class CephVmDisks implements VmDisks {
  readonly #deps: CephVmDisksDeps;
  readonly #ending = new AbortController();

  constructor(deps: CephVmDisksDeps) {
    this.#deps = deps;
  }

  /** Ends every wait. */
  stop(): void {
    this.#ending.abort();
  }

  async ready(xml: string): Promise<string> {
    if (volumesOf(xml).length === 0) return xml;
    await Promise.all(exclusiveVolumesOf(xml).map((ref) => this.#free(ref)));
    return withRbdAccess(xml, await this.#deps.access());
  }

  /** Whoever died is waited for, and a guest that runs is not; the lock of the dead is taken from it. */
  async #free(ref: VolumeRef): Promise<void> {
    const { locks, clock, log } = this.#deps;
    const beganMs = clock.monotonicMs();
    for (;;) {
      const step = nextVolumeLockStep(await locks.holders(ref));
      if (step.kind === 'free') return;
      if (step.kind === 'held') {
        this.#refuseAfter(clock.monotonicMs() - beganMs, ref, step.by);
        await delay(clock, LOOK_MS, this.#ending.signal);
        continue;
      }
      for (const lock of step.locks) {
        log.warn({ volume: volumeText(ref), client: lock.client, address: lock.address }, 'taking the lock of a client that is gone; it is shut out of Ceph');
        await locks.break(ref, lock);
      }
    }
  }

  /** @throws AppError 'state' with who has the volume open, when nothing is gained by more waiting. */
  #refuseAfter(waitedMs: number, ref: VolumeRef, clients: readonly string[]): void {
    const vms = this.#deps.runningWith(ref);
    if (waitedMs <= (vms.length > 0 ? RUNNING_WAIT_MS : HELD_WAIT_MS)) return;
    const who = { clients: clients.join(', '), ...(vms.length > 0 ? { vms: vms.join(', ') } : {}) };
    throw new AppError('state', 'somebody else has a disk of the VM open', { volume: volumeText(ref), ...who });
  }
}
