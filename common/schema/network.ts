import { z } from 'zod';
import { nodeName } from '../ids.ts';

/** Highest VXLAN network identifier: 24 bits (RFC 7348). */
export const VNI_MAX = 16_777_215;
/** Highest VLAN identifier that may be used (IEEE 802.1Q). */
export const VLAN_MAX = 4_094;

/** Smallest MTU that IPv6 permits (RFC 8200), and the largest that an underlay of jumbo frames leaves. */
export const MTU_MIN = 1_280;
export const MTU_MAX = 9_950;

/** A network's number: VXLAN identifier of a managed network, VLAN identifier of a bridged one. */
export const vni = z.int().min(1).max(VNI_MAX);

/** Lower case, with colons. */
export const macAddress = z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/u, 'must be six pairs of hexadecimal digits with colons between');

/** One label of a host name (RFC 1123), in lower case. */
export const hostLabel = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/u, 'must be a host name of one label');

/** A DNS domain in lower case, without a dot at the end. */
export const domainName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/u, 'must be a domain name');

/** What people call a network or one of its rules; without white space, safe in paths and comments. */
export const networkLabel = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u, 'must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit');

/** Name servers of a network, at most. */
export const NAME_SERVERS_MAX = 8;

const ip4Settings = z.strictObject({
  /** The network's own address with its prefix length, such as 10.5.0.0/24. */
  network: z.cidrv4(),
  /** Held by the primary. */
  gateway: z.ipv4(),
  /** First and last address that DHCP gives out; null: no DHCP. */
  dhcp: z.strictObject({ start: z.ipv4(), end: z.ipv4() }).nullable(),
});

const ip6Settings = z.strictObject({
  /** In the form of RFC 5952, such as 2001:db8:5::/64. */
  network: z.cidrv6(),
  gateway: z.ipv6(),
});

/** An unmanaged network: a VLAN of the hosts' bridge device. */
export const bridgedNetwork = z.strictObject({
  type: z.literal('bridged'),
  vni: z.int().min(1).max(VLAN_MAX),
  description: networkLabel,
  mtu: z.int().min(MTU_MIN).max(MTU_MAX).nullable(),
});
export type BridgedNetwork = z.infer<typeof bridgedNetwork>;

/** A network over VXLAN that the cluster routes, protects, and gives addresses and names to. */
export const managedNetwork = z.strictObject({
  type: z.literal('managed'),
  vni,
  description: networkLabel,
  /** Null: the largest that the underlay carries. A larger one than that is lowered to it on the nodes. */
  mtu: z.int().min(MTU_MIN).max(MTU_MAX).nullable(),
  domain: domainName,
  /** Name servers given to guests; none: the gateway. */
  nameServers: z.array(z.union([z.ipv4(), z.ipv6()])).max(NAME_SERVERS_MAX),
  ip4: ip4Settings.nullable(),
  ip6: ip6Settings.nullable(),
  /** Guests reach the upstream network under the primary's address. */
  nat: z.boolean(),
  /** Guests may use only their own MAC address, and their own IP addresses where a reservation names them. */
  antiSpoofing: z.boolean(),
});
export type ManagedNetwork = z.infer<typeof managedNetwork>;

/** Desired state of one network. Written only by common/operations/network.ts. */
export const networkSpec = z.discriminatedUnion('type', [bridgedNetwork, managedNetwork]);
export type NetworkSpec = z.infer<typeof networkSpec>;

/** Rules of one direction, at most: with the longest texts they still fit into a znode. */
export const ACL_RULES_MAX = 2_000;
/** Length of a rule's text, at most. */
export const ACL_RULE_LENGTH_MAX = 1_024;
/** A network's rules as JSON, at most; a znode holds a little over a million bytes. */
export const ACL_BYTES_MAX = 900_000;

