import { describe, expect, test } from 'vitest';
import { aDomainXml, aVmId } from '../../test/support/builders.ts';
import { vmName } from '../ids.ts';
import { usersOfPool, usersOfVolume, volumesOf } from './volume-users.ts';

function rbd(...names: string[]): string {
  return names.map((name) => `<disk type="network"><source protocol="rbd" name="${name}"/><target dev="vda" bus="virtio"/></disk>`).join('');
}

function aDefinition(name: string, devices: string) {
  return { uuid: aVmId(1), name: vmName.parse(name), xml: aDomainXml({ name, devices }) };
}

describe('volumes of a definition', () => {
  test('are its disks of protocol rbd, and nothing else', () => {
    const others = '<disk type="file"><source file="/vms/web1_sda"/><target dev="vdb" bus="virtio"/></disk><disk type="network"><source protocol="nbd" name="vms/web1"/><target dev="vdc" bus="virtio"/></disk>';
    expect(volumesOf(aDomainXml({ devices: `${rbd('vms/a', 'fast/b')}${others}` }))).toEqual([
      { pool: 'vms', volume: 'a' },
      { pool: 'fast', volume: 'b' },
    ]);
  });

  test('are known behind a snapshot or character references, and in a namespace by its name', () => {
    expect(volumesOf(aDomainXml({ devices: rbd('vms/a@before', 'vms/ns/b', 'vms&#47;c') })).map(({ volume }) => volume)).toEqual(['a', 'ns/b', 'c']);
  });
});

describe('users', () => {
  const vms = [aDefinition('web2', rbd('vms/a')), aDefinition('web1', rbd('vms/b', 'vms&#47;a')), aDefinition('db', rbd('vms2/a', 'vms/ab')), aDefinition('none', '')];

  test('of a volume are the VMs that have exactly it', () => {
    expect(usersOfVolume(vms, { pool: 'vms', volume: 'a' }).map(({ name }) => name)).toEqual(['web1', 'web2']);
    expect(usersOfVolume(vms, { pool: 'vms', volume: 'x' })).toEqual([]);
  });

  test('of a pool are the VMs that have any volume of exactly it', () => {
    expect(usersOfPool(vms, 'vms').map(({ name }) => name)).toEqual(['db', 'web1', 'web2']);
    expect(usersOfPool(vms, 'vms2').map(({ name }) => name)).toEqual(['db']);
    expect(usersOfPool(vms, 'ms2')).toEqual([]);
  });
});
