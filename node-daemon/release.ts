import type { Logger } from '../common/log.ts';
import type { NodeConfig } from './config.ts';
import type { AddressDriver } from './drivers/address.ts';
import { floatingAddresses, primaryAddressesIn } from './plans/primary-addresses.ts';

/**
 * What is done on the host after any end of the daemon, also by SIGKILL: the primary's addresses leave their devices, because nobody here
 * can prove the lease any more, and the servers of the networks end. Nothing else: guests go on running. Safe to repeat.
 */
export async function releaseHost(config: Pick<NodeConfig, 'networking'>, deps: { addresses: AddressDriver; endServers: () => Promise<void>; log: Logger }): Promise<void> {
  const { addresses, endServers, log } = deps;
  const left = primaryAddressesIn(await addresses.list(), floatingAddresses(config.networking));
  await addresses.remove(left);
  await endServers();
  if (left.length > 0) log.info({ addresses: left.map(({ cidr }) => cidr) }, 'the addresses of the primary were removed');
}
