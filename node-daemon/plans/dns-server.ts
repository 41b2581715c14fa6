import { macOfDuid, networkOf, parseAddress, parseNetwork, type IpAddress, type IpNetwork } from '../../common/domain/addressing.ts';
import { AppError } from '../../common/errors.ts';
import { hostLabel, type DhcpLeases, type DhcpReservation, type ManagedNetwork } from '../../common/schema/network.ts';
import type { DnsChange, DnsContents, DnsServerPlace } from '../drivers/dns-server.ts';

/** How long others may keep an answer, in seconds: an address may be somebody else's soon. */
const TTL_S = 30;

/** Timers of a zone's SOA record, in seconds: nobody transfers these zones, and only the last one, for how long "no such name" is kept, matters. */
const SOA_TIMERS = `1 3600 1200 604800 ${TTL_S}`;

/** The primary's name in each network's domain. */
const GATEWAY_LABEL = 'gateway';

/** What is known of one network's names. */
export interface DnsNetwork {
  readonly network: ManagedNetwork;
  readonly reservations: readonly DhcpReservation[];
  readonly leases: DhcpLeases | undefined;
}

interface Claim {
  /** Without a dot at the end. */
  readonly name: string;
  readonly address: IpAddress;
}

/**
 * The zones that the cluster answers for, and their records: each network's domain, and the reverse zones of its addresses.
 * A name belongs first to a gateway, then to the reservation that has it, then to leases, and among networks with one domain to that with the lowest VNI:
 * what a guest calls itself takes no name away from anybody. Of leases of one family that say the same name, the lowest address has it.
 */
export function dnsContents(networks: readonly DnsNetwork[]): DnsContents {
  const ordered = networks.toSorted((a, b) => a.network.vni - b.network.vni);
  const owners = new Map<string, string>();
  const claims = [
    ...ordered.flatMap((one) => claimed(owners, `gateway ${one.network.vni}`, gatewayClaims(one.network))),
    ...ordered.flatMap((one) => one.reservations.flatMap((reservation) => claimed(owners, reservationOwner(one.network, reservation), reservationClaims(one.network, reservation)))),
    ...ordered.flatMap((one) => leaseClaims(owners, one)),
  ];
  const zones = new Map<string, string>();
  for (const { network } of ordered) {
    zones.set(`${network.domain}.`, network.domain);
    for (const zone of reverseZonesOf(network)) zones.set(zone, network.domain);
  }
  const records = new Map<string, Set<string>>();
  for (const [zone, domain] of zones) addRecord(records, zone, 'SOA', `${GATEWAY_LABEL}.${domain}. hostmaster.${domain}. ${SOA_TIMERS}`);
  for (const [zone, domain] of zones) addRecord(records, zone, 'NS', `${GATEWAY_LABEL}.${domain}.`);
  for (const { name, address } of claims) {
    addRecord(records, `${name}.`, address.family === 4 ? 'A' : 'AAAA', address.text);
    addRecord(records, reverseNameOf(address), 'PTR', `${name}.`);
  }
  return { zones: new Set(zones.keys()), records };
}

function addRecord(records: Map<string, Set<string>>, name: string, type: string, data: string): void {
  const line = `${name}\t${TTL_S}\tIN\t${type}\t${data}`;
  const own = records.get(name);
  if (own === undefined) records.set(name, new Set([line]));
  // One address has one name: the first that claimed it.
  else if (type !== 'PTR') own.add(line);
}

/** Those of the claims whose name is free or this owner's, which it then is. */
function claimed(owners: Map<string, string>, owner: string, claims: readonly Claim[]): Claim[] {
  return claims.filter(({ name }) => {
    if (!owners.has(name)) owners.set(name, owner);
    return owners.get(name) === owner;
  });
}

function reservationOwner({ vni }: ManagedNetwork, { mac }: DhcpReservation): string {
  return `${vni} ${mac}`;
}

function gatewayClaims({ domain, ip4, ip6 }: ManagedNetwork): Claim[] {
  return toClaims(`${GATEWAY_LABEL}.${domain}`, [ip4?.gateway, ip6?.gateway]);
}

function reservationClaims({ domain }: ManagedNetwork, { hostname, ip4, ip6 }: DhcpReservation): Claim[] {
  return hostname === null ? [] : toClaims(`${hostname}.${domain}`, [ip4, ip6]);
}

