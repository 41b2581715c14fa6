import type { Logger } from '../../common/log.ts';
import { AppError } from '../../common/errors.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import type { Kind } from '../../common/schema/resources.ts';
import { Turns } from '../../common/turns.ts';
import type { AddressDriver, HostAddress } from '../drivers/address.ts';
import { gatewayAddresses, keyOf, planAddresses, primaryAddressesIn } from '../plans/primary-addresses.ts';
import type { PrimaryRole } from './primary-role.ts';

/** The one key of this reconciler. */
export const GATEWAY_KEY = 'gateway';

/** A bridge that is not up yet is told of by the kernel's events; this is for those that were missed. */
const MISSING: Outcome = { kind: 'recheck', afterMs: 5_000, why: 'gateways could not be put on their bridges' };

/** How much of the floating addresses this host has; `none` is also without any gateway. */
export type AddressesHere = 'none' | 'some' | 'all';

export interface PrimaryAddressesDeps {
  addresses: AddressDriver;
  /** In the kernel's text form. */
  floating: readonly HostAddress[];
  /** Networks whose gateways the primary has. */
  networks: () => Iterable<NetworkSpec>;
  /** The lease is ours, by proof, at this very moment. */
  isLeaseMine: () => boolean;
  log: Logger;
}

/**
 * What only the primary has on its host: the floating addresses and the networks' gateways. They are taken and dropped as a whole, never
 * both at once; between, the gateways follow the networks.
 */
export class PrimaryAddresses implements Reconciler, PrimaryRole {
  readonly #deps: PrimaryAddressesDeps;
  readonly #listeners = new Set<() => void>();
  /** Never two works at once: what is being added must be seen by whoever removes. */
  readonly #turns = new Turns();
  /** From the end of `take` to the beginning of `drop`. */
  #taken = false;

  constructor(deps: PrimaryAddressesDeps) {
    this.#deps = deps;
  }

  isMine(): boolean {
    return this.#taken && this.#deps.isLeaseMine();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  keysOf(kind: Kind): string[] {
    return kind === 'network' && this.#taken ? [GATEWAY_KEY] : [];
  }

  /** Whether a floating address belongs on this device. */
  isFloatingOn(device: string): boolean {
    return this.#deps.floating.some((address) => address.device === device);
  }

  /** Stands for the addresses where the cluster has none: the order of taking over stays the same. */
  async where(signal: AbortSignal): Promise<AddressesHere> {
    const { addresses, floating } = this.#deps;
    const here = new Set(primaryAddressesIn(await addresses.list(signal), floating).map(keyOf));
    if (here.size === 0) return floating.length === 0 && this.#taken ? 'all' : 'none';
    return this.#taken && floating.every((address) => here.has(keyOf(address))) ? 'all' : 'some';
  }

  /**
   * Puts all addresses here and tells the neighbours; a gateway whose bridge is not up yet follows.
   * @throws AppError 'component' when a floating address cannot be put there.
   */
  async take(signal: AbortSignal): Promise<void> {
    await this.#turns.take(undefined, async () => {
      await this.#settle(signal);
      if (this.#deps.isLeaseMine()) this.#set(true);
    });
  }

  /** Takes everything off. */
  async drop(signal: AbortSignal): Promise<void> {
    this.#set(false);
    await this.#turns.take(undefined, async () => {
      const { addresses, floating } = this.#deps;
      await addresses.remove(primaryAddressesIn(await addresses.list(signal), floating), signal);
    });
  }

  /** Brings the gateways in line with the networks, and the floating addresses back, while this node is primary. */
  async reconcile(_key: string, signal: AbortSignal): Promise<Outcome> {
    return this.#turns.take(undefined, async () => (this.isMine() && !(await this.#settle(signal)) ? MISSING : DONE));
  }

  /** @returns false when a gateway has no bridge yet. */
  async #settle(signal: AbortSignal): Promise<boolean> {
    const { addresses, floating, networks, isLeaseMine, log } = this.#deps;
    const gateways = gatewayAddresses(networks());
    const { add, remove } = planAddresses({ floating, gateways }, await addresses.list(signal));
    if (gateways.length > 0) await addresses.route(signal);
    if (!isLeaseMine()) return true;
    const [failures] = await Promise.all([addresses.add(add, signal), addresses.remove(remove, signal)]);
    const lost = failures.find(({ address }) => floating.includes(address));
    if (lost !== undefined) throw new AppError('component', 'a floating address cannot be put on its device', { ...lost.address, why: lost.why });
    if (failures.length > 0) log.info({ gateways: failures.map(({ address }) => address.device) }, 'gateways wait for their bridges');
    return failures.length === 0;
  }

  #set(taken: boolean): void {
    if (this.#taken === taken) return;
    this.#taken = taken;
    for (const listener of this.#listeners) listener();
  }
}
