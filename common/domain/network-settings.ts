import { AppError } from '../errors.ts';
import { domainName, MTU_MAX, MTU_MIN, NAME_SERVERS_MAX, networkLabel, VLAN_MAX, VNI_MAX, type DhcpReservation, type ManagedNetwork, type NetworkSpec } from '../schema/network.ts';
import { addressOf, contains, isHostAddress, overlaps, parseAddress, parseNetwork, unusableFor, type IpAddress, type IpFamily, type IpNetwork } from './addressing.ts';

/** What a person says about a network, in texts. Undefined: not said; null: to be cleared. */
export interface NetworkSettings {
  description?: string | undefined;
  mtu?: number | null | undefined;
  domain?: string | null | undefined;
  nameServers?: readonly string[] | null | undefined;
  ip4Network?: string | null | undefined;
  ip4Gateway?: string | null | undefined;
  dhcp4?: boolean | undefined;
  dhcp4Start?: string | null | undefined;
  dhcp4End?: string | null | undefined;
  ip6Network?: string | null | undefined;
  ip6Gateway?: string | null | undefined;
  nat?: boolean | undefined;
  antiSpoofing?: boolean | undefined;
}

/** Length of a client network's prefix. IPv6: dnsmasq serves no network larger than /64, and a link has no use for one. */
const PREFIX = { 4: { min: 8, max: 30 }, 6: { min: 64, max: 126 } } as const;

/** What is wrong, by the name of the value in the HTTP API. */
type Faults = Record<string, string>;

/**
 * A new network from what was said of it.
 * @throws AppError 'invalid' that names each value that is wrong.
 */
export function newNetwork(id: Pick<NetworkSpec, 'type' | 'vni'>, settings: NetworkSettings): NetworkSpec {
  const faults: Faults = {};
  checkVni(id, faults);
  const description = settings.description ?? '';
  checkDescription(description, faults);
  const empty: ManagedNetwork = {
    type: 'managed',
    vni: id.vni,
    description,
    mtu: null,
    domain: defaultDomain({ vni: id.vni, description }),
    nameServers: [],
    ip4: null,
    ip6: null,
    nat: false,
    antiSpoofing: true,
  };
  return finished(id.type === 'bridged' ? { type: 'bridged', vni: id.vni, description, mtu: mtuOf(settings, null, faults) } : managed(empty, settings, faults), faults);
}

/**
 * The network with what was said changed, and the rest as it was.
 * @throws AppError 'invalid' that names each value that is wrong.
 */
export function changedNetwork(spec: NetworkSpec, settings: NetworkSettings): NetworkSpec {
  const faults: Faults = {};
  const description = settings.description ?? spec.description;
  checkDescription(description, faults);
  if (spec.type === 'managed') return finished(managed({ ...spec, description }, settings, faults), faults);
  return finished({ ...spec, description, mtu: mtuOf(settings, spec.mtu, faults) }, faults);
}

function finished(spec: NetworkSpec, faults: Faults): NetworkSpec {
  if (Object.keys(faults).length > 0) throw new AppError('invalid', "the network's settings are not valid", faults);
  return spec;
}

function managed(old: ManagedNetwork, settings: NetworkSettings, faults: Faults): ManagedNetwork {
  return {
    ...old,
    mtu: mtuOf(settings, old.mtu, faults),
    domain: domainOf(settings, old, faults),
    nameServers: nameServersOf(settings, old.nameServers, faults),
    ip4: ip4Of(settings, old.ip4, faults),
    ip6: ip6Of(settings, old.ip6, faults),
    nat: settings.nat ?? old.nat,
    antiSpoofing: settings.antiSpoofing ?? old.antiSpoofing,
  };
}

function checkVni({ type, vni }: Pick<NetworkSpec, 'type' | 'vni'>, faults: Faults): void {
  const max = type === 'bridged' ? VLAN_MAX : VNI_MAX;
  if (!Number.isInteger(vni) || vni < 1 || vni > max) faults['vni'] = `must be a whole number from 1 to ${max} for a ${type} network`;
}

/** A number would be taken for a VNI where a network is named. */
function checkDescription(description: string, faults: Faults): void {
  const label = networkLabel.safeParse(description);
  if (!label.success) faults['description'] = label.error.issues[0]?.message ?? 'is not valid';
  else if (/^\d+$/u.test(description)) faults['description'] = 'must not be a number, which would be taken for a VNI';
}

function mtuOf({ mtu }: NetworkSettings, old: number | null, faults: Faults): number | null {
  if (mtu === undefined) return old;
  if (mtu !== null && (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > MTU_MAX)) faults['mtu'] = `must be from ${MTU_MIN} to ${MTU_MAX}`;
  return mtu;
}

