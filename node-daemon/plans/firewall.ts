import { bridgeName, tapName } from '../../common/domain/network.ts';
import type { DhcpReservation, ManagedNetwork, NetworkAcl } from '../../common/schema/network.ts';
import type { VmInterface } from '../../common/schema/vm.ts';
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
  /** The device towards the outside, where addresses are translated; undefined: nowhere. */
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
 * What all networks share. Traffic from one network to another passes three base chains: an accept ends one of them and not the next, so
 * that leave to go out is not leave to come in.
 */
export function desiredBase({ prefixes, devices, upstreamDevice }: HostNetworks, digest: Digest): FirewallPart {
  const v4 = prefixes.filter((prefix) => !prefix.includes(':'));
  const v6 = prefixes.filter((prefix) => prefix.includes(':'));
  const guarded = [
    ...(devices.length === 0 ? [] : [`iifname @clients oifname { ${devices.map((device) => `"${device}"`).join(', ')} } counter drop`]),
    ...(v4.length === 0 ? [] : [`iifname @clients ip daddr { ${v4.join(', ')} } counter drop`]),
    ...(v6.length === 0 ? [] : [`iifname @clients ip6 daddr { ${v6.join(', ')} } counter drop`]),
  ];
  const translated = upstreamDevice === undefined ? [] : ['ip saddr @nat4', 'ip6 saddr @nat6'].map((from) => `oifname "${upstreamDevice}" ${from} masquerade`);
  const inet = (name: string, hook: string | undefined, rules: readonly string[]): DesiredChain => marked({ family: 'inet', name, hook, rules }, digest);
  return {
    vni: undefined,
    sets: [...INET_SETS, ...BRIDGE_SETS],
    chains: [
      inet('forward-hosts', forwardAt(-2), [...REPLIES, ...guarded]),
      inet('forward-out', forwardAt(-1), ['iifname vmap @out']),
      inet('forward-in', forwardAt(0), ['oifname vmap @in']),
      inet('services', undefined, [...REPLIES, ...SERVICES, 'counter drop']),
      inet('input', INPUT, ['iifname @clients jump services']),
      inet('postrouting', 'type nat hook postrouting priority 100; policy accept;', translated),
      marked({ family: 'bridge', name: 'protect', hook: undefined, rules: PORT_RULES }, digest),
      marked({ family: 'bridge', name: 'prerouting', hook: 'type filter hook prerouting priority 0; policy accept;', rules: ['iifname @ports jump protect'] }, digest),
    ],
    elements: [],
  };
}

function marked(chain: Omit<DesiredChain, 'mark'>, digest: Digest): DesiredChain {
  return { ...chain, mark: digest(JSON.stringify([chain.hook ?? null, chain.rules])) };
}

const INET_SETS: readonly DesiredSet[] = [
  { family: 'inet', name: 'clients', kind: 'set', declaration: 'type ifname;' },
  { family: 'inet', name: 'out', kind: 'map', declaration: 'type ifname : verdict;' },
  { family: 'inet', name: 'in', kind: 'map', declaration: 'type ifname : verdict;' },
  { family: 'inet', name: 'nat4', kind: 'set', declaration: 'type ipv4_addr; flags interval;' },
  { family: 'inet', name: 'nat6', kind: 'set', declaration: 'type ipv6_addr; flags interval;' },
];

const BRIDGE_SETS: readonly DesiredSet[] = [
  { family: 'bridge', name: 'ports', kind: 'set', declaration: 'type ifname;' },
  { family: 'bridge', name: 'own-mac', kind: 'set', declaration: 'type ifname . ether_addr;' },
  { family: 'bridge', name: 'pinned4', kind: 'set', declaration: 'type ifname;' },
  { family: 'bridge', name: 'own-ip4', kind: 'set', declaration: 'type ifname . ipv4_addr;' },
  { family: 'bridge', name: 'pinned6', kind: 'set', declaration: 'type ifname;' },
  { family: 'bridge', name: 'own-ip6', kind: 'set', declaration: 'type ifname . ipv6_addr;' },
];

