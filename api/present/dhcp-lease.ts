import { macOfDuid } from '../../common/domain/addressing.ts';
import type { DhcpLeases, DhcpReservation } from '../../common/schema/network.ts';
import type { DhcpLeaseView } from '../../common/view/dhcp-lease.ts';

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
