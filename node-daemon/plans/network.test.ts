import { describe, expect, test } from 'vitest';
import { aManagedNetwork } from '../../test/support/builders.ts';
import type { FdbEntry, HostLink, HostLinks } from '../drivers/link.ts';
import { bridgeMac, bridgeMtu, linksOf, planNetwork, portsInUse, type NetworkView, type WantedNetwork } from './network.ts';

const NODE = { name: 'hv1', address: '10.0.0.1', clusterDevice: 'eth0', bridgeDevice: 'eth1' };

function aLink(name: string, given: Partial<HostLink> = {}): HostLink {
  return { name, kind: undefined, ours: false, up: true, mtu: 1_500, mac: undefined, master: undefined, ipv6: false, vxlan: undefined, vlan: undefined, bridge: undefined, ...given };
}

const bridge = (given: Partial<HostLink> = {}): HostLink => aLink('vmbr5', { kind: 'bridge', ours: true, bridge: { stp: false, forwardDelay: 0, mcastSnooping: false }, ...given });

const vxlan = (given: Partial<HostLink> = {}): HostLink =>
  aLink('vxlan5', { kind: 'vxlan', ours: true, master: 'vmbr5', vxlan: { vni: 5, local: '10.0.0.1', device: 'eth0', port: 4_789, learning: true }, ...given });

function aHost(links: readonly HostLink[], entries: readonly FdbEntry[] = []): HostLinks {
  const all = [aLink('eth0', { mtu: 1_550 }), aLink('eth1'), ...links];
  return { links: new Map(all.map((link) => [link.name, link])), fdb: new Map([['vxlan5', entries]]), ipv6: true };
}

function aView(given: Partial<Omit<NetworkView, 'wanted'>> & { wanted?: Partial<WantedNetwork> } = {}): NetworkView {
  const wanted: WantedNetwork = { spec: aManagedNetwork(), peers: [], complete: true, guests: new Map(), taps: [], ...given.wanted };
  return { vni: 5, node: NODE, host: aHost([bridge(), vxlan()]), fresh: true, ...given, wanted };
}

/** In short: `do name`, with what matters. */
function changes(view: NetworkView): string[] {
  const plan = planNetwork(view);
  if (plan.kind === 'blocked') return [plan.why];
  return plan.changes.map((change) => ['name' in change ? `${change.do} ${change.name}` : `${change.do} ${change.device}`, 'mac' in change && 'device' in change ? change.mac : undefined, 'dst' in change ? change.dst : undefined, 'mtu' in change ? String(change.mtu) : undefined, 'master' in change ? change.master : undefined].filter((word) => word !== undefined).join(' '));
}

const flood = (dst: string): FdbEntry => ({ mac: '00:00:00:00:00:00', dst, kind: 'flood' });

