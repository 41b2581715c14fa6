import { describe, expect, test } from 'vitest';
import { exclusiveVolumesOf, withRbdAccess } from './rbd-access.ts';

const ACCESS = { user: 'libvirt', secretUuid: 'c7720e3e-4ab0-4dc7-ac99-88354ac1bc72', configFile: '/etc/ceph/ceph.conf' };
const AUTH = `<auth username="libvirt"><secret type="ceph" uuid="${ACCESS.secretUuid}"/></auth>`;

const domain = (disk: string): string => `<domain type="kvm"><name>a</name><devices>${disk}</devices></domain>`;
const given = (disk: string): string => withRbdAccess(domain(disk), ACCESS).replace(/.*<devices>(.*)<\/devices>.*/u, '$1');

describe('RBD disks of a guest', () => {
  test('what a disk leaves out is filled in', () => {
    expect(given('<disk type="network"><source protocol="rbd" name="vms/a"/><target dev="vda"/></disk>')).toBe(
      `<disk type="network"><source protocol="rbd" name="vms/a"><config file="/etc/ceph/ceph.conf"/></source><target dev="vda"/>${AUTH}</disk>`,
    );
  });

  test.each([
    ['with another secret', '<disk type="network"><auth username="mine"><secret type="ceph" uuid="0"/></auth><source protocol="rbd" name="vms/a"><host name="10.0.0.1"/></source></disk>'],
    ['with its secret in the source', '<disk type="network"><source protocol="rbd" name="vms/a"><host name="10.0.0.1"/><auth username="mine"/></source></disk>'],
    ['with a configuration of its own', '<disk type="network"><auth username="mine"/><source protocol="rbd" name="vms/a"><config file="/etc/other.conf"/></source></disk>'],
    ['of another protocol', '<disk type="network"><source protocol="iscsi" name="a/1"/></disk>'],
    ['in a file', '<disk type="file"><source file="/a"/></disk>'],
  ])('a disk %s stays as it is', (_, disk) => expect(given(disk)).toBe(disk));
});

describe('volumes that a guest must have for itself', () => {
  const disk = (name: string, inside = ''): string => `<disk type="network"><source protocol="rbd" name="${name}"/>${inside}</disk>`;
  const volumes = (disks: string): unknown => exclusiveVolumesOf(`<domain type="kvm"><name>a</name><memory>1048576</memory><devices>${disks}</devices></domain>`);

  test('are those of its disks', () => expect(volumes(disk('vms/a') + disk('ssd/b') + disk('vms/space/c'))).toEqual([{ pool: 'vms', volume: 'a' }, { pool: 'ssd', volume: 'b' }]));

  test.each(['<readonly/>', '<shareable/>'])('are not those of disks with %s', (inside) =>
    expect(volumes(disk('vms/a', inside) + disk('vms/b'))).toEqual([{ pool: 'vms', volume: 'b' }]),
  );
});