const LABEL_MAX = 63;

/** `<description>.local`, as far as that is a domain. */
function defaultDomain({ vni, description }: { vni: number; description: string }): string {
  const labels = description
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/gu, '-')
    .split('.')
    .map((label) => label.slice(0, LABEL_MAX).replaceAll(/^-+|-+$/gu, ''))
    .filter((label) => label !== '');
  return [...(labels.length === 0 ? [`net${vni}`] : labels), 'local'].join('.');
}

function domainOf({ domain }: NetworkSettings, old: ManagedNetwork, faults: Faults): string {
  if (domain === undefined) return old.domain;
  if (domain === null) return defaultDomain(old);
  const parsed = domainName.safeParse(domain.toLowerCase().replace(/\.$/u, ''));
  if (parsed.success) return parsed.data;
  faults['domain'] = parsed.error.issues[0]?.message ?? 'is not valid';
  return old.domain;
}

function nameServersOf({ nameServers }: NetworkSettings, old: readonly string[], faults: Faults): string[] {
  if (nameServers === undefined) return [...old];
  const addresses = (nameServers ?? []).map((text) => parseAddress(text)?.text);
  if (addresses.includes(undefined)) faults['name_servers'] = 'must be IP addresses';
  const unique = new Set(addresses.filter((text) => text !== undefined));
  if (unique.size > NAME_SERVERS_MAX) faults['name_servers'] = `must be at most ${NAME_SERVERS_MAX}`;
  return [...unique];
}

function ip4Of(settings: NetworkSettings, old: ManagedNetwork['ip4'], faults: Faults): ManagedNetwork['ip4'] {
  const said = { ip4_gateway: settings.ip4Gateway, dhcp4: settings.dhcp4 === true ? 'True' : undefined, dhcp4_start: settings.dhcp4Start, dhcp4_end: settings.dhcp4End };
  const text = settings.ip4Network === undefined ? old?.network : settings.ip4Network;
  if (text == null) return withoutNetwork(said, 'ip4_network', faults);
  const network = clientNetwork({ name: 'ip4_network', family: 4, text }, faults);
  if (network === undefined) return null;
  const gateway = hostAddress({ name: 'ip4_gateway', text: settings.ip4Gateway === undefined ? old?.gateway : settings.ip4Gateway, network }, faults);
  const dhcp = dhcpOf(settings, { old: old?.dhcp ?? null, network, gateway }, faults);
  return { network: network.text, gateway: gateway?.text ?? '', dhcp };
}

function withoutNetwork(said: Record<string, string | null | undefined>, network: string, faults: Faults): null {
  for (const [name, value] of Object.entries(said)) if (value != null) faults[name] = `needs ${network}`;
  return null;
}

interface DhcpPlace {
  old: { start: string; end: string } | null;
  network: IpNetwork;
  gateway: IpAddress | undefined;
}

function dhcpOf(settings: NetworkSettings, { old, network, gateway }: DhcpPlace, faults: Faults): { start: string; end: string } | null {
  if (!(settings.dhcp4 ?? old !== null)) {
    for (const [name, value] of [['dhcp4_start', settings.dhcp4Start], ['dhcp4_end', settings.dhcp4End]] as const) if (value != null) faults[name] = 'needs dhcp4';
    return null;
  }
  const start = hostAddress({ name: 'dhcp4_start', text: settings.dhcp4Start === undefined ? old?.start : settings.dhcp4Start, network }, faults);
  const end = hostAddress({ name: 'dhcp4_end', text: settings.dhcp4End === undefined ? old?.end : settings.dhcp4End, network }, faults);
  if (start === undefined || end === undefined) return null;
  if (end.value < start.value) faults['dhcp4_end'] = `must not be before dhcp4_start, ${start.text}`;
  else if (gateway !== undefined && start.value <= gateway.value && gateway.value <= end.value) faults['dhcp4_start'] = `must be beyond the gateway, ${gateway.text}, or the range must end before it`;
  return { start: start.text, end: end.text };
}

/** An invalid gateway counts as none where the network is named with it, as the HTTP manual has it: the network's first address then. */
function ip6Of(settings: NetworkSettings, old: ManagedNetwork['ip6'], faults: Faults): ManagedNetwork['ip6'] {
  const text = settings.ip6Network === undefined ? old?.network : settings.ip6Network;
  if (text == null) return withoutNetwork({ ip6_gateway: settings.ip6Gateway }, 'ip6_network', faults);
  const network = clientNetwork({ name: 'ip6_network', family: 6, text }, faults);
  if (network === undefined) return null;
  const kept = old?.network === network.text ? old.gateway : undefined;
  const wanted = settings.ip6Gateway === undefined ? kept : settings.ip6Gateway;
  if (settings.ip6Network === undefined && wanted != null) {
    return { network: network.text, gateway: hostAddress({ name: 'ip6_gateway', text: wanted, network }, faults)?.text ?? '' };
  }
  const given = wanted == null ? undefined : parseAddress(wanted);
  const gateway = given !== undefined && isHostAddress(network, given) ? given : addressOf(6, network.first + 1n);
  return { network: network.text, gateway: gateway.text };
}

