import { unpackDhclient, withDhclient } from './guest-dhclient.ts';
import { GuestShell } from './guest-shell.ts';
import type { Lab } from './lab.ts';
import { tagVlan } from './vlan-wire.ts';

/** The bridged network, and its guests' addresses there, which they give themselves. */
export const BRIDGED = { vni: 210, addresses: ['192.168.99.1', '192.168.99.2'] } as const;

/** Of the first guest, in a network of IPv6 alone. */
export const RESERVED = { address: 'fd70::30', name: 'reserved.six.local' } as const;

export interface BridgedScene {
  lab: Lab;
  ok: (method: string, path: string, values?: Record<string, string>) => Promise<unknown>;
  comes: (what: string, condition: () => Promise<boolean>, limitMs?: number) => Promise<number>;
  /** Of the one guest and the other. */
  nodes: readonly [string, string];
}

/** Two networks, and two guests in the bridged one; eth1 of the first, with a client for DHCPv6, is in the one of IPv6 alone. */
export async function startBridgedGuests({ lab, ok, comes, nodes }: BridgedScene): Promise<readonly [GuestShell, GuestShell]> {
  await ok('POST', '/network', { vni: String(BRIDGED.vni), description: 'lan', nettype: 'bridged' });
  await ok('POST', '/network', { vni: '2004', description: 'six', nettype: 'managed', ip6_network: 'fd70::/64' });
  const definition = await withDhclient(lab, lab.guestXml('d', { networks: [BRIDGED.vni, 2004] }));
  const mac = [...definition.matchAll(/mac address='([^']+)'/gu)][1]?.[1] ?? '';
  await ok('POST', `/network/six/dhcp/${mac}`, { ipaddress: RESERVED.address, hostname: 'reserved' });
  const guests = [new GuestShell(lab, 'd'), new GuestShell(lab, 'e')] as const;
  await guests[0].define({ node: nodes[0] }, definition);
  await guests[1].define({ node: nodes[1] }, lab.guestXml('e', { networks: [BRIDGED.vni] }));
  // It ends with the device; what is wrong before shows in what does not arrive.
  for (const host of nodes) tagVlan(lab, host, { device: 'eth1', vlan: BRIDGED.vni }).catch(() => undefined);
  for (const host of nodes) await comes(`the bridge on ${host}`, async () => (await lab.exec(host, ['ip', '-o', 'link', 'show', 'master', `vmbr${BRIDGED.vni}`])).includes(`vlan${BRIDGED.vni}`));
  for (const vm of guests) await vm.post('/state', { state: 'start' });
  for (const vm of guests) await vm.is('start');
  for (const vm of guests) await vm.listens();
  for (const [at, vm] of guests.entries()) await vm.out(`ip addr add ${BRIDGED.addresses[at]}/24 dev eth0`);
  await unpackDhclient(guests[0], 'eth1');
  return guests;
}

/** Guests and networks go, and with the bridged one the hosts' devices. */
export async function removeBridgedGuests({ lab, ok, comes, nodes }: BridgedScene, guests: readonly GuestShell[]): Promise<void> {
  for (const vm of guests) await ok('DELETE', `/vm/${vm.name}`);
  for (const name of ['lan', 'six']) await comes(`${name} to be deleted`, async () => (await lab.call('DELETE', `/api/v1/network/${name}`)).status === 200);
  for (const host of nodes) await comes(`no device of the bridged network on ${host}`, async () => !/(vlan|vmbr)210/u.test(await lab.exec(host, ['ip', '-br', 'link'])));
}
