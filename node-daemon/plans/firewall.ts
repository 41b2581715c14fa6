import { bridgeName, tapName } from '../../common/domain/network.ts';
import type { DhcpReservation, ManagedNetwork, NetworkAcl } from '../../common/schema/network.ts';
import type { FirewallFamily } from '../drivers/firewall.ts';

/** A chain as it shall be. */
export interface DesiredChain {
  readonly family: FirewallFamily;
  readonly name: string;
  /** `type … hook … priority …; policy …;` of a base chain; undefined for one that is jumped to. */
  readonly hook: string | undefined;
  readonly rules: readonly string[];
  /** Digest of hook and rules; it stands in the kernel beside the chain. */
  readonly mark: string;
}

/** A short digest of a text, safe in a comment. */
export type Digest = (text: string) => string;

/** A set or map as it shall be declared; its elements come from all parts. */
export interface DesiredSet {
  readonly family: FirewallFamily;
  readonly name: string;
  readonly kind: 'set' | 'map';
  /** `type …; flags …;` */
  readonly declaration: string;
}

/** An element: how it is written, and how it is told apart, which is the same without quotes. */
export interface DesiredElement {
  readonly family: FirewallFamily;
  readonly set: string;
  readonly text: string;
}

/** A piece of the ruleset that is applied in one transaction. */
export interface FirewallPart {
  /** The network that it belongs to; undefined for what all have in common. */
  readonly vni: number | undefined;
  readonly sets: readonly DesiredSet[];
  readonly chains: readonly DesiredChain[];
  readonly elements: readonly DesiredElement[];
}

/** The hosts' own networks, which guests must not reach through the router. */
export interface HostNetworks {
  /** Prefixes of the cluster and storage networks, as far as they are known. */
  readonly prefixes: readonly string[];
  /** Devices that lead there and nowhere else. */
  readonly devices: readonly string[];
  /** The device towards the outside, where addresses are translated; undefined: nowhere, which spares every packet a hook. */
  readonly upstreamDevice: string | undefined;
}

/** Frames for a bridge's own guests pass no IP hook (bridge-nf-call is off), so these see routed traffic only. */
const INPUT = 'type filter hook input priority 0; policy accept;';
const forwardAt = (priority: number): string => `type filter hook forward priority ${priority}; policy accept;`;

const REPLIES = ['ct state established,related accept'];

/** What a guest may ask the router for: echo and neighbours, names, addresses, time. */
const SERVICES = [
  'meta l4proto { icmp, ipv6-icmp } accept',
  'meta l4proto { tcp, udp } th dport 53 accept',
  'udp dport { 67, 123, 547 } accept',
];

/**
 * What all networks share. Traffic from one network to another passes two base chains: an accept ends one of them and not the next, so
 * that leave to go out is not leave to come in. What goes to no network may go to the hosts, whose guard comes last.
 */
export function desiredBase({ prefixes, devices, upstreamDevice }: HostNetworks, digest: Digest): FirewallPart {
  const v4 = prefixes.filter((prefix) => !prefix.includes(':'));
  const v6 = prefixes.filter((prefix) => prefix.includes(':'));
  const towardsHosts = [
    ...(devices.length === 0 ? [] : [`oifname ${oneOf(devices.map((device) => `"${device}"`))} goto hosts`]),
    ...(v4.length === 0 ? [] : [`ip daddr ${oneOf(v4)} goto hosts`]),
    ...(v6.length === 0 ? [] : [`ip6 daddr ${oneOf(v6)} goto hosts`]),
  ];
  const translated = upstreamDevice === undefined ? [] : ['ip saddr @nat4', 'ip6 saddr @nat6'].map((from) => `oifname "${upstreamDevice}" ${from} masquerade`);
  const inet = (name: string, hook: string | undefined, rules: readonly string[]): DesiredChain => marked({ family: 'inet', name, hook, rules }, digest);
  const postrouting = inet('postrouting', 'type nat hook postrouting priority 100; policy accept;', translated);
  const bridge = (name: string, hook: string | undefined, rules: readonly string[]): DesiredChain => marked({ family: 'bridge', name, hook, rules }, digest);
  return {
    vni: undefined,
    sets: SETS,
    chains: [
      inet('hosts', undefined, [...REPLIES, 'iifname @clients counter drop']),
      inet('forward-out', forwardAt(-1), ['iifname vmap @out']),
      inet('forward-in', forwardAt(0), ['oifname vmap @in', ...towardsHosts]),
      inet('services', undefined, [...REPLIES, ...SERVICES, 'counter drop']),
      inet('input', INPUT, ['iifname @clients jump services']),
      ...(translated.length === 0 ? [] : [postrouting]),
      bridge('port-ip4', undefined, ['udp sport 67 udp dport 68 counter drop']),
      bridge('port-ip6', undefined, ['icmpv6 type nd-router-advert counter drop', 'udp sport 547 udp dport 546 counter drop']),
      bridge('prerouting', 'type filter hook prerouting priority 0; policy accept;', ['iifname vmap @ports']),
    ],
    elements: [],
  };
}