function toClaims(name: string, addresses: readonly (string | null | undefined)[]): Claim[] {
  return addresses.flatMap((text) => {
    const address = typeof text === 'string' ? parseAddress(text) : undefined;
    return address === undefined ? [] : [{ name, address }];
  });
}

/** A lease of a guest with a reservation may have the reservation's name, and stands beside its fixed addresses. */
function leaseClaims(owners: Map<string, string>, { network, reservations, leases }: DnsNetwork): Claim[] {
  if (leases === undefined) return [];
  const byMac = new Map(reservations.map((one) => [one.mac, one]));
  const byAddress = new Map(reservations.flatMap((one) => [one.ip4, one.ip6].flatMap((address) => (address === null ? [] : [[address, one] as const]))));
  const claims: Claim[] = [];
  const taken = new Set<string>();
  for (const lease of [...leases.ip4, ...leases.ip6]) {
    const label = lease.hostname === null ? undefined : hostLabelOf(lease.hostname);
    if (label === undefined) continue;
    const mac = 'mac' in lease ? lease.mac : macOfDuid(lease.clientDuid);
    const reservation = byAddress.get(lease.address) ?? (mac === undefined ? undefined : byMac.get(mac));
    const owner = reservation === undefined ? `lease of ${network.vni}` : reservationOwner(network, reservation);
    const [claim] = claimed(owners, owner, toClaims(`${label}.${network.domain}`, [lease.address]));
    if (claim === undefined) continue;
    const slot = `${claim.address.family} ${claim.name}`;
    if (reservation === undefined && taken.has(slot)) continue;
    taken.add(slot);
    claims.push(claim);
  }
  return claims;
}

/** What a guest calls itself, as one label of a host name; undefined when there is none in it. */
export function hostLabelOf(hostname: string): string | undefined {
  const [first = ''] = hostname.toLowerCase().split('.');
  return hostLabel.safeParse(first).data;
}

/** `4.3.2.1.in-addr.arpa.`, or the 32 digits below ip6.arpa (RFC 1035, section 3.5, and RFC 3596, section 2.5). */
export function reverseNameOf({ family, value }: IpAddress): string {
  return `${reversedLabels(family, value, family === 4 ? 4 : 32).join('.')}.${family === 4 ? 'in-addr' : 'ip6'}.arpa.`;
}

/** The reverse zones that hold exactly these networks: of a length between two labels there are up to 128, or 8. */
function reverseZonesOf({ ip4, ip6 }: ManagedNetwork): string[] {
  return [ip4?.network, ip6?.network].flatMap((text) => {
    const network = text === undefined ? undefined : parseNetwork(text);
    return network === undefined ? [] : zonesOf(network);
  });
}

function zonesOf({ family, first, last, prefixLength }: IpNetwork): string[] {
  const [bits, labelBits] = family === 4 ? [32, 8] : [128, 4];
  const labels = Math.ceil(prefixLength / labelBits);
  const step = 1n << BigInt(bits - labels * labelBits);
  const zones: string[] = [];
  for (let value = first; value <= last; value += step) zones.push(`${[...reversedLabels(family, value, labels), family === 4 ? 'in-addr' : 'ip6', 'arpa'].join('.')}.`);
  return zones;
}

/** The first `count` labels of an address, the last of them first. */
function reversedLabels(family: 4 | 6, value: bigint, count: number): string[] {
  const [bits, labelBits, radix] = family === 4 ? [32, 8, 10] : [128, 4, 16];
  const mask = (1n << BigInt(labelBits)) - 1n;
  return Array.from({ length: count }, (_, index) => ((value >> BigInt(bits - labelBits * (count - index))) & mask).toString(radix));
}

/** What makes of one content the other. Names that only gain records stay answered all the time. */
export function dnsChange(actual: DnsContents, desired: DnsContents): DnsChange {
  const namesRemoved: string[] = [];
  const recordsAdded: string[] = [];
  const zonesAdded = [...desired.zones].filter((zone) => !actual.zones.has(zone));
  const zonesRemoved = [...actual.zones].filter((zone) => !desired.zones.has(zone));
  const zonesChange = zonesAdded.length > 0 || zonesRemoved.length > 0;
  for (const [name, lines] of actual.records) {
    const wanted = desired.records.get(name);
    // A record is in one zone's hands: it goes with the zone, and is hidden by a new one below.
    const moves = zonesChange && zoneOf(actual.zones, name) !== zoneOf(desired.zones, name);
    if (moves || wanted === undefined || [...lines].some((line) => !wanted.has(line))) namesRemoved.push(name);
  }
  const removed = new Set(namesRemoved);
  for (const [name, lines] of desired.records) {
    const held = removed.has(name) ? undefined : actual.records.get(name);
    recordsAdded.push(...[...lines].filter((line) => held?.has(line) !== true));
  }
  return { zonesAdded, zonesRemoved, namesRemoved, recordsAdded };
}

