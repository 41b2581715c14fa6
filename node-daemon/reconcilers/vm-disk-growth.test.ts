import { describe, expect, test } from 'vitest';
import { systemClock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import { silentLogger } from '../../common/log.ts';
import { aDomainXml, aVmId } from '../../test/support/builders.ts';
import { SimulatedHosts } from '../../test/support/simulated-hosts.ts';
import { SimulatedHypervisor } from '../../test/support/simulated-hypervisor.ts';
import { RbdDiskGrowth } from './vm-disk-growth.ts';

const UUID = aVmId(1);
const MIB = 1024 ** 2;

function rbdDisk(dev: string, name: string): string {
  return `<disk type='network' device='disk'><source protocol='rbd' name='${name}'/><target dev='${dev}' bus='virtio'/></disk>`;
}

/** A guest with a disk on vms/one and one on vms/two, of 1 MiB each. */
async function scene(given: { sizes?: Record<string, number>; failure?: AppError } = {}) {
  const hosts = new SimulatedHosts({ clock: systemClock, defaults: { startMs: 1 } });
  const hypervisor = new SimulatedHypervisor(hosts.add('hv1', { memoryMib: 4_096 }));
  await hypervisor.start();
  await hypervisor.create(UUID, aDomainXml({ uuid: UUID, devices: rbdDisk('vda', 'vms/one') + rbdDisk('vdb', 'vms/two') }));
  const sizeBytes = async ({ volume }: { volume: string }): Promise<number> => {
    if (given.failure !== undefined && volume === 'one') throw given.failure;
    return given.sizes?.[volume] ?? MIB;
  };
  const growth = new RbdDiskGrowth({ volumes: { sizeBytes }, hypervisor, log: silentLogger });
  const told = async (): Promise<unknown[]> => (await hypervisor.disks(UUID)).map((disk) => (disk.sizeBytes ?? 0) / MIB);
  return { growth, hypervisor, told };
}

describe('a guest whose volumes have grown', () => {
  test('is told of each, and of no other', async () => {
    const { growth, told } = await scene({ sizes: { one: 3 * MIB, two: 5 * MIB } });
    await growth.tell(UUID, { 'vms/one': 3 * MIB });
    expect(await told()).toEqual([3, 1]);
  });

  test('is told of the others when one cannot be looked up or is refused', async () => {
    const { growth, told } = await scene({ sizes: { two: 5 * MIB }, failure: new AppError('state', 'there is no such volume') });
    await growth.tell(UUID, { 'vms/one': 3 * MIB, 'vms/two': 5 * MIB });
    expect(await told()).toEqual([1, 5]);
  });

  test('is told again later while Ceph does not answer', async () => {
    const { growth } = await scene({ failure: new AppError('timeout', 'Ceph does not answer') });
    await expect(growth.tell(UUID, { 'vms/one': 3 * MIB })).rejects.toMatchObject({ code: 'timeout' });
  });

  test('and has ended meanwhile needs not be told', async () => {
    const { growth, hypervisor } = await scene({ sizes: { one: 3 * MIB } });
    await hypervisor.destroy(UUID);
    await growth.tell(UUID, { 'vms/one': 3 * MIB });
  });
});
