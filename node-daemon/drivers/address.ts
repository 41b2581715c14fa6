import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Command, Run } from '../../common/process.ts';

/** Netlink through `ip` answers in milliseconds; it waits for the kernel's lock at most. */
const IP_TIMEOUT_MS = 5_000;

/** Announcements sent, and the limit of the whole run: arping waits a second after its last packet. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_TIMEOUT_MS = 5_000;

/** An address on a device of this host. Addresses are `address/prefix length`. Every call may be repeated. */
export interface AddressDriver {
  /** Puts the address on the device and tells the neighbours that it is here now. */
  add(cidr: string, device: string, signal?: AbortSignal): Promise<void>;
  remove(cidr: string, device: string, signal?: AbortSignal): Promise<void>;
  /**
   * Addresses of the device, in the kernel's text form.
   * @throws AppError 'component' when there is no such device.
   */
  list(device: string, signal?: AbortSignal): Promise<readonly string[]>;
}

const listing = z.array(
  z.looseObject({
    ifname: z.string().optional(),
    addr_info: z.array(z.looseObject({ local: z.string(), prefixlen: z.int() })).optional(),
  }),
);

/**
 * Addresses of one device in the output of `ip -json address show`.
 * @throws AppError 'component' for anything else.
 */
export function parseAddresses(text: string): readonly string[] {
  const parsed = listing.safeParse(parseJson(text));
  if (!parsed.success) throw new AppError('component', 'ip printed something unexpected', { text: text.slice(0, 200) }, { cause: parsed.error });
  return parsed.data.flatMap((link) => (link.addr_info ?? []).map((entry) => `${entry.local}/${entry.prefixlen}`));
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

/** The address in the kernel's text form, so that two spellings of one IPv6 address are equal. */
export function canonicalCidr(cidr: string): string {
  const [address = '', prefix = ''] = cidr.split('/');
  const text = isIPv6(address) ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address;
  return `${text}/${prefix}`;
}

/**
 * Addresses by `ip` (iproute2). IPv4 is announced by gratuitous ARP (`arping -U`, iputils); IPv6 by the kernel's own
 * unsolicited neighbour advertisement, which it sends at once when the device has ndisc_notify=1 and accept_dad=0
 * (ip-sysctl): duplicate detection would hold the address back for a second or two, and the lease already says whose it is.
 */
export class IpAddressDriver implements AddressDriver {
  readonly #run: Run;
  readonly #log: Logger;

  constructor(deps: { run: Run; log: Logger }) {
    this.#run = deps.run;
    this.#log = deps.log;
  }

  async add(cidr: string, device: string, signal?: AbortSignal): Promise<void> {
    const v6 = isIPv6(cidr.split('/')[0] ?? '');
    if (v6) await this.#call(['sysctl', '-qw', `net.ipv6.conf.${device.replaceAll('.', '/')}.ndisc_notify=1`, `net.ipv6.conf.${device.replaceAll('.', '/')}.accept_dad=0`], signal);
    if (!(await this.#holds(cidr, device, signal))) await this.#change('add', cidr, device, signal);
    if (!v6) void this.#announce(cidr, device);
  }

  async remove(cidr: string, device: string, signal?: AbortSignal): Promise<void> {
    if (await this.#holds(cidr, device, signal)) await this.#change('del', cidr, device, signal);
  }

  async list(device: string, signal?: AbortSignal): Promise<readonly string[]> {
    return parseAddresses(await this.#call(['ip', '-json', 'address', 'show', 'dev', device], signal));
  }

  async #holds(cidr: string, device: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.list(device, signal)).includes(canonicalCidr(cidr));
  }

  /** `ip` has no "add if missing" that keeps the exit status apart, so a refusal is judged by looking again. */
  async #change(verb: 'add' | 'del', cidr: string, device: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#call(['ip', 'address', verb, cidr, 'dev', device], signal);
    } catch (error) {
      const wanted = verb === 'add';
      if (!isAppError(error, 'component') || (await this.#holds(cidr, device, signal)) !== wanted) throw error;
    }
  }

  /** Not awaited by `add`: arping lingers for a second after a packet that leaves at once. It is bounded and never fails. */
  async #announce(cidr: string, device: string): Promise<void> {
    const address = cidr.split('/')[0] ?? cidr;
    try {
      await this.#run(['arping', '-q', '-U', '-c', String(ANNOUNCEMENTS), '-I', device, address], { timeoutMs: ANNOUNCE_TIMEOUT_MS });
    } catch (error) {
      this.#log.warn({ address, device, why: describeError(error) }, 'the address could not be announced to its neighbours');
    }
  }

  async #call(command: Command, signal: AbortSignal | undefined): Promise<string> {
    const result = await this.#run(command, { timeoutMs: IP_TIMEOUT_MS, signal });
    return result.stdout;
  }
}
