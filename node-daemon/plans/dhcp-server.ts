import { AppError } from '../../common/errors.ts';
import { addressOf, networkOf, parseAddress, parseNetwork, type IpFamily } from '../../common/domain/addressing.ts';
import { LEASES_MAX, type DhcpReservation, type ManagedNetwork, type NetworkSpec } from '../../common/schema/network.ts';
import type { DhcpServerFiles } from '../drivers/dhcp-server.ts';
import type { BridgeFacts } from '../drivers/bridge-facts.ts';

/** How long an address is a guest's without a renewal, in seconds. A guest renews after half of it. */
const LEASE_4_S = 48 * 3_600;
const LEASE_6_S = 24 * 3_600;

/**
 * Router advertisements come this often, and name a router for three times as long, in seconds: guests soon forget a primary that
 * died, and a minute's multicast costs nothing. (dnsmasq's own are 600 and 1,800.)
 */
const RA_INTERVAL_S = 60;
const RA_LIFETIME_S = 3 * RA_INTERVAL_S;

/** The only length with which hosts make their own addresses (RFC 4862, section 5.5.3, with RFC 4291). */
const SLAAC_PREFIX = 64;

/** Messages that dnsmasq keeps rather than wait for a slow log. */
const LOG_QUEUE = 25;

/** What a server's texts depend on besides the network's own document. */
export interface DhcpServerFacts {
  readonly files: DhcpServerFiles;
  /** Of this host's bridge: the server is bound to the very device, so that a new one of the same name needs a new server. */
  readonly bridge: Pick<BridgeFacts, 'name' | 'index' | 'mtuBytes'>;
}

/** Whether this network has a DHCP server. */
export function needsDhcpServer(network: NetworkSpec | undefined): network is ManagedNetwork {
  return network?.type === 'managed' && (network.ip4?.dhcp != null || network.ip6 !== null);
}

/** Addresses that have to be on the bridge before its server can serve: dnsmasq looks for the range's network among them. */
export function gatewayAddresses(network: ManagedNetwork): readonly string[] {
  return [network.ip4?.gateway, network.ip6?.gateway].flatMap((gateway) => (gateway === undefined ? [] : (parseAddress(gateway)?.text ?? [])));
}

/**
 * dnsmasq's configuration for one network: addresses, routes and options for its guests, and no DNS (see dnsmasq(8)).
 * @throws AppError 'invalid' for a value that could mean more than itself in dnsmasq's syntax; documents that passed their schema hold none.
 */
export function dhcpServerConfig(network: ManagedNetwork, facts: DhcpServerFacts): string {
  const { files, bridge } = facts;
  const lines = [
    `# network ${network.vni}, device ${bridge.index}`,
    'port=0',
    'keep-in-foreground',
    `user=${token(files.account.user)}`,
    `group=${token(files.account.group)}`,
    `pid-file=${path(files.pid)}`,
    `interface=${token(bridge.name)}`,
    'except-interface=lo',
    'bind-dynamic',
    'no-resolv',
    'no-hosts',
    `domain=${token(network.domain)}`,
    'dhcp-authoritative',
    `dhcp-lease-max=${LEASES_MAX}`,
    `dhcp-leasefile=${path(files.leases)}`,
    `dhcp-hostsfile=${path(files.hosts)}`,
    'quiet-dhcp',
    'quiet-dhcp6',
    'quiet-ra',
    `log-async=${LOG_QUEUE}`,
    ...ip4Lines(network, bridge.mtuBytes),
    ...ip6Lines(network, bridge),
  ];
  return `${lines.join('\n')}\n`;
}

function ip4Lines({ ip4, domain, nameServers }: ManagedNetwork, mtuBytes: number): string[] {
  if (ip4?.dhcp == null) return [];
  const { start, end } = ip4.dhcp;
  const servers = serversOf(4, nameServers, ip4.gateway);
  return [
    `dhcp-range=${address(4, start)},${address(4, end)},${netmask(ip4.network)},${LEASE_4_S}`,
    `dhcp-option=option:router,${address(4, ip4.gateway)}`,
    ...(servers.length === 0 ? [] : [`dhcp-option=option:dns-server,${servers.join(',')}`]),
    `dhcp-option=option:ntp-server,${address(4, ip4.gateway)}`,
    `dhcp-option=option:domain-search,${token(domain)}`,
    // Also to clients that do not ask: with a larger one nothing big would arrive.
    `dhcp-option-force=option:mtu,${mtuBytes}`,
  ];
}

