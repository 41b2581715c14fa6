import { expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { batchFailures, bridgeLine, ipLines, linkOfEvent, parseFdb, parseLinks } from './ip-link-text.ts';

test.each([
  ['4: vmbr7: <BROADCAST,MULTICAST,UP> mtu 1500', 'vmbr7'],
  ['5: vxlan7@eth0: <BROADCAST> mtu 1500 master vmbr7', 'vxlan7'],
  ['Deleted 5: vxlan7: <BROADCAST,MULTICAST> mtu 1500', 'vxlan7'],
  ['12: eth1.100@if3: <UP>', 'eth1.100'],
  ['4: vmbr7    inet 10.7.0.1/24 scope global vmbr7', 'vmbr7'],
  ['Deleted 4: vmbr7    inet6 fd07::1/64 scope global', 'vmbr7'],
])('of %s the link is %s', (line, name) => {
  expect(linkOfEvent(line)).toBe(name);
});

test('other lines of the monitor name no link', () => {
  for (const line of ['', '    link/ether 02:00:00:00:00:01', 'nsid 0 (iproute2 netns name: hv1)']) expect(linkOfEvent(line)).toBeUndefined();
});

test("failures of a batch are found by their lines, with the tool's words", () => {
  const stderr = 'RTNETLINK answers: File exists\nCommand failed -:2\nCannot find device "nope"\nCommand failed -:4\nCommand failed -:9';
  expect([...batchFailures(stderr)]).toEqual([
    [2, 'RTNETLINK answers: File exists'],
    [4, 'Cannot find device "nope"'],
    [9, 'refused without a word'],
  ]);
});

test('an entry of a guest is one that frames may move', () => {
  expect(bridgeLine({ do: 'set-mac', device: 'vxlan7', mac: '52:54:00:00:00:01', dst: '10.0.0.2' })).toBe('fdb replace 52:54:00:00:00:01 dev vxlan7 dst 10.0.0.2 self dynamic extern_learn');
  expect(ipLines({ do: 'set-mac', device: 'vxlan7', mac: '52:54:00:00:00:01', dst: '10.0.0.2' })).toEqual([]);
});

test('every link is made with the mark in the same command', () => {
  const made = [
    ...ipLines({ do: 'add-bridge', name: 'vmbr7', mac: '02:50:00:00:00:01', mtu: 1_500 }),
    ...ipLines({ do: 'add-vxlan', name: 'vxlan7', vni: 7, local: 'fd00::1', device: 'eth0', mtu: 1_500 }),
    ...ipLines({ do: 'add-vlan', name: 'vlan7', id: 7, device: 'eth1', mtu: 1_500 }),
  ];
  expect(made).toHaveLength(3);
  for (const line of made) expect(line).toContain(' group 5264963 ');
});

test('a listing of links has what is ours, and IPv6 addresses of tunnels', () => {
  const text = JSON.stringify([
    {},
    { ifname: 'vxlan7', flags: ['UP'], mtu: 1_480, group: '5264963', master: 'vmbr7', inet6_addr_gen_mode: 'none', linkinfo: { info_kind: 'vxlan', info_data: { id: 7, local6: 'fd00::1', link: 'eth0', port: 4_789, learning: true } } },
    { ifname: 'vlan9', flags: [], mtu: 1_500, group: 'default', link: 'eth1', inet6_addr_gen_mode: 'eui64', linkinfo: { info_kind: 'vlan', info_data: { protocol: '802.1Q', id: 9, flags: [] } } },
  ]);
  const { links, ipv6 } = parseLinks(text);
  expect(ipv6).toBe(true);
  expect(links.get('vxlan7')).toMatchObject({ ours: true, up: true, ipv6: false, vxlan: { vni: 7, local: 'fd00::1', device: 'eth0', learning: true } });
  expect(links.get('vlan9')).toMatchObject({ ours: false, up: false, ipv6: true, vlan: { id: 9, device: 'eth1' } });
});

test('a forwarding table has the entries with a tunnel alone, by kind', () => {
  const text = JSON.stringify([
    { mac: '33:33:00:00:00:01', ifname: 'vxlan7', flags: ['self'], state: 'permanent' },
    { mac: '52:54:00:00:00:01', ifname: 'vxlan7', flags: [], master: 'vmbr7', state: '' },
    { mac: '00:00:00:00:00:00', ifname: 'vxlan7', dst: '10.0.0.2', flags: ['self'], state: 'permanent' },
    { mac: '52:54:00:00:00:01', ifname: 'vxlan7', dst: '10.0.0.2', flags: ['self', 'extern_learn'], state: '' },
    { mac: '52:54:00:00:00:02', ifname: 'vxlan7', dst: '10.0.0.2', flags: ['self'], state: '' },
    { mac: '52:54:00:00:00:03', ifname: 'vxlan7', dst: '10.0.0.2', flags: ['self'], state: 'permanent' },
  ]);
  expect(parseFdb(text).get('vxlan7')?.map((entry) => entry.kind)).toEqual(['flood', 'told', 'learned', 'other']);
});

test('what is no listing is an error of the component', () => {
  for (const text of ['{', '{}', '[{"ifname": 5}]']) {
    const failure = (() => {
      try {
        return parseLinks(text);
      } catch (error) {
        return error;
      }
    })();
    expect(isAppError(failure, 'component'), text).toBe(true);
  }
  expect(parseLinks('').links.size).toBe(0);
});
