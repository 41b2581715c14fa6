import { withTimeout, type Clock } from '../../common/clock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import type { NetworkOnNode } from '../../common/schema/network.ts';
import type { Kind } from '../../common/schema/resources.ts';
import type { VmInterface } from '../../common/schema/vm.ts';
import type { NetworkStatusReporter } from './network-status.ts';

/** A network comes up within a second; after a boot its device may take longer. */
const WAIT_MS = 20_000;

/** The networks of a guest, which have to be there before it is. */
export interface VmNetworks {
  /**
   * Resolves when they are up on this node.
   * @returns the MTU of each in bytes, by VNI.
   * @throws AppError 'state' that says which are not, after a bounded wait; 'cancelled' at the end of the daemon.
   */
  here(interfaces: readonly VmInterface[]): Promise<ReadonlyMap<number, number>>;
  /** As `here`, on another node. */
  there(node: NodeName, interfaces: readonly VmInterface[], signal: AbortSignal): Promise<void>;
}

/** Of a node without client networks: what guests are plugged into there is not this project's business. */
export const NO_NETWORKS: VmNetworks = { here: async () => new Map(), there: async () => undefined };

export interface VmNetworksGateDeps {
  readonly me: NodeName;
  readonly mirror: Pick<ClusterMirror, 'get'>;
  /** Tells of changed documents until the returned function is called. */
  readonly onDocument: (listener: (kind: Kind, id: string) => void) => () => void;
  readonly status: Pick<NetworkStatusReporter, 'get' | 'onChange'>;
  readonly clock: Clock;
  /** Has a network looked at. */
  readonly enqueue: (vni: number) => void;
}

/** Waits for what the reconcilers of networks report, here and on other nodes. */
export class VmNetworksGate implements VmNetworks {
  readonly #deps: VmNetworksGateDeps;
  readonly #ending = new AbortController();

  constructor(deps: VmNetworksGateDeps) {
    this.#deps = deps;
  }

  /** Ends every wait. */
  stop(): void {
    this.#ending.abort();
  }

  async here(interfaces: readonly VmInterface[]): Promise<ReadonlyMap<number, number>> {
    const vnis = vnisOf(interfaces);
    const { status, me } = this.#deps;
    if (this.#faults(vnis, (vni) => status.get(vni)).size > 0) for (const vni of vnis) this.#deps.enqueue(vni);
    await this.#wait(me, vnis, { lookUp: (vni) => status.get(vni), listen: (look) => status.onChange(look), signal: this.#ending.signal });
    return new Map(vnis.map((vni) => [vni, status.get(vni)?.mtu ?? 0]));
  }

  async there(node: NodeName, interfaces: readonly VmInterface[], signal: AbortSignal): Promise<void> {
    const { mirror, onDocument } = this.#deps;
    const lookUp = (vni: number): NetworkOnNode | undefined => mirror.get('network-status', node)?.doc.networks.find((one) => one.vni === vni);
    const listen = (look: () => void): (() => void) =>
      onDocument((kind, id) => {
        if (kind === 'network-status' && id === node) look();
      });
    await this.#wait(node, vnisOf(interfaces), { lookUp, listen, signal: AbortSignal.any([signal, this.#ending.signal]) });
  }

  async #wait(node: NodeName, vnis: readonly number[], how: { lookUp: (vni: number) => NetworkOnNode | undefined; listen: (look: () => void) => () => void; signal: AbortSignal }): Promise<void> {
    const faults = (): ReadonlyMap<number, string> => this.#faults(vnis, how.lookUp);
    if (faults().size === 0) return;
    let unlisten = (): void => undefined;
    try {
      await withTimeout(this.#deps.clock, { timeoutMs: WAIT_MS, what: 'the networks of a VM', signal: how.signal }, async (ending) => {
        await new Promise<void>((resolve) => {
          // The wait is over, one way or another: nothing of it stays.
          ending.addEventListener('abort', () => resolve(), { once: true });
          unlisten = how.listen(() => {
            if (faults().size === 0) resolve();
          });
        });
      });
    } catch (error) {
      if (!isAppError(error, 'timeout')) throw error;
      const networks = Object.fromEntries(faults());
      if (Object.keys(networks).length > 0) throw new AppError('state', 'networks of the VM are not up on the node', { node, networks });
    } finally {
      unlisten();
    }
  }

  /** Why each network that is not up is not. */
  #faults(vnis: readonly number[], lookUp: (vni: number) => NetworkOnNode | undefined): ReadonlyMap<number, string> {
    const faults = new Map<number, string>();
    for (const vni of vnis) {
      const one = lookUp(vni);
      if (one !== undefined && one.appliedVersion !== null && one.mtu !== null) continue;
      const isDefined = this.#deps.mirror.get('network', String(vni)) !== undefined;
      faults.set(vni, one?.error ?? (isDefined ? 'not set up yet' : 'there is no such network'));
    }
    return faults;
  }
}

function vnisOf(interfaces: readonly VmInterface[]): number[] {
  return [...new Set(interfaces.map((nic) => nic.vni))];
}
