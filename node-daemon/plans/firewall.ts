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
const OUTPUT = 'type filter hook output priority 0; policy accept;';
const forwardAt = (priority: number): string => `type filter hook forward priority ${priority}; policy accept;`;

/** More than guests owe at a time; a question that finds no place gets no answer. */
const ASKED_FLAGS = 'flags dynamic, timeout; timeout 2m; size 65535;';

/** By family of addresses: who was asked, and who asked. The kernel fills these sets itself. */
const ASKED_SETS = [
  { ip: 'ip', name: 'asked4', type: 'ipv4_addr' },
  { ip: 'ip6', name: 'asked6', type: 'ipv6_addr' },
] as const;

/**
 * What a host sends to a guest is a question: remembered for two minutes, and for longer than TCP's keep-alive (2 h, tcp(7)) once a connection
 * stands. So no connection has to be tracked, which would cost each packet between networks, in a table that a guest can fill.
 */
const ASKED_RULES = [
  'meta l4proto != { tcp, udp } return',
  ...ASKED_SETS.map(({ ip, name }) => `update @${name} { ${ip} daddr . meta l4proto . th dport . ${ip} saddr . th sport }`),
  ...ASKED_SETS.map(({ ip, name }) => `tcp flags & (syn | fin | rst) == 0 update @${name} { ${ip} daddr . meta l4proto . th dport . ${ip} saddr . th sport timeout 3h }`),
];

const ANSWER_RULES = ASKED_SETS.map(({ ip, name }) => `${ip} saddr . meta l4proto . th sport . ${ip} daddr . th dport @${name} accept`);

/** Answers to echo, and what tells the sender of a packet that it was in vain. */
const ICMP_ANSWERS = [
  'icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept',
  'icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept',
];

/**
 * No packet comes to this rule. While there is one of its kind, the kernel puts fragments together before the rules see them (nft_tproxy's
 * init, net/netfilter), as it does where connections are tracked: a fragment other than the first has no port.
 */
const DEFRAGMENTATION_RULE = 'meta l4proto { tcp, udp } tproxy to :1';

/** What a guest may ask the router for: echo and neighbours, names, addresses, time. */
const SERVICES = [
  'meta l4proto { icmp, ipv6-icmp } accept',
  'meta l4proto { tcp, udp } th dport 53 accept',
  'udp dport { 67, 123, 547 } accept',
];
const SERVICE_PORTS = '{ 53, 67, 123, 547 }';

/**
 * What all networks share. Traffic from one network to another passes two base chains: an accept ends one of them and not the next, so
 * that leave to go out is not leave to come in. What goes to no network may go to the hosts, whose guard comes last.
 */
export function desiredBase({ prefixes, devices, upstreamDevice }: HostNetworks, digest: Digest): FirewallPart {
  const v4 = prefixes.filter((prefix) => !prefix.includes(':'));
  const v6 = prefixes.filter((prefix) => prefix.includes(':'));
  const hostsAs = (device: 'iifname' | 'oifname', address: 'saddr' | 'daddr'): string[] => [
    ...(devices.length === 0 ? [] : [`${device} ${oneOf(devices.map((name) => `"${name}"`))}`]),
    ...(v4.length === 0 ? [] : [`ip ${address} ${oneOf(v4)}`]),
    ...(v6.length === 0 ? [] : [`ip6 ${address} ${oneOf(v6)}`]),
  ];
  const fromHosts = hostsAs('iifname', 'saddr').map((from) => `${from} oifname @clients goto asked`);
  const towardsHosts = hostsAs('oifname', 'daddr').map((to) => `${to} goto hosts`);
  const translated = upstreamDevice === undefined ? [] : ['ip saddr @nat4', 'ip6 saddr @nat6'].map((from) => `oifname "${upstreamDevice}" ${from} masquerade`);
  const inet = (name: string, hook: string | undefined, rules: readonly string[]): DesiredChain => marked({ family: 'inet', name, hook, rules }, digest);
  const postrouting = inet('postrouting', 'type nat hook postrouting priority 100; policy accept;', translated);
  const bridge = (name: string, hook: string | undefined, rules: readonly string[]): DesiredChain => marked({ family: 'bridge', name, hook, rules }, digest);
  return {
    vni: undefined,
    sets: SETS,
    chains: [
      inet('fragments', undefined, [DEFRAGMENTATION_RULE]),
      inet('asked', undefined, ASKED_RULES),
      inet('answers', undefined, ANSWER_RULES),
      inet('hosts', undefined, ['iifname != @clients return', 'jump answers', ...ICMP_ANSWERS, 'counter drop']),
      inet('forward-out', forwardAt(-1), ['iifname vmap @out', ...fromHosts]),
      inet('forward-in', forwardAt(0), ['oifname vmap @in', ...towardsHosts]),
      inet('services', undefined, [...SERVICES, 'jump answers', 'counter drop']),
      inet('input', INPUT, ['iifname @clients jump services']),
      inet('output', OUTPUT, [`oifname @clients th sport != ${SERVICE_PORTS} goto asked`]),
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
  ...ASKED_SETS.map(({ name, type }) => ({ family: 'inet', name, kind: 'set', declaration: `type ${type} . inet_proto . inet_service . ${type} . inet_service; ${ASKED_FLAGS}` }) as const),
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
