import { describe, expect, test } from 'vitest';
import type { GuestDisk } from '../drivers/hypervisor.ts';
import { grownDisks, sizeToTell } from './vm-disk.ts';

const GIB = 1024 ** 3;

function aDisk(given: Partial<GuestDisk> = {}): GuestDisk {
  return { dev: 'vda', type: 'rbd', name: 'vms/web1', sizeBytes: GIB, ...given };
}

describe('the disks whose volumes have grown', () => {
  test('are those that the guest has on such a volume, whatever its definition says', () => {
    const disks = [aDisk(), aDisk({ dev: 'vdb', name: 'vms/web1_data' }), aDisk({ dev: 'vdc', type: 'file', name: 'vms/web1' })];
    expect(grownDisks(disks, { 'vms/web1': 2 * GIB, 'vms/other': GIB })).toEqual([{ dev: 'vda', volume: { pool: 'vms', volume: 'web1' }, toldBytes: GIB, wantedBytes: 2 * GIB }]);
  });

  test('are none of a snapshot, and none in a namespace of the pool', () => {
    const disks = [aDisk({ name: 'vms/web1@before' }), aDisk({ name: 'vms/space/web1' })];
    expect(grownDisks(disks, { 'vms/web1': 2 * GIB })).toEqual([]);
  });
});

describe('the size that a guest is told', () => {
  const grown = { dev: 'vda', volume: { pool: 'vms', volume: 'web1' }, toldBytes: 2 * GIB, wantedBytes: 3 * GIB };

  test('is that of the volume', () => {
    expect(sizeToTell(grown, 3 * GIB)).toBe(3 * GIB);
    expect(sizeToTell({ ...grown, wantedBytes: 2 * GIB }, 4 * GIB)).toBe(4 * GIB);
  });

  test('takes nothing from a growth that an older look at the volume would undo', () => {
    expect(sizeToTell(grown, 2 * GIB)).toBe(3 * GIB);
  });

  test('is none when the volume became smaller than what the guest has', () => {
    expect(sizeToTell({ ...grown, wantedBytes: GIB }, GIB)).toBeUndefined();
  });

  test('is told once more when the guest has it already, or when nobody knows what it has', () => {
    expect(sizeToTell({ ...grown, toldBytes: 3 * GIB }, 3 * GIB)).toBe(3 * GIB);
    expect(sizeToTell({ ...grown, toldBytes: 0 }, 3 * GIB)).toBe(3 * GIB);
  });
});
