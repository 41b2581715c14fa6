import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newVmId } from '../../../common/ids.ts';
import { vmFigures, type VmFigures } from '../../../common/schema/vm-statistics.ts';
import type { LibvirtHypervisor } from '../../../node-daemon/drivers/libvirt-hypervisor.ts';
import { guestXml, libvirtMissing } from '../../support/libvirtd.ts';
import { until } from '../../support/until.ts';
import { libvirtFixture, type LibvirtFixture } from './fixture.ts';

const LIMIT_MS = 60_000;
const MAC = '52:54:00:0A:0B:01';

const DEVICES = `<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
  <interface type='ethernet'><mac address='${MAC}'/><model type='virtio'/></interface>`;

describe.skipIf(libvirtMissing() !== undefined)('figures of real guests', () => {
  let fixture: LibvirtFixture;
  let driver: LibvirtHypervisor;

  beforeAll(async () => {
    fixture = await libvirtFixture();
    driver = fixture.driver('alpha', {});
    await driver.start(new AbortController().signal);
  }, LIMIT_MS);

  afterAll(async () => {
    await driver.stop();
    await fixture.stop();
  }, LIMIT_MS);

  /** With a screen, a card, a balloon and a disk, none of which the small test guest has. */
  const definition = (uuid: string): string => {
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${fixture.lab.floppy}'/><target dev='vda' bus='virtio'/><readonly/></disk>`;
    const xml = guestXml(fixture.lab, { uuid, name: 'figures', extra: DEVICES + disk });
    return xml.replace("<boot dev='fd'/>", "<boot dev='hd'/>").replace("<memballoon model='none'/>", "<memballoon model='virtio'/>");
  };

  const figuresOf = async (uuid: string): Promise<VmFigures | undefined> => (await driver.stats()).find((one) => one.uuid === uuid)?.figures;

  test('processor, memory, disks, cards and the screen of a guest are told, and its disk counts on', async () => {
    const uuid = newVmId();
    await driver.create(uuid, definition(uuid));
    await until(async () => (await figuresOf(uuid))?.vnc != null, LIMIT_MS, 'the screen is known');
    const figures = vmFigures.parse(await figuresOf(uuid));
    expect(figures.vnc).toEqual({ listen: '127.0.0.1', port: expect.any(Number) });
    expect(figures.vnc?.port).toBeGreaterThanOrEqual(5_900);
    expect(figures.memory).toMatchObject({ actual: 64 * 1_024, rss: expect.any(Number) });
    expect(Object.keys(figures.interfaces)).toEqual([MAC.toLowerCase()]);
    expect(figures.cpuNs[0]).toBeGreaterThan(0);
    // The firmware reads the boot sector.
    await until(async () => ((await figuresOf(uuid))?.disks['vda']?.[1] ?? 0) >= 512, LIMIT_MS, 'the guest reads');
    const before = vmFigures.parse(await figuresOf(uuid)).cpuNs[0];
    await until(async () => ((await figuresOf(uuid))?.cpuNs[0] ?? 0) > before, LIMIT_MS, 'the guest uses its processor');
    await driver.destroy(uuid);
    expect(await figuresOf(uuid)).toBeUndefined();
    await driver.forget(uuid);
  }, LIMIT_MS * 2);
});
