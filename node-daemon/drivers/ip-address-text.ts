import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { LINK_GROUP } from './link.ts';
import { parseJson } from '../../common/json.ts';

/** A device in the output of `ip address show`. */
export interface AddressedDevice {
  readonly name: string;
  /** The kernel's number of it. */
  readonly index: number;
  readonly mtuBytes: number;
  /** Carries our mark. */
  readonly ours: boolean;
  /** In the kernel's text form. */
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
}

/** With -json ip prints `{}` for a device that it leaves out. */
const left = z.strictObject({}).transform(() => undefined);
const shown = z.looseObject({
  ifname: z.string(),
  ifindex: z.int(),
  mtu: z.int(),
  group: z.string().optional(),
  addr_info: z.array(z.union([left, z.looseObject({ local: z.string(), prefixlen: z.int() })])).default([]),
});
const listing = z.array(z.union([left, shown]));

/**
 * The devices in the output of `ip -json address show`.
 * @throws AppError 'component' for anything else.
 */
export function parseAddressedDevices(text: string): AddressedDevice[] {
  const parsed = listing.safeParse(parseJson(text));
  if (!parsed.success) throw new AppError('component', 'ip printed something unexpected', { text: text.slice(0, 200) }, { cause: parsed.error });
  return parsed.data.flatMap((one) => (one === undefined ? [] : [toDevice(one)]));
}

function toDevice({ ifname, ifindex, mtu, group, addr_info: entries }: z.infer<typeof shown>): AddressedDevice {
  const addresses = entries.flatMap((entry) => (entry === undefined ? [] : [{ address: entry.local, prefixLength: entry.prefixlen }]));
  return { name: ifname, index: ifindex, mtuBytes: mtu, ours: group === String(LINK_GROUP), addresses };
}
