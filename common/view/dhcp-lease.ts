import { z } from 'zod';

/** One lease or reservation as clients see it. */
export const dhcpLeaseView = z.object({
  hostname: z.string().describe('Empty when none is known.'),
  ip4_address: z.string().describe('Empty for a lease of IPv6.'),
  ip6_address: z.string().describe('Empty for a lease of IPv4.'),
  mac_address: z.string().describe('Empty when a client of DHCPv6 does not tell it.'),
  timestamp: z.string().describe('Unix time in seconds when it ends, or "static" for a reservation.'),
});
export type DhcpLeaseView = z.infer<typeof dhcpLeaseView>;
