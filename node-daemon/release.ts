import { describeError, isAppError } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import type { NodeConfig } from './config.ts';
import type { AddressDriver } from './drivers/address.ts';

/**
 * What is done on the host after any end of the daemon, also by SIGKILL: the floating address leaves its device, because nobody here
 * can prove the lease any more. Nothing else: guests go on running. Without an address, or without the device, there is nothing to do.
 */
export async function releaseHost(config: Pick<NodeConfig, 'floating'>, deps: { addresses: AddressDriver; log: Logger }): Promise<void> {
  const { floating } = config;
  if (floating === undefined) return;
  try {
    await deps.addresses.remove(floating.address, floating.device);
  } catch (error) {
    if (!isAppError(error, 'component')) throw error;
    deps.log.warn({ device: floating.device, why: describeError(error) }, 'the floating address could not be removed');
  }
}
