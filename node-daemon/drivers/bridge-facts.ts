import { z } from 'zod';
import { bridgeName } from '../../common/domain/network.ts';
import { AppError } from '../../common/errors.ts';
import type { Run } from '../../common/process.ts';

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

const listing = z.array(
  z.looseObject({
    ifname: z.string().optional(),
    ifindex: z.int().optional(),
    mtu: z.int().optional(),
    addr_info: z.array(z.looseObject({ local: z.string().optional() })).optional(),
  }),
);

/**
 * The devices in the output of `ip -json address show`, by name.
 * @throws AppError 'component' for anything else.
 */
export function parseDevices(text: string): ReadonlyMap<string, BridgeFacts> {
  const parsed = listing.safeParse(parseJson(text));
  if (!parsed.success) throw new AppError('component', 'ip printed something unexpected', { text: text.slice(0, 200) }, { cause: parsed.error });
  const devices = new Map<string, BridgeFacts>();
  for (const { ifname, ifindex, mtu, addr_info: addresses } of parsed.data) {
    if (ifname === undefined || ifindex === undefined || mtu === undefined) continue;
    devices.set(ifname, { name: ifname, index: ifindex, mtuBytes: mtu, addresses: (addresses ?? []).flatMap(({ local }) => local ?? []) });
  }
  return devices;
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
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
    return parseDevices(stdout);
  }
}
