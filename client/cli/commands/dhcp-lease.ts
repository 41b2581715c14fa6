import type { DhcpLeaseView } from '../../../common/view/dhcp-lease.ts';
import { flag, many, one, optional, text } from '../declare.ts';
import { column, fieldsOf } from '../output/column.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { NETWORK } from './network-parts.ts';

const MS_PER_S = 1_000;

/** When a lease ends, for people. */
function endOf({ timestamp }: DhcpLeaseView): string {
  return timestamp === 'static' ? 'never' : new Date(Number(timestamp) * MS_PER_S).toISOString().replace('.000Z', 'Z');
}

const isReserved = ({ timestamp }: DhcpLeaseView): boolean => timestamp === 'static';

export const LEASE_COLUMNS = [
  column<DhcpLeaseView>('hostname', (row) => row.hostname),
  column<DhcpLeaseView>('ip', (row) => row.ip4_address),
  column<DhcpLeaseView>('ip6', (row) => row.ip6_address),
  column<DhcpLeaseView>('mac', (row) => row.mac_address),
  column<DhcpLeaseView>('reserved', isReserved),
  column<DhcpLeaseView>('ends', (row) => (isReserved(row) ? null : Number(row.timestamp)), { show: endOf }),
];

const LIMIT = optional('only those whose MAC address matches this regular expression, anywhere in it');
const LEASE = one('MAC address, IP address or host name', { completes: 'dhcp-lease' });

const list = listVerb({
  name: 'list',
  about: "List a network's reservations, then its leases",
  arguments: { network: NETWORK, limit: LIMIT },
  options: { static: flag('-s, --static', 'only reservations') },
  columns: LEASE_COLUMNS,
  examples: [
    ['pvc network lease list office', 'who has which address'],
    ['pvc network lease list office --filter reserved=no --sort ends', 'leases, the first to end at the top'],
  ],
  rows: async (context, { network, limit, ...given }) => (await context.networks()).listLeases(network, { limit, static: given.static }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a lease or reservation',
  arguments: { network: NETWORK, lease: LEASE },
  fields: fieldsOf(LEASE_COLUMNS),
  examples: [
    ['pvc network lease info office 10.5.0.120', 'who has this address'],
    ['pvc network lease info office web1 --columns ip --format raw', 'the address of a host name'],
  ],
  item: async (context, { network, lease }) => (await context.networks()).getLease(network, lease),
});

export const LEASE_COMMANDS: Group = { name: 'lease', about: 'Addresses that DHCP has given out, and those that are reserved', verbs: [list, info] };

const listReserved = listVerb({
  name: 'list',
  about: "List a network's reservations",
  arguments: { network: NETWORK, limit: LIMIT },
  columns: LEASE_COLUMNS.filter(({ name }) => name !== 'reserved' && name !== 'ends'),
  examples: [
    ['pvc network dhcp list office', 'pvc network lease list has the leases, too'],
    ['pvc network dhcp list office --columns mac,ip --format raw', 'for a script'],
  ],
  rows: async (context, { network, limit }) => (await context.networks()).listLeases(network, { limit, static: true }),
});

const add = actVerb({
  name: 'add',
  about: 'Reserve addresses for a MAC address',
  detail: 'An address of each family at most. It may lie within the range that DHCP gives out, or beside it.',
  arguments: { network: NETWORK, mac: one('MAC address of the interface, such as 52:54:00:12:34:56'), address: many('IPv4 address, IPv6 address, or both') },
  options: { hostname: text('-n, --hostname <name>', 'its name in DNS') },
  examples: [
    ['pvc network dhcp add office 52:54:00:12:34:56 10.5.0.20 --hostname printer', 'with a name'],
    ['pvc network dhcp add office 52:54:00:12:34:56 10.5.0.20 2001:db8:5::20', 'of both families'],
  ],
  run: async (context, { network, mac, address, hostname }) => (await context.networks()).reserve(network, { macaddress: mac, ipaddress: address, hostname }),
});

const addressesOf = ({ ip4_address, ip6_address }: DhcpLeaseView): string => [ip4_address, ip6_address].filter((one) => one !== '').join(' and ');

const remove = actVerb({
  name: 'remove',
  about: 'Remove a reservation',
  detail: 'A lease that DHCP gave out cannot be removed: it ends by itself.',
  arguments: { network: NETWORK, lease: LEASE },
  examples: [['pvc network dhcp remove office 52:54:00:12:34:56', 'shows it, and asks']],
  loses: async (context, given) => {
    const lease = await (await context.networks()).getLease(given.network, given.lease);
    if (!isReserved(lease)) return [];
    const whose = lease.hostname === '' ? lease.mac_address : `${lease.mac_address} (${lease.hostname})`;
    return [`the reservation of ${addressesOf(lease)} for ${whose} in network ${given.network} is lost; another guest may get the address`];
  },
  run: async (context, { network, lease }) => (await context.networks()).unreserve(network, lease),
});

export const RESERVATION_COMMANDS: Group = { name: 'dhcp', about: 'Reservations: addresses that DHCP keeps for one MAC address', verbs: [listReserved, add, remove] };
