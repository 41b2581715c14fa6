import { contains, parseAddress, parseNetwork } from '../../common/domain/addressing.ts';
import { dhcpLease4, dhcpLease6, type DhcpLease4, type DhcpLease6, type DhcpLeases, type ManagedNetwork } from '../../common/schema/network.ts';

/** What stands for "none" in a lease file. */
const NONE = '*';

/**
 * Client identifiers that are kept, in characters of the file: longer ones come from nobody honest, and two thousand of 255 bytes would
 * not fit into a znode. Without it dnsmasq knows the client by its MAC address.
 */
const CLIENT_ID_MAX = 128;
const DUID_MAX = 400;

export interface LeaseFile {
  readonly leases: DhcpLeases;
  /** False for a file that ends within a line: dnsmasq is writing it. */
  readonly whole: boolean;
}

/**
 * The leases in the text of dnsmasq's lease file, ordered by address. Its lines are
 * `expiry mac address name client-id`, then `duid SERVER-DUID`, then `expiry iaid address name client-duid` (dnsmasq's lease.c);
 * any other line is left out.
 */
export function parseLeaseFile(vni: number, text: string): LeaseFile {
  const ip4 = new Map<string, DhcpLease4>();
  const ip6 = new Map<string, DhcpLease6>();
  let serverDuid: string | null = null;
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    if (fields[0] === 'duid' && fields.length === 2 && isHexList(fields[1], DUID_MAX)) serverDuid = fields[1] ?? null;
    if (fields.length !== 5) continue;
    const family = parseAddress(fields[2] ?? '')?.family;
    const lease4 = family === 4 ? toLease4(fields) : undefined;
    if (lease4 !== undefined) ip4.set(lease4.address, lease4);
    const lease6 = family === 6 ? toLease6(fields) : undefined;
    if (lease6 !== undefined) ip6.set(lease6.address, lease6);
  }
  const leases = { vni, serverDuid, ip4: sorted(ip4.values()), ip6: sorted(ip6.values()) };
  return { leases, whole: text === '' || text.endsWith('\n') };
}

function toLease4([expires, mac, address, name, clientId]: readonly string[]): DhcpLease4 | undefined {
  const kept = isHexList(clientId, CLIENT_ID_MAX) ? clientId : null;
  const lease = { expiresS: toSeconds(expires), mac: mac?.toLowerCase(), address, hostname: toName(name), clientId: kept };
  return dhcpLease4.safeParse(lease).data;
}

function toLease6([expires, iaid, address, name, clientDuid]: readonly string[]): DhcpLease6 | undefined {
  const known = /^T?\d{1,10}$/u.test(iaid ?? '') && isHexList(clientDuid, DUID_MAX);
  const lease = { expiresS: toSeconds(expires), iaid, address, hostname: toName(name), clientDuid };
  return known ? dhcpLease6.safeParse(lease).data : undefined;
}

function toSeconds(text: string | undefined): number | undefined {
  return /^\d{1,12}$/u.test(text ?? '') ? Number(text) : undefined;
}

function toName(text: string | undefined): string | null {
  return text !== undefined && isName(text) ? text : null;
}

/** A host name as dnsmasq takes it from a guest. */
function isName(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/u.test(text);
}

/** Bytes in hexadecimal with colons between. */
function isHexList(text: string | undefined, lengthMax: number): boolean {
  return text !== undefined && text.length <= lengthMax && /^[0-9a-f]{2}(:[0-9a-f]{2})*$/iu.test(text);
}

function sorted<T extends { address: string }>(leases: Iterable<T>): T[] {
  const valued = Array.from(leases, (lease) => ({ lease, value: parseAddress(lease.address)?.value ?? 0n }));
  return valued.sort((a, b) => (a.value < b.value ? -1 : 1)).map(({ lease }) => lease);
}

/**
 * The lease file with which a new primary begins. Leases outside of the network's present addresses stay out, and so does whatever could
 * be read as something else.
 */
export function renderLeaseFile({ serverDuid, ip4, ip6 }: DhcpLeases, network: Pick<ManagedNetwork, 'ip4' | 'ip6'>): string {
  const lines = [
    ...ip4.filter((lease) => isWithin(network.ip4?.network, lease.address)).map((lease) => [lease.expiresS, lease.mac, lease.address, lease.hostname ?? NONE, lease.clientId ?? NONE].join(' ')),
    ...(serverDuid === null ? [] : [`duid ${serverDuid}`]),
    ...ip6.filter((lease) => isWithin(network.ip6?.network, lease.address)).map((lease) => [lease.expiresS, lease.iaid, lease.address, lease.hostname ?? NONE, lease.clientDuid].join(' ')),
  ];
  return lines.filter(isSafeLine).map((line) => `${line}\n`).join('');
}

/** A line that is read as the lease it was made from. */
function isSafeLine(line: string): boolean {
  if (/[^\x21-\x7e ]/u.test(line)) return false;
  const { leases } = parseLeaseFile(0, `${line}\n`);
  return leases.serverDuid !== null || leases.ip4.length + leases.ip6.length === 1;
}

function isWithin(cidr: string | undefined, text: string): boolean {
  const network = cidr === undefined ? undefined : parseNetwork(cidr);
  const address = parseAddress(text);
  return network !== undefined && address !== undefined && contains(network, address);
}

/** Whether `after` lacks an address that `before` has and that had not run out at `nowS`. */
export function losesLeases(before: DhcpLeases, after: DhcpLeases, nowS: number): boolean {
  const left = new Set([...after.ip4, ...after.ip6].map((lease) => lease.address));
  return [...before.ip4, ...before.ip6].some((lease) => !left.has(lease.address) && (lease.expiresS === 0 || lease.expiresS > nowS));
}
