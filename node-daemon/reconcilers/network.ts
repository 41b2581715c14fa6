import type { Clock } from '../../common/clock.ts';
import { macOfTap, vniOfLink, vxlanName } from '../../common/domain/network.ts';
import { AppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { DONE, type Outcome } from '../../common/reconcile/reconciler.ts';
import type { Kind } from '../../common/schema/resources.ts';
import { isForwarding, type HostLinks, type LinkDriver, type LinkFailure } from '../drivers/link.ts';
import { bridgeMtu, linksOf, planNetwork, portsInUse, type NetworkNode, type WantedNetwork } from '../plans/network.ts';
import type { NetworkIndex } from './network-index.ts';
import type { NetworkStatusReporter } from './network-status.ts';

/** The key that stands for the host as a whole: what no network wants any more, and settings of all bridges. */
const HOST_KEY = 'host';

/** Look, act, look again; a link that was in the way takes one more. */
const ROUNDS_MAX = 4;

/** A network that nobody here needs now stays for so long: guests that move come and go. */
const LINGER_MS = 60_000;

/** Networks removed at once; between two such groups others get their turn. */
const REMOVED_AT_ONCE = 16;

export interface NetworkReconcilerDeps {
  readonly node: NetworkNode;
  readonly mirror: Pick<ClusterMirror, 'get' | 'staleForMs'>;
  readonly links: LinkDriver;
  readonly index: NetworkIndex;
  readonly status: Pick<NetworkStatusReporter, 'setLinks' | 'drop' | 'vnis'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Puts a key into the queue. */
  readonly enqueue: (key: string) => void;
}

/** Brings the links of client networks on this host to what the documents want. A key is a VNI, or `HOST_KEY`. */
export class NetworkReconciler {
  readonly #deps: NetworkReconcilerDeps;
  /** Since when nobody here needs a network, by the monotonic clock. */
  readonly #idleSinceMs = new Map<number, number>();
  readonly #removing = new Set<number>();

  constructor(deps: NetworkReconcilerDeps) {
    this.#deps = deps;
  }

  keys(): string[] {
    return [...this.#deps.index.vnis().map(String), HOST_KEY];
  }

  /** Keys to look at after a change of this document; it also takes the change into the index. */
  keysOf(kind: Kind, id: string): string[] {
    return this.#deps.index.take(kind, id).map(String);
  }

  /** Keys to look at after a change of this link. */
  keysOfLink(name: string): string[] {
    const { node, index } = this.#deps;
    if (name === node.clusterDevice || name === node.bridgeDevice) return this.keys();
    const mac = macOfTap(name);
    const vni = mac === undefined ? vniOfLink(name) : index.vniOfMac(mac);
    return vni === undefined ? [] : [String(vni)];
  }

  async reconcile(key: string): Promise<Outcome> {
    if (key === HOST_KEY) return this.#reconcileHost();
    const vni = Number(key);
    const wanted = this.#deps.index.wanted(vni);
    if (wanted === undefined || !this.#deps.index.isNeeded(vni)) {
      this.#deps.enqueue(HOST_KEY);
      return DONE;
    }
    this.#idleSinceMs.delete(vni);
    if (this.#removing.has(vni)) return { kind: 'recheck', afterMs: 200, why: 'what is left of the network is being removed' };
    return this.#reconcileNetwork(vni);
  }

  async #reconcileNetwork(vni: number): Promise<Outcome> {
    const { links, status, index, mirror } = this.#deps;
    let failures: readonly LinkFailure[] = [];
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const host = await links.list([vxlanName(vni)]);
      // As of after the look: a change that comes while it is under way must not be taken back.
      const version = mirror.get('network', String(vni))?.version;
      const wanted = index.wanted(vni);
      if (wanted === undefined || version === undefined || this.#removing.has(vni)) return this.#again(vni);
      const plan = this.#plan(vni, wanted, host);
      const unfiltered = wanted.spec.type === 'bridged';
      if (plan.kind === 'blocked') {
        status.setLinks(vni, { version: null, mtu: bridgeMtu(vni, host), error: plan.why, unfiltered });
        return DONE;
      }
      if (plan.changes.length === 0) {
        status.setLinks(vni, { version, mtu: plan.mtu, error: null, unfiltered });
        return DONE;
      }
      this.#deps.log.debug({ vni, changes: plan.changes.length }, 'links are being changed');
      failures = await links.apply(plan.changes);
      // The kernel has acknowledged each entry; with thousands of guests on the move, looking at them all again would be most of the work.
      if (failures.length === 0 && plan.changes.every(isForwarding)) {
        status.setLinks(vni, { version, mtu: plan.mtu, error: null, unfiltered });
        return DONE;
      }
    }
    return this.#failed(vni, failures.map(({ change, why }) => `${change.do}: ${why}`));
  }

  async #failed(vni: number, said: readonly string[]): Promise<never> {
    const host = await this.#deps.links.list([]);
    const unfiltered = this.#deps.index.wanted(vni)?.spec.type === 'bridged';
    this.#deps.status.setLinks(vni, { version: null, mtu: bridgeMtu(vni, host), error: `the links could not be set up: ${said.join('; ') || 'they change back'}`, unfiltered });
    throw new AppError('component', 'the links of a network could not be set up', { vni, failures: said });
  }

  #again(vni: number): Outcome {
    this.#deps.enqueue(String(vni));
    return DONE;
  }

  #plan(vni: number, wanted: WantedNetwork, host: HostLinks): ReturnType<typeof planNetwork> {
    return planNetwork({ vni, node: this.#deps.node, wanted, host, fresh: this.#deps.mirror.staleForMs() === 0 });
  }

  async #reconcileHost(): Promise<Outcome> {
    const { links, mirror, log } = this.#deps;
    if (await links.keepBridgesOutOfFilter()) log.info({}, 'frames inside of a bridge do not pass the packet filter of IP any more');
    if (mirror.staleForMs() > 0) return { kind: 'recheck', afterMs: 5_000, why: 'the mirror is stale' };
    const host = await links.list([]);
    const idle = this.#idle(host);
    for (let from = 0; from < idle.over.length; from += REMOVED_AT_ONCE) await this.#remove(idle.over.slice(from, from + REMOVED_AT_ONCE));
    return idle.lingering ? { kind: 'recheck', afterMs: LINGER_MS / 4, why: 'a network that is not needed stays for a while' } : DONE;
  }

  /** Networks that are here and that nobody here needs. */
  #idle(host: HostLinks): { over: number[]; lingering: boolean } {
    const { index, mirror, clock, status } = this.#deps;
    const present = new Set(status.vnis());
    for (const link of host.links.values()) {
      const vni = link.ours ? vniOfLink(link.name) : undefined;
      if (vni !== undefined) present.add(vni);
    }
    const over: number[] = [];
    let lingering = false;
    for (const vni of present) {
      if (index.isNeeded(vni) && mirror.get('network', String(vni)) !== undefined) continue;
      const sinceMs = this.#idleSinceMs.get(vni) ?? clock.monotonicMs();
      this.#idleSinceMs.set(vni, sinceMs);
      const mayStay = mirror.get('network', String(vni)) !== undefined && clock.monotonicMs() - sinceMs < LINGER_MS;
      if (mayStay || portsInUse(vni, host).length > 0) lingering = true;
      else over.push(vni);
    }
    return { over, lingering };
  }

  /** What became needed meanwhile stays; from here on it is not reported, so nobody starts a guest in it. */
  async #remove(vnis: readonly number[]): Promise<void> {
    const { index, links, log, mirror, status } = this.#deps;
    const doomed = vnis.filter((vni) => !index.isNeeded(vni) || mirror.get('network', String(vni)) === undefined);
    for (const vni of doomed) {
      this.#removing.add(vni);
      status.drop(vni);
    }
    try {
      const host = await links.list([]);
      const empty = doomed.filter((vni) => portsInUse(vni, host).length === 0);
      const names = empty.flatMap((vni) => linksOf(vni, host));
      if (names.length > 0) log.info({ networks: empty }, 'networks that are not needed here are removed');
      await links.remove(names);
    } finally {
      for (const vni of doomed) {
        this.#removing.delete(vni);
        this.#idleSinceMs.delete(vni);
        this.#deps.enqueue(String(vni));
      }
    }
  }
}
