import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import type { VolumeRef } from '../../common/schema/volume.ts';
import type { Volumes } from '../../node-daemon/drivers/volume.ts';
import type { VolumeLocks } from '../../node-daemon/drivers/volume-lock.ts';

export interface GuestVolumesFixture {
  readonly volumes: Volumes;
  readonly locks: VolumeLocks;
  /** Makes a volume of the pool vms, or makes it larger. */
  put(ref: VolumeRef, sizeBytes: number): Promise<void>;
  /** Another client has it open, as a guest has. @returns what closes it. */
  open(ref: VolumeRef): Promise<() => Promise<void>>;
  /** Another client takes its lock, and goes without giving it back. */
  leaveLock(ref: VolumeRef): Promise<void>;
  stop(): Promise<void>;
}

const MIB = 1024 ** 2;

/** What a node daemon's drivers of guests' volumes must do, whatever is behind them. Skipped, and counted as such, when something they need is `missing`. */
export function guestVolumesContract(name: string, makeFixture: () => Promise<GuestVolumesFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`guests' volumes: ${name}`, () => {
    let fixture: GuestVolumesFixture;

    beforeAll(async () => {
      fixture = await makeFixture();
    });

    afterAll(() => fixture.stop());

    async function aVolume(volume: string): Promise<VolumeRef> {
      const ref = { pool: 'vms', volume };
      await fixture.put(ref, 8 * MIB);
      return ref;
    }

    async function failure(work: Promise<unknown>): Promise<unknown> {
      return work.then(() => 'none', (error: unknown) => (isAppError(error) ? [error.code, error.details['volume']] : error));
    }

    test('a volume has the size that it was given last', async () => {
      const ref = await aVolume('sized');
      expect(await fixture.volumes.sizeBytes(ref)).toBe(8 * MIB);
      await fixture.put(ref, 12 * MIB);
      expect(await fixture.volumes.sizeBytes(ref)).toBe(12 * MIB);
    });

    test('one that does not exist is told by its name', async () => {
      const ref = { pool: 'vms', volume: 'absent' };
      expect(await failure(fixture.volumes.sizeBytes(ref))).toEqual(['state', 'vms/absent']);
      expect(await failure(fixture.locks.holders(ref))).toEqual(['state', 'vms/absent']);
    });

    test('one that nobody uses has no holders, also while its size is asked for', async () => {
      const ref = await aVolume('idle');
      const [holders] = await Promise.all([fixture.locks.holders(ref), fixture.volumes.sizeBytes(ref)]);
      expect(holders).toEqual({ locks: [], watchers: [] });
    });

    test('whoever has it open is among its watchers, by an address, until it is closed', async () => {
      const ref = await aVolume('open');
      const close = await fixture.open(ref);
      const { watchers } = await fixture.locks.holders(ref);
      expect(watchers).toEqual([expect.stringMatching(/^127\..*:\d+\/\d+$/u)]);
      await close();
      expect((await fixture.locks.holders(ref)).watchers).toEqual([]);
    });

    test('a lock that was left is told, is taken away, and once only', async () => {
      const ref = await aVolume('locked');
      await fixture.leaveLock(ref);
      const { locks, watchers } = await fixture.locks.holders(ref);
      expect({ locks, watchers }).toEqual({ locks: [{ client: expect.stringMatching(/^client\.\d+$/u), cookie: expect.any(String), address: expect.stringMatching(/^127\./u) }], watchers: [] });
      const [lock] = locks;
      if (lock === undefined) throw new Error('there is no lock');
      await fixture.locks.break(ref, lock);
      expect(await fixture.locks.holders(ref)).toEqual({ locks: [], watchers: [] });
      await fixture.locks.break(ref, lock);
      expect((await fixture.locks.holders(ref)).locks).toEqual([]);
    });
  });
}
