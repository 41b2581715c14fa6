import { z } from 'zod';
import { parseAddress, parseMac } from '../../common/domain/addressing.ts';
import { AppError } from '../../common/errors.ts';
import { reservationNamed, reservationsOf, type DhcpReservationOperations } from '../../common/operations/dhcp-reservation.ts';
import { dhcpLeaseView, type DhcpLeaseView } from '../../common/view/dhcp-lease.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { flag, freeText, list, optionalText, text } from '../params/values.ts';
import { presentLeases, presentReservations } from '../present/dhcp-lease.ts';
import { done, messageReply, ok, route, type Route } from '../route.ts';
import { nameOf, NAME_MAX_CHARS, network, networkOf } from './network-values.ts';

export interface DhcpLeaseRouteDeps {
  mirror: ApiMirror;
  reservations: DhcpReservationOperations;
}

const label = freeText(NAME_MAX_CHARS);
const lease = text(label, 'MAC address of the lease; an IP address or host name of it will do.');
const ADDRESSES = {
  ipaddress: list(label, 'Address to reserve; one of each family at most.'),
  hostname: optionalText(label, 'Name of the host.'),
};
const ADDRESS_ALIASES = { ip_address: 'ipaddress', ip4_address: 'ipaddress', ip6_address: 'ipaddress' };

export function dhcpLeaseRoutes(deps: DhcpLeaseRouteDeps): Route[] {
  return [...readRoutes(deps), ...changeRoutes(deps)];
}

function leasesOf({ mirror }: DhcpLeaseRouteDeps, vni: number): DhcpLeaseView[] {
  return presentLeases(reservationsOf(mirror, vni), mirror.get('dhcp-lease', String(vni))?.doc);
}

function readRoutes(deps: DhcpLeaseRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/network/:network/lease',
      pathAliases: ['/network/:network/dhcp'],
      summary: "List a network's DHCP leases and reservations",
      values: z.object({
        network,
        limit: optionalText(fuzzyLimit, 'Only those whose MAC address matches this regular expression, fuzzily.'),
        static: flag('Only reservations.'),
      }),
      reply: { code: 200, schema: z.array(dhcpLeaseView) },
      handle: (values) => {
        const { vni } = networkOf(deps, values.network).doc;
        const found = values.static ? presentReservations(reservationsOf(deps.mirror, vni)) : leasesOf(deps, vni);
        return ok(found.filter((one) => values.limit?.(one.mac_address) ?? true));
      },
    }),
    route({
      method: 'GET',
      path: '/network/:network/dhcp/:lease',
      pathAliases: ['/network/:network/lease/:lease'],
      summary: 'Show a DHCP lease or reservation',
      values: z.object({ network, lease }),
      reply: { code: 200, schema: dhcpLeaseView },
      handle: (values) => ok(leaseNamed(leasesOf(deps, networkOf(deps, values.network).doc.vni), values.lease)),
    }),
  ];
}

/** @throws AppError 'not-found'. */
function leaseNamed(leases: readonly DhcpLeaseView[], name: string): DhcpLeaseView {
  const [mac, address, host] = [parseMac(name), parseAddress(name)?.text, name.toLowerCase()];
  const found =
    leases.find((one) => mac !== undefined && one.mac_address === mac) ??
    leases.find((one) => address !== undefined && (one.ip4_address === address || one.ip6_address === address)) ??
    leases.find((one) => one.hostname !== '' && one.hostname.toLowerCase() === host);
  if (found === undefined) throw new AppError('not-found', 'the network has no lease of this MAC address, IP address or host name', { lease: name });
  return found;
}

function changeRoutes(deps: DhcpLeaseRouteDeps): Route[] {
  const add = async (given: { network: string; mac: string; ipaddress: readonly string[]; hostname?: string | undefined }) => {
    const { doc } = networkOf(deps, given.network);
    const added = await deps.reservations.add(doc.vni, { mac: given.mac, addresses: given.ipaddress, hostname: given.hostname });
    const addresses = [added.ip4, added.ip6].filter((one) => one !== null).join(' and ');
    return done(`${addresses} is reserved for ${added.mac} in network ${nameOf(doc)}`);
  };
  return [
    route({
      method: 'POST',
      path: '/network/:network/lease',
      pathAliases: ['/network/:network/dhcp'],
      summary: 'Reserve an address for a MAC address',
      values: z.object({ network, macaddress: text(label, 'MAC address.'), ...ADDRESSES }),
      valueAliases: { ...ADDRESS_ALIASES, mac_address: 'macaddress' },
      reply: { code: 200, schema: messageReply },
      handle: (values) => add({ ...values, mac: values.macaddress }),
    }),
    route({
      method: 'POST',
      path: '/network/:network/dhcp/:lease',
      pathAliases: ['/network/:network/lease/:lease'],
      summary: 'Reserve an address for this MAC address',
      values: z.object({ network, lease: text(label, 'MAC address.'), ...ADDRESSES }),
      valueAliases: ADDRESS_ALIASES,
      reply: { code: 200, schema: messageReply },
      handle: (values) => add({ ...values, mac: values.lease }),
    }),
    route({
      method: 'DELETE',
      path: '/network/:network/dhcp/:lease',
      pathAliases: ['/network/:network/lease/:lease'],
      summary: 'Remove a reservation',
      values: z.object({ network, lease }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { doc } = networkOf(deps, values.network);
        refuseDynamic(deps, doc.vni, values.lease);
        const removed = await deps.reservations.remove(doc.vni, values.lease);
        return done(`the reservation for ${removed.mac} is removed from network ${nameOf(doc)}`);
      },
    }),
  ];
}

/** @throws AppError 'state' for a lease that the server gave out: it ends by itself. */
function refuseDynamic(deps: DhcpLeaseRouteDeps, vni: number, name: string): void {
  if (reservationNamed(reservationsOf(deps.mirror, vni), name) !== undefined) return;
  const found = leaseNamed(leasesOf(deps, vni), name);
  throw new AppError('state', 'the lease is no reservation: it ends by itself when the client no longer renews it', { mac: found.mac_address, ends: found.timestamp });
}