/** One statement list of nft without a line break. */
export const aclRule = z.strictObject({
  description: networkLabel,
  rule: z.string().min(1).max(ACL_RULE_LENGTH_MAX).regex(/^[\x20-\x7e]+$/u, 'must be printable ASCII on one line'),
});
export type AclRule = z.infer<typeof aclRule>;

/**
 * A managed network's access rules, each list in the order in which it is looked through. `in` is towards the network, `out` from it.
 * A description is unique in its direction. Written only by common/operations/network-acl.ts.
 */
export const networkAcl = z.strictObject({
  vni,
  in: z.array(aclRule).max(ACL_RULES_MAX),
  out: z.array(aclRule).max(ACL_RULES_MAX),
});
export type NetworkAcl = z.infer<typeof networkAcl>;
export type AclDirection = 'in' | 'out';

/** Reservations of one network, at most. */
export const RESERVATIONS_MAX = 4_000;

/** A fixed address: at least one of `ip4` and `ip6` is set. */
export const dhcpReservation = z.strictObject({
  mac: macAddress,
  ip4: z.ipv4().nullable(),
  ip6: z.ipv6().nullable(),
  hostname: hostLabel.nullable(),
});
export type DhcpReservation = z.infer<typeof dhcpReservation>;

/** A managed network's reservations; MAC, addresses and host names are unique. Written only by common/operations/dhcp-reservation.ts. */
export const dhcpReservations = z.strictObject({ vni, reservations: z.array(dhcpReservation).max(RESERVATIONS_MAX) });
export type DhcpReservations = z.infer<typeof dhcpReservations>;

/** Leases of one network and family, at most: dnsmasq's --dhcp-lease-max. */
export const LEASES_MAX = 2_000;

/** A lease as dnsmasq keeps it (dnsmasq(8), --dhcp-leasefile). `expiresS` is Unix time in seconds; 0 never ends. */
export const dhcpLease4 = z.strictObject({
  expiresS: z.int().min(0),
  mac: macAddress,
  address: z.ipv4(),
  hostname: z.string().max(253).nullable(),
  clientId: z.string().max(800).nullable(),
});
export type DhcpLease4 = z.infer<typeof dhcpLease4>;

export const dhcpLease6 = z.strictObject({
  expiresS: z.int().min(0),
  /** As in the lease file: the IAID, with a T before it for a temporary address. */
  iaid: z.string().max(16),
  address: z.ipv6(),
  hostname: z.string().max(253).nullable(),
  /** The client's DUID in hexadecimal with colons. */
  clientDuid: z.string().max(800),
});
export type DhcpLease6 = z.infer<typeof dhcpLease6>;

/** What the primary's DHCP server has given out in one network. Written by the primary; the next one begins with it. */
export const dhcpLeases = z.strictObject({
  vni,
  serverDuid: z.string().max(800).nullable(),
  ip4: z.array(dhcpLease4),
  ip6: z.array(dhcpLease6),
});
export type DhcpLeases = z.infer<typeof dhcpLeases>;

/** How far one node is with one network. Versions are those of the documents that the host follows; null: not yet. */
const networkOnNode = z.strictObject({
  vni,
  /** Version of the network's document that links and firewall follow. */
  appliedVersion: z.int().min(0).nullable(),
  /** Version of the rules' document in the kernel; null: there are none, or none is in the kernel yet. */
  appliedAclVersion: z.int().min(0).nullable(),
  /** In force; null: the bridge does not exist. */
  mtu: z.int().nullable(),
  /** Why it is not as it should be. */
  error: z.string().max(1_000).nullable(),
});
export type NetworkOnNode = z.infer<typeof networkOnNode>;

/** The networks of one node. Written by its daemon. */
export const networkStatus = z.strictObject({ node: nodeName, networks: z.array(networkOnNode) });
export type NetworkStatus = z.infer<typeof networkStatus>;

/** Whose turn it is to remove what a network has left; ephemeral. */
export const networkTurn = z.strictObject({ holder: z.string().max(64) });
