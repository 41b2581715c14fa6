import { canonicalCidr } from '../../common/domain/addressing.ts';
import { bridgeName } from '../../common/domain/network.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import type { HostAddress, ListedAddress } from '../drivers/address.ts';

/** The router's link-local address in every network: it moves with the primary, so guests' default routes stay right. */
const ROUTER_LINK_LOCAL = 'fe80::1/64';

/** The hosts' own networks, as the configuration has them. */
type HostNetworksConfig = Readonly<Partial<Record<'cluster' | 'upstream' | 'storage', { device: string; floating_address?: string | undefined } | undefined>>>;

/** The floating addresses of the configuration. */
export function floatingAddresses(networking: HostNetworksConfig | undefined): HostAddress[] {
  return [networking?.cluster, networking?.upstream, networking?.storage].flatMap((network) =>
    network?.floating_address === undefined ? [] : [{ device: network.device, cidr: canonicalCidr(network.floating_address) }],
  );
}

/** The gateways of these networks, on their bridges. */
export function gatewayAddresses(networks: Iterable<NetworkSpec>): HostAddress[] {
  const addresses: HostAddress[] = [];
  for (const network of networks) {
    if (network.type !== 'managed') continue;
    const device = bridgeName(network.vni);
    for (const settings of [network.ip4, network.ip6]) {
      if (settings !== null) addresses.push({ device, cidr: canonicalCidr(`${settings.gateway}/${settings.network.split('/')[1] ?? ''}`) });
    }
    if (network.ip6 !== null) addresses.push({ device, cidr: ROUTER_LINK_LOCAL });
  }
  return addresses;
}

export interface AddressChanges {
  readonly add: readonly HostAddress[];
  readonly remove: readonly HostAddress[];
}

/** What makes this host's addresses those of the primary: the floating ones, and on links of ours the gateways and nothing else. */
export function planAddresses(wanted: { floating: readonly HostAddress[]; gateways: readonly HostAddress[] }, listed: readonly ListedAddress[]): AddressChanges {
  const all = [...wanted.floating, ...wanted.gateways];
  const held = new Set(listed.map(keyOf));
  const keep = new Set(all.map(keyOf));
  return { add: all.filter((address) => !held.has(keyOf(address))), remove: listed.filter((address) => address.onOurs && !keep.has(keyOf(address))) };
}

/** The primary's addresses that this host has: they are what a node without the role must not have. */
export function primaryAddressesIn(listed: readonly ListedAddress[], floating: readonly HostAddress[]): HostAddress[] {
  const floatingKeys = new Set(floating.map(keyOf));
  return listed.filter((address) => address.onOurs || floatingKeys.has(keyOf(address)));
}

export function keyOf({ device, cidr }: HostAddress): string {
  return `${device} ${cidr}`;
}
