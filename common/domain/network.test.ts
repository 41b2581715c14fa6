import { expect, test } from 'vitest';
import { withClusterInterfaces } from './domain-xml.ts';
import { macOfTap, tapName, vniOfBridge, vniOfLink, vxlanMtu } from './network.ts';

test.each([
  ['vmbr1', 1],
  ['vxlan16777215', 16_777_215],
  ['vlan4094', 4_094],
  ['vmbr16777216', undefined],
  ['vmbr0', undefined],
  ['vmbr01', undefined],
  ['vmbr', undefined],
  ['vmbr1x', undefined],
  ['xvmbr1', undefined],
  ['eth0', undefined],
])('%s is of network %s', (name, vni) => {
  expect(vniOfLink(name)).toBe(vni);
  if (name.startsWith('vmbr')) expect(vniOfBridge(name)).toBe(vni);
});

test('a tap device and its MAC address name each other, in the 15 characters of a device', () => {
  expect(tapName('52:54:00:ab:cd:ef')).toBe('tap525400abcdef');
  expect(macOfTap('tap525400abcdef')).toBe('52:54:00:ab:cd:ef');
  for (const name of ['tap525400abcde', 'tap525400abcdefa', 'tap525400ABCDEF', 'vnet0']) expect(macOfTap(name)).toBeUndefined();
});

test('a tunnel takes 50 bytes of an IPv4 underlay and 70 of an IPv6 one', () => {
  expect([vxlanMtu({ mtu: 1_550, family: 4 }), vxlanMtu({ mtu: 9_000, family: 6 })]).toEqual([1_500, 8_930]);
});

const xml = (interfaces: string): string => `<domain type='kvm'><name>a</name><memory>524288</memory><devices>${interfaces}</devices></domain>`;
const nic = (more = '', bridge = 'vmbr7'): string => `<interface type='bridge'><mac address='52:54:00:AB:CD:EF'/><source bridge='${bridge}'/>${more}</interface>`;

test("a guest's devices in networks of the cluster are named after their MAC addresses, whatever the definition says", () => {
  expect(withClusterInterfaces(xml(nic()), new Map())).toContain('<target dev="tap525400abcdef"/>');
  const given = withClusterInterfaces(xml(nic("<target dev='mine'/>")), new Map());
  expect(given).toContain('<target dev="tap525400abcdef"/>');
  expect(given).not.toContain('mine');
});

test('an interface that is plugged in elsewhere is left alone', () => {
  const other = xml(nic('', 'br0') + "<interface type='network'><mac address='52:54:00:ab:cd:01'/><source network='default'/></interface>");
  expect(withClusterInterfaces(other, new Map([[7, 9_000]]))).not.toMatch(/<target|<mtu/u);
});

test.each([
  ['of 1,500 bytes is not told', new Map([[7, 1_500]]), '', undefined],
  ['that is not known is not told', new Map<number, number>(), '', undefined],
  ['of 1,450 bytes is told', new Map([[7, 1_450]]), '', '1450'],
  ['of the definition stands', new Map([[7, 1_450]]), "<mtu size='1300'/>", '1300'],
])('an MTU %s', (_what, mtus, given, size) => {
  expect(/<mtu size="(\d+)"/u.exec(withClusterInterfaces(xml(nic(given)), mtus))?.[1]).toBe(size);
});
