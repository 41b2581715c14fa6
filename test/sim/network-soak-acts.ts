import { bridgeName, vxlanName } from '../../common/domain/network.ts';
import type { NetworkSettings } from '../../common/domain/network-settings.ts';
import type { SimulatedCluster } from '../support/simulated-cluster.ts';
import { macOf } from '../support/simulated-networks.ts';
import { SERVING_WORLD } from './serving-steps.ts';
import { define, NODES, VMS, type Act, type Pick } from './soak-acts.ts';

/** They are there at the beginning, and come and go. */
export const MANAGED = [7, 8] as const;
export const BRIDGED = 9;
const VNIS = [...MANAGED, BRIDGED, 10, 11] as const;

const RULES = ['tcp dport 80 accept', 'ip protocol icmp drop', 'counter', 'ip6 nexthdr udp accept'] as const;
const HOST_NAMES = ['web', 'db', 'mail'] as const;
const DIRECTIONS = ['in', 'out'] as const;

/** Both families; one of those that come and go has IPv6 alone. */
export function settingsOf(vni: number): NetworkSettings {
  const ip6 = { ip6Network: `2001:db8:${vni}::/64`, ip6Gateway: `2001:db8:${vni}::1` };
  const ip4 = { ip4Network: `10.${vni}.0.0/24`, ip4Gateway: `10.${vni}.0.1`, dhcp4: true, dhcp4Start: `10.${vni}.0.100`, dhcp4End: `10.${vni}.0.199` };
  return { domain: `net${vni}.example`, ...(vni === 11 ? ip6 : { ...ip4, ...ip6 }) };
}

/** Of a new VM. */
export function networksOf(pick: Pick): readonly number[] {
  return pick([[], [7], [8], [7, 8], [BRIDGED], [7, BRIDGED], [10], [11, 8]] as const);
}

/** What people ask of networks; a refusal is fine, a wrong world is not. */
export const NETWORK_REQUESTS: readonly Act[] = [
  (_cluster, pick, { network }) => create(pick(VNIS), network),
  (_cluster, pick, { network }) => create(pick([10, 11]), network),
  (_cluster, pick, _api, { network }) => create(pick(VNIS), network),
  (_cluster, pick, { network }) => network.remove(pick(VNIS)),
  (_cluster, pick, _api, { network }) => network.remove(pick([10, 11])),
  (_cluster, pick, { network }) => network.modify(pick(VNIS), pick([{ mtu: 1_400 }, { mtu: null }, { nat: true }, { nat: false }, { antiSpoofing: false }, { domain: 'other.example' }] as const)),
  (_cluster, pick, _api, { network }) => changeRange(pick(MANAGED), pick, network),
  (_cluster, pick, { acl }) => acl.insert({ vni: pick(VNIS), direction: pick(DIRECTIONS), description: pick(HOST_NAMES), rule: pick(RULES), order: pick([undefined, 0, 1]) }),
  (_cluster, pick, _api, { acl }) => acl.insert({ vni: pick(MANAGED), direction: pick(DIRECTIONS), description: pick(HOST_NAMES), rule: pick(RULES) }),
  (_cluster, pick, { acl }) => acl.change({ vni: pick(VNIS), direction: pick(DIRECTIONS), description: pick(HOST_NAMES) }, { order: pick([0, 1, undefined]), rule: pick(RULES) }),
  (_cluster, pick, { acl }) => acl.remove({ vni: pick(VNIS), direction: pick(DIRECTIONS), description: pick(HOST_NAMES) }),
  (_cluster, pick, { reservation }) => reserve(pick(VNIS), pick, reservation),
  (_cluster, pick, { reservation }) => reservation.remove(pick(VNIS), pick(HOST_NAMES)),
  (cluster, pick, api) => define(cluster, pick(VMS), api, networksOf(pick)),
  (cluster, pick, api) => define(cluster, pick(VMS), api, networksOf(pick)),
  (_cluster, pick, { node }) => node.setCoordinator(pick(NODES), pick(['primary', 'secondary'] as const)),
  grant,
  grant,
];

/** What is broken by hand, or dies. */
export const NETWORK_ACCIDENTS: readonly Act[] = [
  (cluster, pick) => linksOf(cluster, pick).remove(pick([bridgeName, vxlanName])(pick(VNIS))),
  (cluster, pick) => linksOf(cluster, pick).change(pick([bridgeName, vxlanName])(pick(VNIS)), pick([{ up: false }, { mtu: 1_300 }, { master: undefined }])),
  (cluster, pick) => {
    const { firewall } = cluster.hosts.get(pick(NODES));
    const chain = `${pick(DIRECTIONS)}-${pick(VNIS)}`;
    return firewall.rulesOf('inet', chain) === undefined ? undefined : firewall.tamper(pick([`flush chain inet pvc ${chain}\n`, 'delete table inet pvc\n']));
  },
  (cluster, pick) => cluster.hosts.get(pick(NODES)).dhcp.kill(pick(VNIS)),
  (cluster, pick) => cluster.hosts.get(pick(NODES)).dns.kill(),
  (cluster, pick) => {
    const host = cluster.hosts.get(pick(NODES));
    const held = [...host.addresses];
    if (held.length > 0) host.setAddress(pick(held), false);
  },
];

type Operations = Parameters<Act>[2];

function create(vni: number, network: Operations['network']): Promise<unknown> {
  return vni === BRIDGED ? network.create({ type: 'bridged', vni }, { description: `net${vni}` }) : network.create({ type: 'managed', vni }, { description: `net${vni}`, ...settingsOf(vni) });
}

function changeRange(vni: number, pick: Pick, network: Operations['network']): Promise<unknown> {
  return network.modify(vni, { dhcp4End: `10.${vni}.0.${pick([149, 199])}` });
}

function reserve(vni: number, pick: Pick, reservation: Operations['reservation']): Promise<unknown> {
  return reservation.add(vni, { mac: macOf(pick(VMS), 0), addresses: [`10.${vni}.0.${pick([20, 21, 120])}`, `2001:db8:${vni}::20`], hostname: pick(HOST_NAMES) });
}

/** A guest of one of the networks asks for an address, of whoever serves it. */
function grant(cluster: SimulatedCluster, pick: Pick): void {
  const vni = pick(MANAGED);
  const vm = pick(VMS);
  if (!cluster.hosts.all().some((host) => host.dhcp.running.has(vni) && [...host.addresses].some((address) => address.startsWith(`${bridgeName(vni)} `)))) return;
  void SERVING_WORLD['lease']?.(cluster, { do: 'lease', vni, vm, address: `10.${vni}.0.${100 + VMS.indexOf(vm)}`, name: vm });
}

function linksOf(cluster: SimulatedCluster, pick: Pick): ReturnType<SimulatedCluster['hosts']['get']>['links'] {
  return cluster.hosts.get(pick(NODES)).links;
}