function ip6Lines({ ip4, ip6, domain, nameServers }: ManagedNetwork, bridge: Pick<BridgeFacts, 'name' | 'mtuBytes'>): string[] {
  if (ip6 === null) return [];
  const gateway = address(6, ip6.gateway);
  const servers = serversOf(6, nameServers, ip6.gateway).map((server) => `[${server}]`);
  return [
    'enable-ra',
    `ra-param=${token(bridge.name)},mtu:${bridge.mtuBytes},${RA_INTERVAL_S},${RA_LIFETIME_S}`,
    `dhcp-range=${ip4?.dhcp == null ? statefulRange(ip6) : reservedRange(ip6)}`,
    ...(servers.length === 0 ? [] : [`dhcp-option=option6:dns-server,${servers.join(',')}`]),
    `dhcp-option=option6:sntp-server,[${gateway}]`,
    `dhcp-option=option6:domain-search,${token(domain)}`,
  ];
}

/** Every guest asks for its address. */
function statefulRange(ip6: { network: string; gateway: string }): string {
  const { first, last, prefixLength } = servedNetwork(ip6);
  return `${addressOf(6, first + 2n).text},${addressOf(6, last).text},${prefixLength},${LEASE_6_S}`;
}

/** Guests make their own addresses and ask for options; those with a reservation get it when they ask. */
function reservedRange(ip6: { network: string; gateway: string }): string {
  const { first, prefixLength } = servedNetwork(ip6);
  const slaac = prefixLength === SLAAC_PREFIX ? ',slaac' : '';
  return `${addressOf(6, first).text},static${slaac},${prefixLength},${LEASE_6_S}`;
}

/** dnsmasq serves networks of 64 bits or more: of a wider one the part that has the gateway. */
function servedNetwork(ip6: { network: string; gateway: string }): { first: bigint; last: bigint; prefixLength: number } {
  const network = parseNetwork(ip6.network);
  const gateway = parseAddress(ip6.gateway);
  if (network?.family !== 6 || gateway?.family !== 6) throw refused(ip6.network);
  return network.prefixLength >= SLAAC_PREFIX ? network : networkOf(gateway, SLAAC_PREFIX);
}

/** The network's own name servers of this family; the gateway when it names none of either. */
function serversOf(family: IpFamily, nameServers: readonly string[], gateway: string): string[] {
  const own = nameServers.filter((server) => parseAddress(server)?.family === family);
  return (nameServers.length === 0 ? [gateway] : own).map((server) => address(family, server));
}

/**
 * dnsmasq's file of reservations (--dhcp-hostsfile), in the order of their MAC addresses.
 * Names are written with their domain: `ignore`, `infinite`, or `10m` alone would be a keyword or a time to dnsmasq.
 * @throws AppError 'invalid' as dhcpServerConfig does.
 */
export function dhcpHostsFile(network: ManagedNetwork, reservations: readonly DhcpReservation[]): string {
  const sorted = reservations.toSorted((a, b) => (a.mac < b.mac ? -1 : 1));
  return sorted.map((one) => `${hostLine(network.domain, one)}\n`).join('');
}

function hostLine(domain: string, { mac, ip4, ip6, hostname }: DhcpReservation): string {
  const fields = [token(mac)];
  if (ip4 !== null) fields.push(address(4, ip4));
  if (ip6 !== null) fields.push(`[${address(6, ip6)}]`);
  const name = hostname === null ? undefined : `${token(hostname)}.${token(domain)}`;
  // Digits all through would be an address to dnsmasq; the guest may then say its own name.
  if (name !== undefined && parseAddress(name) === undefined) fields.push(name);
  return fields.join(',');
}

function netmask(cidr: string): string {
  const network = parseNetwork(cidr);
  if (network?.family !== 4) throw refused(cidr);
  return addressOf(4, (0xffff_ffffn << BigInt(32 - network.prefixLength)) & 0xffff_ffffn).text;
}

/** The address in its one form. */
function address(family: IpFamily, text: string): string {
  const parsed = parseAddress(text);
  if (parsed?.family !== family) throw refused(text);
  return parsed.text;
}

/** A word without any of dnsmasq's separators: white space, comma, `#`, quotes, backslash, `=`. */
function token(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9.:_-]*$/u.test(text)) throw refused(text);
  return text;
}

function path(text: string): string {
  if (!/^\/[A-Za-z0-9._/-]+$/u.test(text)) throw refused(text);
  return text;
}

function refused(value: string): AppError {
  return new AppError('invalid', 'the value cannot stand in the configuration of a DHCP server', { value });
}