/**
 * Frames that a guest may not send: with another's MAC or, where its address is fixed, IP address (0.0.0.0 and :: ask for one, link-local
 * addresses never leave the network), and the answers of a router or a DHCP server.
 */
const PORT_RULES: readonly string[] = [
  'iifname . ether saddr != @own-mac counter drop',
  'ether type arp iifname . arp saddr ether != @own-mac counter drop',
  'iifname @pinned4 ether type arp arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @own-ip4 counter drop',
  'iifname @pinned4 ether type ip ip saddr != 0.0.0.0 iifname . ip saddr != @own-ip4 counter drop',
  'iifname @pinned6 ether type ip6 ip6 saddr != { ::, fe80::/10 } iifname . ip6 saddr != @own-ip6 counter drop',
  'icmpv6 type nd-router-advert counter drop',
  'udp sport 67 udp dport 68 counter drop',
  'udp sport 547 udp dport 546 counter drop',
];

/** The chains of one network: its rules in order, each counted, after what guards against foreign senders. */
export function desiredNetwork(network: ManagedNetwork, acl: NetworkAcl | undefined, digest: Digest): FirewallPart {
  const { vni, ip4, ip6, nat, antiSpoofing } = network;
  const bridge = bridgeName(vni);
  const senders = [
    ...(ip4 === null ? ['meta nfproto ipv4 counter drop'] : [`ip saddr != ${ip4.network} counter drop`]),
    ...(ip6 === null ? ['meta nfproto ipv6 counter drop'] : [`ip6 saddr != ${ip6.network} counter drop`]),
  ];
  const chain = (direction: 'in' | 'out', first: readonly string[]): DesiredChain =>
    marked({ family: 'inet', name: chainName(direction, vni), hook: undefined, rules: [...first, ...(acl?.[direction] ?? []).map(({ rule }) => `counter ${rule}`)] }, digest);
  const inet = (set: string, text: string): DesiredElement => ({ family: 'inet', set, text });
  return {
    vni,
    sets: [],
    chains: [chain('in', []), chain('out', antiSpoofing ? senders : [])],
    elements: [
      inet('clients', `"${bridge}"`),
      inet('in', `"${bridge}" : jump ${chainName('in', vni)}`),
      inet('out', `"${bridge}" : jump ${chainName('out', vni)}`),
      ...(nat && ip4 !== null ? [inet('nat4', ip4.network)] : []),
      ...(nat && ip6 !== null ? [inet('nat6', ip6.network)] : []),
    ],
  };
}

function chainName(direction: 'in' | 'out', vni: number): string {
  return `${direction}-${vni}`;
}

/** A guest's port in a network with anti-spoofing; `reservation` is that of its MAC address. */
export function desiredPort({ mac }: VmInterface, network: ManagedNetwork, reservation: DhcpReservation | undefined): DesiredElement[] {
  if (!network.antiSpoofing) return [];
  const tap = tapName(mac);
  const bridge = (set: string, text: string): DesiredElement => ({ family: 'bridge', set, text });
  const ip4 = reservation?.ip4 ?? null;
  // Where DHCP is for IPv4 alone, guests make their own IPv6 addresses.
  const ip6 = network.ip4?.dhcp == null ? (reservation?.ip6 ?? null) : null;
  return [
    bridge('ports', `"${tap}"`),
    bridge('own-mac', `"${tap}" . ${mac}`),
    ...(ip4 === null ? [] : [bridge('pinned4', `"${tap}"`), bridge('own-ip4', `"${tap}" . ${ip4}`)]),
    ...(ip6 === null ? [] : [bridge('pinned6', `"${tap}"`), bridge('own-ip6', `"${tap}" . ${ip6}`)]),
  ];
}