/** The innermost of the zones that has the name. */
function zoneOf(zones: ReadonlySet<string>, name: string): string | undefined {
  for (let rest = name; rest !== ''; rest = rest.slice(rest.indexOf('.') + 1)) if (zones.has(rest)) return rest;
  return undefined;
}

export interface DnsServerFacts {
  readonly place: DnsServerPlace;
  /** Addresses to answer at, also while the host does not have them. */
  readonly listen: readonly string[];
  /** Networks that may ask. */
  readonly clients: readonly string[];
  /** Asked for every other name; none: such questions are refused. */
  readonly forwarders: readonly string[];
}

/** Addresses and networks of the managed networks themselves, for DnsServerFacts. */
export function dnsServedBy(networks: readonly ManagedNetwork[]): { listen: string[]; clients: string[] } {
  const present = (text: string | undefined): string[] => (text === undefined ? [] : [text]);
  return {
    listen: networks.flatMap(({ ip4, ip6 }) => [...present(ip4?.gateway), ...present(ip6?.gateway)]),
    clients: networks.flatMap(({ ip4, ip6 }) => [...present(ip4?.network), ...present(ip6?.network)]),
  };
}

/**
 * unbound's configuration (unbound.conf(5)), without zones and records, which change while it runs, and without what each process has of its own.
 * @throws AppError 'invalid' for a value that is not what it has to be.
 */
export function dnsServerConfig({ place, listen, clients, forwarders }: DnsServerFacts): string {
  const addresses = unique(listen.map(address));
  const rule = forwarders.length === 0 ? 'refuse_non_local' : 'allow';
  const lines = [
    'server:',
    `  username: "${account(place.user)}"`,
    '  chroot: ""',
    `  directory: "${path(place.directory)}"`,
    '  do-daemonize: no',
    '  use-syslog: yes',
    '  num-threads: 1',
    '  module-config: "iterator"',
    ...addresses.map((one) => `  interface: ${one}`),
    '  ip-freebind: yes',
    // The next server opens its sockets before this one ends.
    '  so-reuseport: yes',
    ...unique(clients.map(network)).map((one) => `  access-control: ${one} ${rule}`),
    '  hide-identity: yes',
    '  hide-version: yes',
    // Private addresses and their names may well be known where this server asks.
    '  unblock-lan-zones: yes',
    '  insecure-lan-zones: yes',
    '  do-not-query-localhost: no',
    ...(forwarders.length === 0 ? [] : ['forward-zone:', '  name: "."', ...unique(forwarders.map(address)).map((one) => `  forward-addr: ${one}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

/** The contents as a part of unbound's configuration, for its start. */
export function dnsContentsFile({ zones, records }: DnsContents): string {
  const lines = [
    ...[...zones].map((zone) => `local-zone: "${zone}" static`),
    ...[...records.values()].flatMap((own) => [...own].map((record) => `local-data: "${record.replaceAll('\t', ' ')}"`)),
  ];
  if (lines.some((line) => !/^[a-z-]+: "[A-Za-z0-9. :_-]+"( static)?$/u.test(line))) throw new AppError('invalid', 'a record cannot stand in the configuration of a DNS server');
  return lines.map((line) => `${line}\n`).join('');
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}

function address(text: string): string {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw refused(text);
  return parsed.text;
}

/** Also of an address with its prefix length, as configurations write them. */
function network(text: string): string {
  const [host = '', length = ''] = text.split('/');
  const parsed = parseAddress(host);
  if (parsed === undefined || parseNetwork(text) === undefined) throw refused(text);
  return networkOf(parsed, Number(length)).text;
}

function account(text: string): string {
  if (!/^[a-z_][a-z0-9_-]{0,31}$/u.test(text)) throw refused(text);
  return text;
}

function path(text: string): string {
  if (!/^\/[A-Za-z0-9._/-]+$/u.test(text)) throw refused(text);
  return text;
}

function refused(value: string): AppError {
  return new AppError('invalid', 'the value cannot stand in the configuration of a DNS server', { value });
}
