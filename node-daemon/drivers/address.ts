import { isIPv6 } from 'node:net';
import { canonicalCidr } from '../../common/domain/addressing.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Command, Run } from '../../common/process.ts';
import { parseAddressedDevices } from './ip-address-text.ts';
import { batchFailures } from './ip-link-text.ts';

/** Netlink through `ip` answers in milliseconds; it waits for the kernel's lock at most. */
const IP_TIMEOUT_MS = 5_000;

/** Announcements sent, and the limit of the whole run: arping waits a second after its last packet. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_TIMEOUT_MS = 5_000;

/** Announcements at the same time: each is a process. */
const ANNOUNCERS = 8;

/** An address on a device of this host, as `address/prefix length` in the kernel's text form. */
export interface HostAddress {
  readonly device: string;
  readonly cidr: string;
}

export interface ListedAddress extends HostAddress {
  /** On a link that this project made. */
  readonly onOurs: boolean;
}

/** An address that the kernel did not take, such as for a device that is not there, and its words. */
export interface AddressFailure {
  readonly address: HostAddress;
  readonly why: string;
}

/** The addresses of this host. Every call may be repeated. Calls fail with AppError 'component', 'timeout' or 'cancelled'. */
export interface AddressDriver {
  /** Puts the addresses on their devices and tells the neighbours that they are here now. @returns those that could not be put there. */
  add(addresses: readonly HostAddress[], signal?: AbortSignal): Promise<readonly AddressFailure[]>;
  /** Takes the addresses off; without the address, or without the device, there is nothing to do. */
  remove(addresses: readonly HostAddress[], signal?: AbortSignal): Promise<void>;
  list(signal?: AbortSignal): Promise<readonly ListedAddress[]>;
  /** Lets this host pass packets on between its devices. */
  route(signal?: AbortSignal): Promise<void>;
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

  async add(addresses: readonly HostAddress[], signal?: AbortSignal): Promise<readonly AddressFailure[]> {
    if (addresses.length === 0) return [];
    const v6 = new Set(addresses.filter(isV6).map(({ device }) => device.replaceAll('.', '/')));
    const settings = [...v6].flatMap((device) => ['ndisc_notify=1', 'accept_dad=0'].map((setting) => `net.ipv6.conf.${device}.${setting}`));
    if (settings.length > 0) await this.#call(['sysctl', '-eqw', ...settings], signal);
    const failures = await this.#batch(addresses, 'replace', signal);
    const failed = new Set(failures.map(({ address }) => address));
    void this.#announce(addresses.filter((address) => !failed.has(address) && !isV6(address)));
    return failures;
  }

  /** `ip` has no "delete if there", so a refusal is judged by looking again. */
  async remove(addresses: readonly HostAddress[], signal?: AbortSignal): Promise<void> {
    if (addresses.length === 0) return;
    const failures = await this.#batch(addresses, 'del', signal);
    if (failures.length === 0) return;
    const left = new Set((await this.list(signal)).map(keyOf));
    const failure = failures.find(({ address }) => left.has(keyOf(address)));
    if (failure !== undefined) throw new AppError('component', 'an address cannot be removed', { ...failure.address, why: failure.why });
  }

  async list(signal?: AbortSignal): Promise<readonly ListedAddress[]> {
    const devices = parseAddressedDevices(await this.#call(['ip', '-json', 'address', 'show'], signal));
    return devices.flatMap(({ name, ours, addresses }) => addresses.map(({ address, prefixLength }) => ({ device: name, cidr: `${address}/${prefixLength}`, onOurs: ours })));
  }

  async route(signal?: AbortSignal): Promise<void> {
    await this.#call(['sysctl', '-eqw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'], signal);
  }

  async #batch(addresses: readonly HostAddress[], verb: 'replace' | 'del', signal: AbortSignal | undefined): Promise<AddressFailure[]> {
    const input = addresses.map(({ cidr, device }) => `address ${verb} ${cidr} dev ${device}\n`).join('');
    try {
      await this.#run(['ip', '-force', '-batch', '-'], { timeoutMs: IP_TIMEOUT_MS, input, signal });
      return [];
    } catch (error) {
      const failed = isAppError(error, 'component') ? batchFailures(String(error.details['stderr'])) : new Map<number, string>();
      if (failed.size === 0) throw error;
      return addresses.flatMap((address, at) => {
        const why = failed.get(at + 1);
        return why === undefined ? [] : [{ address, why }];
      });
    }
  }

  /** Not awaited by `add`: arping lingers for a second after a packet that leaves at once. It is bounded and never fails. */
  async #announce(addresses: readonly HostAddress[]): Promise<void> {
    const left = addresses.values();
    const announceNext = async (): Promise<void> => {
      for (const { cidr, device } of left) await this.#announceOne(cidr.split('/')[0] ?? cidr, device);
    };
    await Promise.all(Array.from({ length: ANNOUNCERS }, announceNext));
  }

  async #announceOne(address: string, device: string): Promise<void> {
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

function isV6({ cidr }: HostAddress): boolean {
  return isIPv6(cidr.split('/')[0] ?? '');
}

function keyOf({ device, cidr }: HostAddress): string {
  return `${device} ${canonicalCidr(cidr)}`;
}
