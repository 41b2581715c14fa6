import { bridgeName } from '../../common/domain/network.ts';
import type { ManagedNetwork } from '../../common/schema/network.ts';
import { PRIMARY_ROLE } from '../../common/schema/resources.ts';
import { NETWORKING } from './simulated-daemon.ts';
import type { SimulatedHost } from './simulated-hosts.ts';
import type { SimulationRecord } from './simulated-record.ts';

/** Rules that the simulated kernel refuses have this word. */
const REFUSED = 'bogus';

/** Gateways and servers that a host lacks, or has and must not have, by a look of its own at the documents; empty when all is well. */
export function servingFaults(record: SimulationRecord, host: SimulatedHost): string[] {
  const networks = record.all('network').filter((network) => network.type === 'managed');
  const serves = record.doc('lease', PRIMARY_ROLE)?.node === host.name;
  const wanted = serves ? networks : [];
  const served = wanted.filter((network) => network.ip4?.dhcp != null || network.ip6 !== null);
  const known = new Set(served.map(({ vni }) => vni));
  const strays = [...host.dhcp.running.keys()].filter((vni) => !known.has(vni)).map((vni) => `network ${vni} has a DHCP server that it should not have`);
  if ((host.dns.running !== undefined) !== serves) strays.push(`the DNS server ${serves ? 'does not run' : 'runs'}`);
  return [...strays, ...addressFaults(host, { wanted, serves }), ...served.flatMap((network) => dhcpFaults(record, host, network)), ...wanted.flatMap((network) => dnsFaults(record, host, network))];
}

function addressFaults(host: SimulatedHost, { wanted, serves }: { wanted: readonly ManagedNetwork[]; serves: boolean }): string[] {
  const gateways = wanted.flatMap((network) => gatewaysOf(network).map((cidr) => `${bridgeName(network.vni)} ${cidr}`));
  const { device, floating_address: floating } = NETWORKING.cluster;
  const all = new Set([...gateways, ...(serves ? [`${device} ${floating}`] : [])]);
  const missing = [...all].filter((address) => !host.addresses.has(address)).map((address) => `${address} is not there`);
  return [...missing, ...[...host.addresses].filter((address) => !all.has(address)).map((address) => `${address} is there`)];
}

function gatewaysOf({ ip4, ip6 }: ManagedNetwork): string[] {
  const lengthOf = (network: string): string => network.split('/')[1] ?? '';
  return [...(ip4 === null ? [] : [`${ip4.gateway}/${lengthOf(ip4.network)}`]), ...(ip6 === null ? [] : [`${ip6.gateway}/${lengthOf(ip6.network)}`, 'fe80::1/64'])];
}

function dhcpFaults(record: SimulationRecord, host: SimulatedHost, { vni, ip4 }: ManagedNetwork): string[] {
  const server = host.dhcp.running.get(vni);
  if (server === undefined) return [`network ${vni} has no DHCP server`];
  const faults: string[] = [];
  if (ip4?.dhcp != null && !server.config.includes(`dhcp-range=${ip4.dhcp.start},${ip4.dhcp.end},`)) faults.push(`the DHCP server of network ${vni} gives out other addresses`);
  if (!server.config.includes(`device ${host.links.indexOf(bridgeName(vni))}\n`)) faults.push(`the DHCP server of network ${vni} listens on a bridge that is gone`);
  const macs = server.hosts.split('\n').flatMap((line) => (line === '' ? [] : [line.split(',')[0]])).join();
  const reserved = (record.doc('dhcp-reservation', String(vni))?.reservations ?? []).map(({ mac }) => mac).sort().join();
  if (macs !== reserved) faults.push(`the DHCP server of network ${vni} has reservations for ${macs} and not for ${reserved}`);
  const [file, document] = [leasesInFile(host, vni), leasesInDocument(record, vni)];
  if (file !== document) faults.push(`the leases of network ${vni} are ${file} in the file and ${document} in the document`);
  return faults;
}

function leasesInFile(host: SimulatedHost, vni: number): string {
  const lines = (host.dhcp.folders.get(vni)?.leases ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('duid '));
  return lines.map((line) => `${line.split(' ')[2]} until ${line.split(' ')[0]}`).sort().join();
}

function leasesInDocument(record: SimulationRecord, vni: number): string {
  const leases = record.doc('dhcp-lease', String(vni));
  return [...(leases?.ip4 ?? []), ...(leases?.ip6 ?? [])].map(({ address, expiresS }) => `${address} until ${expiresS}`).sort().join();
}

function dnsFaults(record: SimulationRecord, host: SimulatedHost, { vni, domain }: ManagedNetwork): string[] {
  const names = (record.doc('dhcp-reservation', String(vni))?.reservations ?? []).flatMap(({ hostname }) => hostname ?? []);
  const leased = (record.doc('dhcp-lease', String(vni))?.ip4 ?? []).flatMap(({ hostname }) => hostname ?? []);
  const missing = [...names, ...leased].filter((name) => host.dns.running?.records.has(`${name}.${domain}.`) === false);
  return missing.map((name) => `${name}.${domain} has no address in the DNS server`);
}

/** What the packet filter of a host with the network lacks or has too much of its rules. */
export function firewallFaults(record: SimulationRecord, host: SimulatedHost, { vni, antiSpoofing }: ManagedNetwork): string[] {
  const acl = record.doc('network-acl', String(vni));
  return (['in', 'out'] as const).flatMap((direction) => {
    const senders = direction === 'out' && antiSpoofing ? 2 : 0;
    const inForce = host.firewall.rulesOf('inet', `${direction}-${vni}`)?.slice(senders).join('; ');
    const wanted = (acl?.[direction] ?? []).flatMap(({ rule }) => (rule.includes(REFUSED) ? [] : [rule])).join('; ');
    return inForce === wanted ? [] : [`the rules ${direction} of network ${vni} are ${inForce ?? 'missing'} and not ${wanted}`];
  });
}

/** What is left of networks that are not defined any more, in documents and on hosts; links are looked at elsewhere. Empty when nothing is. */
export function networkRemains(record: SimulationRecord, hosts: readonly SimulatedHost[]): string[] {
  const known = new Set(record.all('network').map(({ vni }) => vni));
  const parts = (['network-acl', 'dhcp-reservation', 'dhcp-lease'] as const).flatMap((kind) => record.all(kind).flatMap(({ vni }) => (known.has(vni) ? [] : [`${kind} ${vni}`])));
  const onHost = (host: SimulatedHost): string[] => [
    ...host.firewall.chains('inet').filter((chain) => isOfUnknown(/^(?:in|out)-(\d+)$/u.exec(chain)?.[1], known)),
    ...[...host.dhcp.folders.keys()].filter((vni) => !known.has(vni)).map((vni) => `a folder of the DHCP server ${vni}`),
  ];
  return [...parts, ...hosts.flatMap((host) => onHost(host).map((what) => `${what} on ${host.name}`))];
}

function isOfUnknown(vni: string | undefined, known: ReadonlySet<number>): boolean {
  return vni !== undefined && !known.has(Number(vni));
}
