import { bridgeName } from '../../common/domain/network.ts';
import { Gathered } from '../../common/gathered.ts';
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

/** Bridges by `ip` (iproute2): one listing at a time, for all who have asked before it begins. */
export class IpBridges implements Bridges {
  readonly #run: Run;
  readonly #listings: Gathered<number, BridgeFacts | undefined>;

  constructor(deps: { run: Run }) {
    this.#run = deps.run;
    this.#listings = new Gathered(async (vnis) => {
      const bridges = await this.#list();
      return vnis.map((vni) => bridges.get(bridgeName(vni)));
    });
  }

  async look(vni: number, signal?: AbortSignal): Promise<BridgeFacts | undefined> {
    signal?.throwIfAborted();
    return this.#listings.ask(vni);
  }

  async #list(): Promise<ReadonlyMap<string, BridgeFacts>> {
    const { stdout } = await this.#run(['ip', '-json', 'address', 'show'], { timeoutMs: IP_TIMEOUT_MS });
    return new Map(parseAddressedDevices(stdout).map((device) => [device.name, toBridge(device)]));
  }
}

function toBridge({ name, index, mtuBytes, addresses }: AddressedDevice): BridgeFacts {
  return { name, index, mtuBytes, addresses: addresses.map(({ address }) => address) };
}
