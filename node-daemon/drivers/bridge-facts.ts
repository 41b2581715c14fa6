import { bridgeName } from '../../common/domain/network.ts';
import type { Run } from '../../common/process.ts';
import { parseAddressedDevices, type AddressedDevice } from './ip-address-text.ts';

/** Netlink through `ip` answers in milliseconds, also for a thousand devices. */
const IP_TIMEOUT_MS = 5_000;

/** A network's bridge on this host. */
export interface BridgeFacts {
  readonly name: string;
  /** The kernel's number of the device, which a new device of the same name does not get. */
  readonly index: number;
  readonly mtuBytes: number;
  /** In the kernel's text form, without prefix length. */
  readonly addresses: readonly string[];
}

export interface Bridges {
  /** @returns undefined when there is no such bridge. */
  look(vni: number, signal?: AbortSignal): Promise<BridgeFacts | undefined>;
}

/** Bridges by `ip` (iproute2). Those who ask at the same time share one listing, which begins after the last of them has asked. */
export class IpBridges implements Bridges {
  readonly #run: Run;
  #next: Promise<ReadonlyMap<string, BridgeFacts>> | undefined;

  constructor(deps: { run: Run }) {
    this.#run = deps.run;
  }

  async look(vni: number, signal?: AbortSignal): Promise<BridgeFacts | undefined> {
    signal?.throwIfAborted();
    this.#next ??= this.#list();
    return (await this.#next).get(bridgeName(vni));
  }

  async #list(): Promise<ReadonlyMap<string, BridgeFacts>> {
    await Promise.resolve();
    this.#next = undefined;
    const { stdout } = await this.#run(['ip', '-json', 'address', 'show'], { timeoutMs: IP_TIMEOUT_MS });
    return new Map(parseAddressedDevices(stdout).map((device) => [device.name, toBridge(device)]));
  }
}

function toBridge({ name, index, mtuBytes, addresses }: AddressedDevice): BridgeFacts {
  return { name, index, mtuBytes, addresses: addresses.map(({ address }) => address) };
}