describe('links', () => {
  test('what is as it should be is not touched', () => {
    expect(changes(aView())).toEqual([]);
  });

  test('from nothing, bridge and tunnel are made, silenced, put together and brought up', () => {
    expect(changes(aView({ host: aHost([]), wanted: { peers: ['10.0.0.2'] } }))).toEqual([
      'add-bridge vmbr5 1500',
      'silence vmbr5',
      'set-up vmbr5',
      'add-vxlan vxlan5 1500',
      'set-master vxlan5 vmbr5',
      'silence vxlan5',
      'set-up vxlan5',
      'add-flood vxlan5 10.0.0.2',
    ]);
  });

  test('what a killed daemon left out is done, and nothing twice', () => {
    expect(changes(aView({ host: aHost([bridge({ up: false, ipv6: true })]) }))).toEqual(['silence vmbr5', 'set-up vmbr5', 'add-vxlan vxlan5 1500', 'set-master vxlan5 vmbr5', 'silence vxlan5', 'set-up vxlan5']);
    expect(changes(aView({ host: aHost([bridge(), vxlan({ up: false, master: undefined })]) }))).toEqual(['set-master vxlan5 vmbr5', 'set-up vxlan5']);
  });

  test.each([
    ['another network', { vni: 6, local: '10.0.0.1', device: 'eth0', port: 4_789, learning: true }],
    ['another address', { vni: 5, local: '10.0.0.9', device: 'eth0', port: 4_789, learning: true }],
    ['another device', { vni: 5, local: '10.0.0.1', device: 'eth1', port: 4_789, learning: true }],
    ['another port', { vni: 5, local: '10.0.0.1', device: 'eth0', port: 8_472, learning: true }],
    ['no learning', { vni: 5, local: '10.0.0.1', device: 'eth0', port: 4_789, learning: false }],
  ])('a tunnel with %s is made anew, with its forwarding entries', (_what, wrong) => {
    const view = aView({ host: aHost([bridge(), vxlan({ vxlan: wrong })], [flood('10.0.0.2')]), wanted: { peers: ['10.0.0.2'] } });
    expect(changes(view)).toEqual(['remove vxlan5', 'add-vxlan vxlan5 1500', 'set-master vxlan5 vmbr5', 'silence vxlan5', 'set-up vxlan5', 'add-flood vxlan5 10.0.0.2']);
  });

  test('a bridge that somebody set to delay or to snoop is set back', () => {
    expect(changes(aView({ host: aHost([bridge({ bridge: { stp: true, forwardDelay: 1_500, mcastSnooping: true } }), vxlan()]) }))).toEqual(['set-bridge vmbr5']);
  });

  test('a new bridge gets its tunnel and its guests back', () => {
    const taps = ['tap525400000001', 'tap525400000002'];
    const host = aHost([vxlan({ master: undefined }), aLink('tap525400000001')]);
    expect(changes(aView({ host, wanted: { taps } }))).toEqual(['add-bridge vmbr5 1500', 'silence vmbr5', 'set-up vmbr5', 'set-master vxlan5 vmbr5', 'set-master tap525400000001 vmbr5']);
  });

  test.each(['vmbr5', 'vxlan5'])('a foreign %s blocks the network and is not touched', (name) => {
    expect(changes(aView({ host: aHost([aLink(name)]) }))).toEqual([`a link named ${name} exists already and is not of this cluster`]);
  });

  test('a network of the other type than before loses its old device', () => {
    const spec = { type: 'bridged', vni: 5, description: 'lan', mtu: null } as const;
    expect(changes(aView({ wanted: { spec } }))).toEqual(['remove vxlan5', 'add-vlan vlan5 1500', 'set-master vlan5 vmbr5', 'silence vlan5', 'set-up vlan5']);
  });

  test('a bridged network has a VLAN device on the bridge device and no forwarding entries', () => {
    const spec = { type: 'bridged', vni: 5, description: 'lan', mtu: null } as const;
    const vlan = aLink('vlan5', { kind: 'vlan', ours: true, master: 'vmbr5', vlan: { id: 5, device: 'eth1' } });
    expect(changes(aView({ host: aHost([bridge(), vlan]), wanted: { spec, peers: ['10.0.0.2'] } }))).toEqual([]);
    expect(changes(aView({ node: { ...NODE, bridgeDevice: undefined }, wanted: { spec } }))).toEqual(['this node has no bridge_device for bridged networks']);
  });

  test('without the device below it there is no network', () => {
    expect(changes(aView({ node: { ...NODE, clusterDevice: 'bond0' } }))).toEqual(['the device bond0 does not exist']);
  });

  test.each([
    [null, 1_500, 'IPv4', '10.0.0.1'],
    [9_000, 1_500, 'IPv4', '10.0.0.1'],
    [1_400, 1_400, 'IPv4', '10.0.0.1'],
    [null, 1_480, 'IPv6', 'fd00::1'],
  ])('an MTU of %s becomes %s over %s with an underlay of 1550', (mtu, inForce, _family, address) => {
    const plan = planNetwork(aView({ node: { ...NODE, address }, wanted: { spec: aManagedNetwork({ mtu }) } }));
    expect(plan).toMatchObject({ mtu: inForce });
  });

  test("bridge, tunnel and guests' devices follow the MTU", () => {
    const host = aHost([bridge(), vxlan(), aLink('tap525400000001', { master: 'vmbr5' })]);
    expect(changes(aView({ host, wanted: { spec: aManagedNetwork({ mtu: 1_400 }), taps: ['tap525400000001'] } }))).toEqual(['set-mtu vmbr5 1400', 'set-mtu vxlan5 1400', 'set-mtu tap525400000001 1400']);
  });
});