function marked(chain: Omit<DesiredChain, 'mark'>, digest: Digest): DesiredChain {
  return { ...chain, mark: digest(JSON.stringify([chain.hook ?? null, chain.rules])) };
}

/** More devices than a host can have. The kernel looks faster into a set whose size it knows; this one takes 1 MiB. */
const DEVICES = 'size 65535;';

const SETS: readonly DesiredSet[] = [
  { family: 'inet', name: 'clients', kind: 'set', declaration: `type ifname; ${DEVICES}` },
  { family: 'inet', name: 'out', kind: 'map', declaration: `type ifname : verdict; ${DEVICES}` },
  { family: 'inet', name: 'in', kind: 'map', declaration: `type ifname : verdict; ${DEVICES}` },
  { family: 'inet', name: 'nat4', kind: 'set', declaration: 'type ipv4_addr; flags interval;' },
  { family: 'inet', name: 'nat6', kind: 'set', declaration: 'type ipv6_addr; flags interval;' },
  { family: 'bridge', name: 'ports', kind: 'map', declaration: `type ifname : verdict; ${DEVICES}` },
];

/** The chains of one network: its rules in order, after what guards against foreign senders. */
export function desiredNetwork(network: ManagedNetwork, acl: NetworkAcl | undefined, digest: Digest): FirewallPart {
  const { vni, ip4, ip6, nat, antiSpoofing } = network;
  const bridge = bridgeName(vni);
  const senders = [
    ...(ip4 === null ? ['meta nfproto ipv4 counter drop'] : [`ip saddr != ${ip4.network} counter drop`]),
    ...(ip6 === null ? ['meta nfproto ipv6 counter drop'] : [`ip6 saddr != ${ip6.network} counter drop`]),
  ];
  const chain = (direction: 'in' | 'out', first: readonly string[]): DesiredChain =>
    marked({ family: 'inet', name: chainName(direction, vni), hook: undefined, rules: [...first, ...(acl?.[direction] ?? []).map(({ rule }) => rule)] }, digest);
  const inet = (set: string, text: string): DesiredElement => ({ family: 'inet', set, text });
  return {
    vni,
    sets: [],
    chains: [chain('in', []), chain('out', antiSpoofing ? senders : [])],
    elements: [
      inet('clients', `"${bridge}"`),
      inet('in', `"${bridge}" : goto ${chainName('in', vni)}`),
      inet('out', `"${bridge}" : goto ${chainName('out', vni)}`),
      ...(nat && ip4 !== null ? [inet('nat4', ip4.network)] : []),
      ...(nat && ip6 !== null ? [inet('nat6', ip6.network)] : []),
    ],
  };
}

function chainName(direction: 'in' | 'out', vni: number): string {
  return `${direction}-${vni}`;
}

/** A guest's interface in a managed network; `reservation` is that of its MAC address. */
export interface GuestPort {
  readonly mac: string;
  readonly network: ManagedNetwork;
  readonly reservation: DhcpReservation | undefined;
}

/** What guards the ports of guests in networks with anti-spoofing: a chain for each, named after its device, so that a frame costs one look into a map. */
export function desiredPorts(ports: readonly GuestPort[], digest: Digest): FirewallPart {
  const guarded = ports.filter(({ network }) => network.antiSpoofing);
  return {
    vni: undefined,
    sets: [],
    chains: guarded.map((port) => marked({ family: 'bridge', name: tapName(port.mac), hook: undefined, rules: portRules(port) }, digest)),
    elements: guarded.map(({ mac }) => ({ family: 'bridge', set: 'ports', text: `"${tapName(mac)}" : goto ${tapName(mac)}` })),
  };
}

/**
 * Frames that a guest may not send: with another's MAC or, where its address is fixed, IP address (0.0.0.0 and :: ask for one, link-local
 * addresses never leave the network), and the answers of a router or a DHCP server. What most frames are is let through at once; a port is
 * where ICMP has type and code.
 */
function portRules({ mac, network, reservation }: GuestPort): string[] {
  const ip4 = reservation?.ip4 ?? null;
  // Where DHCP is for IPv4 alone, guests make their own IPv6 addresses.
  const ip6 = network.ip4?.dhcp == null ? (reservation?.ip6 ?? null) : null;
  return [
    `meta protocol ip ether saddr ${mac} ${ip4 === null ? '' : `ip saddr ${ip4} `}th sport != 67 accept`,
    `ether saddr != ${mac} counter drop`,
    ...(ip4 === null ? [] : [`ip saddr != ${ip4} ip saddr != 0.0.0.0 counter drop`]),
    'ether type ip goto port-ip4',
    `arp saddr ether != ${mac} counter drop`,
    ...(ip4 === null ? [] : [`arp saddr ip != ${ip4} arp saddr ip != 0.0.0.0 counter drop`]),
    ...(ip6 === null ? [] : [`ip6 saddr != { ::, fe80::/10, ${ip6} } counter drop`]),
    'ether type ip6 goto port-ip6',
  ];
}

/** One value is compared, more are looked up, which is slower. */
function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values.join('') : `{ ${values.join(', ')} }`;
}
