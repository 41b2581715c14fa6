import { z } from 'zod';
import { macOfDuid } from '../../common/domain/addressing.ts';
import type { DhcpLeases, DhcpReservation } from '../../common/schema/network.ts';

/** One lease or reservation as clients see it. */
export const dhcpLeaseView = z.object({
  hostname: z.string().describe('Empty when none is known.'),
  ip4_address: z.string().describe('Empty for a lease of IPv6.'),
  ip6_address: z.string().describe('Empty for a lease of IPv4.'),
  mac_address: z.string().describe('Empty when a client of DHCPv6 does not tell it.'),
  timestamp: z.string().describe('Unix time in seconds when it ends, or "static" for a reservation.'),
});
export type DhcpLeaseView = z.infer<typeof dhcpLeaseView>;

export function presentReservations(reservations: readonly DhcpReservation[]): DhcpLeaseView[] {
  return reservations.map(({ mac, ip4, ip6, hostname }) => ({
    hostname: hostname ?? '',
    ip4_address: ip4 ?? '',
    ip6_address: ip6 ?? '',
    mac_address: mac,
    timestamp: 'static',
  }));
}

/** Reservations, then the leases that are not of a reservation. */
export function presentLeases(reservations: readonly DhcpReservation[], leases: DhcpLeases | undefined): DhcpLeaseView[] {
  const reserved = new Set(reservations.flatMap(({ ip4, ip6 }) => [ip4, ip6]));
  const ip4 = (leases?.ip4 ?? []).map(({ expiresS, mac, address, hostname }) => ({
    hostname: hostname ?? '',
    ip4_address: address,
    ip6_address: '',
    mac_address: mac,
    timestamp: String(expiresS),
  }));
  const ip6 = (leases?.ip6 ?? []).map(({ expiresS, clientDuid, address, hostname }) => ({
    hostname: hostname ?? '',
    ip4_address: '',
    ip6_address: address,
    mac_address: macOfDuid(clientDuid) ?? '',
    timestamp: String(expiresS),
  }));
  const free = [...ip4, ...ip6].filter((lease) => !reserved.has(lease.ip4_address || lease.ip6_address));
  return [...presentReservations(reservations), ...free];
}