describe('forwarding', () => {
  test('the flood list becomes the nodes that need the network', () => {
    const host = aHost([bridge(), vxlan()], [flood('10.0.0.2'), flood('10.0.0.9')]);
    expect(changes(aView({ host, wanted: { peers: ['10.0.0.2', '10.0.0.3'] } }))).toEqual(['add-flood vxlan5 10.0.0.3', 'remove-flood vxlan5 10.0.0.9']);
  });

  test.each([
    ['the address of a node is not known', { wanted: { complete: false } }],
    ['the mirror is stale', { fresh: false }],
  ])('nobody leaves the flood list while %s', (_what, given) => {
    expect(changes(aView({ host: aHost([bridge(), vxlan()], [flood('10.0.0.9')]), ...given }))).toEqual([]);
  });

  const MAC = '52:54:00:00:00:01';
  const told = (dst: string): FdbEntry => ({ mac: MAC, dst, kind: 'told' });

  test.each<[string, FdbEntry[], WantedNetwork['guests'], string[]]>([
    ['is new elsewhere', [], new Map([[MAC, { kind: 'at', address: '10.0.0.2' }]]), [`set-mac vxlan5 ${MAC} 10.0.0.2`]],
    ['is where it was', [told('10.0.0.2')], new Map([[MAC, { kind: 'at', address: '10.0.0.2' }]]), []],
    ['moved', [told('10.0.0.3')], new Map([[MAC, { kind: 'at', address: '10.0.0.2' }]]), [`set-mac vxlan5 ${MAC} 10.0.0.2`]],
    ['was learned there, which ages', [{ ...told('10.0.0.2'), kind: 'learned' }], new Map([[MAC, { kind: 'at', address: '10.0.0.2' }]]), [`set-mac vxlan5 ${MAC} 10.0.0.2`]],
    ['was pinned by somebody, which drops', [{ ...told('10.0.0.2'), kind: 'other' }], new Map([[MAC, { kind: 'at', address: '10.0.0.2' }]]), [`set-mac vxlan5 ${MAC} 10.0.0.2`]],
    ['came here', [told('10.0.0.2')], new Map([[MAC, { kind: 'here' }]]), [`remove-mac vxlan5 ${MAC}`]],
    ['is moving', [told('10.0.0.2')], new Map([[MAC, { kind: 'undecided' }]]), []],
    ['is off', [told('10.0.0.2')], new Map(), [`remove-mac vxlan5 ${MAC}`]],
    ['is unknown and was learned', [{ ...told('10.0.0.2'), kind: 'learned' }], new Map(), []],
  ])('a guest that %s', (_what, entries, guests, expected) => {
    expect(changes(aView({ host: aHost([bridge(), vxlan()], entries), wanted: { guests } }))).toEqual(expected);
  });

  test('a stale mirror adds entries and takes none away', () => {
    const other = { mac: '52:54:00:00:00:02', dst: '10.0.0.2', kind: 'told' } as const;
    const guests = new Map([[MAC, { kind: 'at', address: '10.0.0.2' } as const]]);
    expect(changes(aView({ fresh: false, host: aHost([bridge(), vxlan()], [other]), wanted: { guests } }))).toEqual([`set-mac vxlan5 ${MAC} 10.0.0.2`]);
  });
});

test('ports of guests and of others keep a bridge, its own tunnel does not', () => {
  const host = aHost([bridge(), vxlan(), aLink('tap525400000001', { master: 'vmbr5' }), aLink('eth9', { master: 'vmbr5' }), aLink('eth8', { master: 'vmbr6' })]);
  expect(portsInUse(5, host)).toEqual(['tap525400000001', 'eth9']);
  expect(linksOf(5, host)).toEqual(['vxlan5', 'vmbr5']);
  expect(linksOf(5, aHost([bridge({ ours: false })]))).toEqual([]);
  expect([bridgeMtu(5, host), bridgeMtu(6, host)]).toEqual([1_500, null]);
});

test("a bridge's MAC address is its own on each node and in each network, and a local one for one host", () => {
  const macs = ['hv1', 'hv2', 'hv3'].flatMap((node) => [5, 6, 16_777_215].map((vni) => bridgeMac(node, vni)));
  expect(new Set(macs).size).toBe(macs.length);
  for (const mac of macs) expect(mac).toMatch(/^02:50(:[0-9a-f]{2}){4}$/u);
  expect(bridgeMac('hv1', 5)).toBe(macs[0]);
});
