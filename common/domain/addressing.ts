import ipaddr from 'ipaddr.js';

export type IpFamily = 4 | 6;

/** One address. Comparable by `value` within its family. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
  /** In the one form that everybody writes: four decimals, or RFC 5952. */
  readonly text: string;
}

/** A network with its own address and its length. */
export interface IpNetwork {
  readonly family: IpFamily;
  readonly prefixLength: number;
  readonly first: bigint;
  readonly last: bigint;
  readonly text: string;
}

const BITS = { 4: 32, 6: 128 } as const;

/** The address, or undefined for anything else: no zone, no shortened or octal IPv4. */
export function parseAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    // A leading zero is octal to some and decimal to others.
    return /^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}$/u.test(text) && !text.endsWith('.') ? ip4Address(text) : undefined;
  }
  if (!/^[0-9A-Fa-f:.]+$/u.test(text) || !ipaddr.IPv6.isValid(text)) return undefined;
  const parsed = ipaddr.IPv6.parse(text);
  return { family: 6, value: parsed.parts.reduce((value, part) => (value << 16n) | BigInt(part), 0n), text: parsed.toRFC5952String() };
}

function ip4Address(text: string): IpAddress | undefined {
  const bytes = text.split('.').map(Number);
  return bytes.every((byte) => byte <= 255) ? { family: 4, value: valueOf(bytes), text } : undefined;
}

/** `address/prefix length` in the kernel's text form, so that two spellings of one IPv6 address are equal; anything else as it is. */
export function canonicalCidr(cidr: string): string {
  const [address = '', length = ''] = cidr.split('/');
  return `${parseAddress(address)?.text ?? address}/${length}`;
}

/** The network, or undefined for anything else. An address with bits beyond the prefix is a network too: `text` has them cleared. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const [, address, digits] = /^([^/]+)\/(0|[1-9]\d{0,2})$/u.exec(text) ?? [];
  const parsed = address === undefined ? undefined : parseAddress(address);
  const prefixLength = Number(digits);
  if (parsed === undefined || prefixLength > BITS[parsed.family]) return undefined;
  return networkOf(parsed, prefixLength);
}

/** The network of this length that has the address. */
export function networkOf({ family, value }: IpAddress, prefixLength: number): IpNetwork {
  const hostBits = BigInt(BITS[family] - prefixLength);
  const first = (value >> hostBits) << hostBits;
  const last = first + (1n << hostBits) - 1n;
  return { family, prefixLength, first, last, text: `${addressOf(family, first).text}/${prefixLength}` };
}

export function addressOf(family: IpFamily, value: bigint): IpAddress {
  const bytes = Array.from({ length: BITS[family] / 8 }, (_, index) => Number((value >> BigInt(BITS[family] - 8 * (index + 1))) & 0xffn));
  const address = ipaddr.fromByteArray(bytes);
  return { family, value, text: address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString() };
}

export function contains(network: IpNetwork, address: IpAddress): boolean {
  return network.family === address.family && network.first <= address.value && address.value <= network.last;
}

/**
 * True when a host may have the address: not the network's own address (in IPv6 the anycast address of its routers, RFC 4291,
 * section 2.6.1) and not IPv4's broadcast address.
 */
export function isHostAddress(network: IpNetwork, address: IpAddress): boolean {
  const isBroadcast = network.family === 4 && address.value === network.last;
  return contains(network, address) && address.value !== network.first && !isBroadcast;
}

export function overlaps(one: IpNetwork, other: IpNetwork): boolean {
  return one.family === other.family && one.first <= other.last && other.first <= one.last;
}

/** Where no client network can be: this host, link-local, multicast and reserved addresses. */
const UNUSABLE = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/9', 'ff00::/8'].flatMap((text) => parseNetwork(text) ?? []);

/** The well-known network that stands in the way of using this one for hosts; undefined when none does. */
export function unusableFor(network: IpNetwork): string | undefined {
  return UNUSABLE.find((other) => overlaps(network, other))?.text;
}

/** Lower case with colons; undefined when it is no MAC address that one interface can have (all zero, or of a group). */
export function parseMac(text: string): string | undefined {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/u.test(mac) || mac === '00:00:00:00:00:00') return undefined;
  return isGroupMac(mac) ? undefined : mac;
}

/** The lowest bit of the first byte (IEEE 802, I/G). */
function isGroupMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/** MAC address within a DHCPv6 client's DUID of the kinds LLT and LL over Ethernet (RFC 8415, section 11); undefined for another kind. */
export function macOfDuid(duid: string): string | undefined {
  const mac = /^00:01:00:01:(?:[0-9a-f]{2}:){4}((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$/iu.exec(duid) ?? /^00:03:00:01:((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$/iu.exec(duid);
  return mac?.[1] === undefined ? undefined : parseMac(mac[1]);
}

function valueOf(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