function clientNetwork({ name, family, text }: { name: string; family: IpFamily; text: string }, faults: Faults): IpNetwork | undefined {
  const network = parseNetwork(text);
  const fault = network === undefined || network.family !== family ? `must be an IPv${family} network such as ${family === 4 ? '10.5.0.0/24' : '2001:db8:5::/64'}` : networkFault(network, text);
  if (fault === undefined) return network;
  faults[name] = fault;
  return undefined;
}

function networkFault(network: IpNetwork, text: string): string | undefined {
  const { min, max } = PREFIX[network.family];
  const given = parseAddress(text.split('/')[0] ?? '');
  if (given?.value !== network.first) return `has bits beyond its prefix; the network is ${network.text}`;
  if (network.prefixLength < min || network.prefixLength > max) return `must have a prefix of ${min} to ${max} bits`;
  const reserved = unusableFor(network);
  return reserved === undefined ? undefined : `must not be in ${reserved}, which has a meaning of its own`;
}

function hostAddress({ name, text, network }: { name: string; text: string | null | undefined; network: IpNetwork }, faults: Faults): IpAddress | undefined {
  const address = text == null ? undefined : parseAddress(text);
  if (address !== undefined && isHostAddress(network, address)) return address;
  if (text == null) faults[name] = 'is required here';
  else if (address === undefined) faults[name] = 'is not an IP address';
  else faults[name] = contains(network, address) ? `cannot be a host's: it is special in ${network.text}` : `is not in ${network.text}`;
  return undefined;
}

/** Two networks that cannot both be: what they have in common, for people; undefined when they go together. */
export function networkConflict(one: NetworkSpec, other: NetworkSpec): Faults | undefined {
  if (one.vni === other.vni) return undefined;
  const taken: Faults = {};
  if (one.description.toLowerCase() === other.description.toLowerCase()) taken['description'] = `network ${other.vni} is called ${other.description}`;
  for (const [name, mine, theirs] of [['ip4_network', ip4NetworkOf(one), ip4NetworkOf(other)], ['ip6_network', ip6NetworkOf(one), ip6NetworkOf(other)]] as const) {
    if (mine !== undefined && theirs !== undefined && overlaps(mine, theirs)) taken[name] = `network ${other.vni} (${other.description}) has ${theirs.text}`;
  }
  return Object.keys(taken).length === 0 ? undefined : taken;
}

function ip4NetworkOf(spec: NetworkSpec): IpNetwork | undefined {
  return spec.type === 'managed' && spec.ip4 !== null ? parseNetwork(spec.ip4.network) : undefined;
}

function ip6NetworkOf(spec: NetworkSpec): IpNetwork | undefined {
  return spec.type === 'managed' && spec.ip6 !== null ? parseNetwork(spec.ip6.network) : undefined;
}

/** Why a host of this network cannot have the address; undefined when it can. */
export function reservedAddressFault(spec: ManagedNetwork, text: string): string | undefined {
  const address = parseAddress(text);
  if (address === undefined) return 'is not an IP address';
  const [network, gateway] = address.family === 4 ? [ip4NetworkOf(spec), spec.ip4?.gateway] : [ip6NetworkOf(spec), spec.ip6?.gateway];
  if (network === undefined) return `is IPv${address.family}, which the network does not have`;
  if (!contains(network, address)) return `is not in ${network.text}`;
  if (!isHostAddress(network, address)) return `cannot be a host's: it is special in ${network.text}`;
  return gateway === address.text ? "is the gateway's" : undefined;
}

/** The reservations that the network, as it would be, has no place for: each MAC address with the reason. */
export function homelessReservations(spec: NetworkSpec, reservations: readonly DhcpReservation[]): Faults {
  const homeless: Faults = {};
  for (const { mac, ip4, ip6 } of reservations) {
    const faults = [ip4, ip6].flatMap((address) => {
      const fault = address === null || spec.type === 'bridged' ? undefined : reservedAddressFault(spec, address);
      return fault === undefined ? [] : [`${address} ${fault}`];
    });
    if (faults.length > 0) homeless[mac] = faults.join(', ');
  }
  return homeless;
}
