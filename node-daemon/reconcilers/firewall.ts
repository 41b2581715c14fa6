import type { Clock } from '../../common/clock.ts';
import { nodesOfVm } from '../../common/domain/network.ts';
import { AppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { DhcpReservation, ManagedNetwork, NetworkAcl } from '../../common/schema/network.ts';
import type { Kind, Versioned } from '../../common/schema/resources.ts';
import type { VmInterface } from '../../common/schema/vm.ts';
import { textDigest } from '../drivers/text-digest.ts';
import type { Firewall, ObservedFirewall } from '../drivers/firewall.ts';
import { desiredBase, desiredNetwork, desiredPorts, type FirewallPart, type GuestPort, type HostNetworks } from '../plans/firewall.ts';
import { diffFirewall, inForceAfter, RESET, TABLES, type FirewallChange } from '../plans/firewall-diff.ts';
import { describeFault, findFaultyLine, withoutRule } from '../plans/firewall-fault.ts';
import type { FirewallState } from './network-status.ts';

/** The one key: the kernel takes one transaction at a time anyway. */
export const FIREWALL_KEY = 'firewall';

/** What the kernel holds is listed again when it was last looked at longer ago than this. */
const LOOK_AGAIN_MS = 30_000;

/** Rules of one network that are left out one after the other, at most, when nft refuses them: each costs a transaction. */
const REFUSED_MAX = 32;

type Applied =
  /** `refused`: what was left out, by network. */
  { readonly kind: 'done'; readonly refused: Map<number, string> } | { readonly kind: 'impossible'; readonly message: string };

export interface FirewallDeps {
  me: NodeName;
  mirror: Pick<ClusterMirror, 'get' | 'all' | 'staleForMs'>;
  firewall: Firewall;
  clock: Clock;
  log: Logger;
  hosts: HostNetworks;
  /** This node has, or may have, guests or the gateway of the network. */
  isNeeded: (vni: number) => boolean;
  report: (vni: number, state: FirewallState) => void;
}

interface NetworkDocuments {
  readonly network: Versioned<ManagedNetwork>;
  readonly acl: Versioned<NetworkAcl> | undefined;
}

/** Keeps our tables in the kernel equal to the networks, their rules, and the guests of this node. */
export class FirewallReconciler implements Reconciler {
  readonly #deps: FirewallDeps;
  /** Interfaces of the VMs that are or may come here, by UUID. */
  readonly #guests = new Map<string, readonly VmInterface[]>();
  /** The part of each network, made once from its documents. */
  readonly #parts = new Map<number, { readonly from: NetworkDocuments; readonly part: FirewallPart }>();
  #observed: { readonly tables: ObservedFirewall; readonly atMs: number } | undefined;
  /** Grows with each doubt: what was learned while one came may be older than it. */
  #doubts = 0;

  constructor(deps: FirewallDeps) {
    this.#deps = deps;
  }

  /** Takes in every VM that the mirror holds. */
  rebuild(): void {
    this.#guests.clear();
    for (const uuid of this.#deps.mirror.all('vm').keys()) this.#takeVm(uuid);
  }

  /** The only key, after a change that may matter. */
  keysOf(kind: Kind, id: string): string[] {
    if (kind === 'vm' || kind === 'vm-status') return this.#takeVm(id) ? [FIREWALL_KEY] : [];
    return kind === 'network' || kind === 'network-acl' || kind === 'dhcp-reservation' ? [FIREWALL_KEY] : [];
  }

  /** Somebody else may have changed our tables. */
  doubt(): void {
    this.#observed = undefined;
    this.#doubts += 1;
  }

  async reconcile(_key: string, signal: AbortSignal): Promise<Outcome> {
    // A stale mirror takes nothing away and opens nothing.
    if (this.#deps.mirror.staleForMs() > 0) return DONE;
    const documents = this.#documents();
    const { hosts } = this.#deps;
    const upstreamDevice = documents.some(({ network }) => network.doc.nat) ? hosts.upstreamDevice : undefined;
    const parts = [desiredBase({ ...hosts, upstreamDevice }, textDigest), this.#portsPart(), ...documents.map((of) => this.#partOf(of))];
    const changes = diffFirewall(parts, await this.#look(signal));
    const refused = changes.length === 0 ? new Map<number, string>() : await this.#apply(parts, changes, signal);
    for (const { network, acl } of documents) {
      const error = refused.get(network.doc.vni) ?? null;
      this.#deps.report(network.doc.vni, { version: network.version, aclVersion: acl?.version ?? null, error });
    }
    return DONE;
  }

  async #look(signal: AbortSignal): Promise<ObservedFirewall> {
    const now = this.#deps.clock.monotonicMs();
    if (this.#observed === undefined || now - this.#observed.atMs > LOOK_AGAIN_MS) {
      const doubts = this.#doubts;
      const tables = await this.#deps.firewall.list(signal);
      this.#observed = doubts === this.#doubts ? { tables, atMs: now } : undefined;
      return tables;
    }
    return this.#observed.tables;
  }

  /** @returns why networks are not as they should be; all others are. */
  async #apply(parts: readonly FirewallPart[], changes: readonly FirewallChange[], signal: AbortSignal): Promise<Map<number, string>> {
    this.#observed = undefined;
    const doubts = this.#doubts;
    const applied = await this.#put(TABLES, changes, signal);
    const { refused } = applied.kind === 'done' ? applied : await this.#remake(parts, applied.message, signal);
    if (refused.size === 0 && doubts === this.#doubts) this.#observed = { tables: inForceAfter(parts), atMs: this.#deps.clock.monotonicMs() };
    if (refused.size > 0) this.#deps.log.error({ refused: Object.fromEntries(refused) }, 'rules of networks cannot be put in force');
    return refused;
  }

  /** Both tables from nothing, in one transaction: somebody, or an earlier version, left them in a form that cannot be changed into ours. */
  async #remake(parts: readonly FirewallPart[], why: string, signal: AbortSignal): Promise<{ refused: Map<number, string> }> {
    this.#deps.log.warn({ why }, 'our tables in the packet filter cannot be brought up to date and are made anew');
    const applied = await this.#put([...RESET, ...TABLES], diffFirewall(parts, new Map()), signal);
    if (applied.kind === 'impossible') throw new AppError('component', 'the packet filter does not take our tables', { message: applied.message });
    return applied;
  }

  /**
   * One transaction, without the rules that nft refuses: one bad rule never stands in the way of another. Nothing has changed when it is
   * impossible: nft refuses something other than a network's rule.
   */
  async #put(head: readonly string[], given: readonly FirewallChange[], signal: AbortSignal): Promise<Applied> {
    const errors = new Map<number, string[]>();
    let changes = given;
    for (;;) {
      const fault = await this.#deps.firewall.apply(`${[...head, ...changes.flatMap(({ lines }) => lines)].join('\n')}\n`, signal);
      if (fault === undefined) return { kind: 'done', refused: new Map(Array.from(errors, ([vni, texts]) => [vni, texts.join('; ')])) };
      const found = findFaultyLine(changes, fault, head.length);
      const left = found === undefined ? undefined : withoutRule(found);
      if (found?.change.vni === undefined || left === undefined) return { kind: 'impossible', message: fault.message };
      const { change } = found;
      const texts = [...(errors.get(found.change.vni) ?? []), describeFault(found, fault)];
      errors.set(found.change.vni, texts);
      // The bound of this loop: after so many refused rules a network keeps the chains that it has.
      const lines = texts.length < REFUSED_MAX ? left : [];
      changes = changes.map((one) => (one === change ? { ...one, lines } : one));
    }
  }

  #documents(): NetworkDocuments[] {
    const { mirror, isNeeded } = this.#deps;
    const found: NetworkDocuments[] = [];
    for (const [id, network] of mirror.all('network')) {
      if (network.doc.type === 'managed' && isNeeded(network.doc.vni)) found.push({ network: { ...network, doc: network.doc }, acl: mirror.get('network-acl', id) });
    }
    return found;
  }

  #partOf(from: NetworkDocuments): FirewallPart {
    const { vni } = from.network.doc;
    const held = this.#parts.get(vni);
    if (held !== undefined && held.from.network.doc === from.network.doc && held.from.acl?.doc === from.acl?.doc) return held.part;
    const part = desiredNetwork(from.network.doc, from.acl?.doc, textDigest);
    this.#parts.set(vni, { from, part });
    return part;
  }

  #portsPart(): FirewallPart {
    const ports: GuestPort[] = [];
    const reservations = new Map<number, ReadonlyMap<string, DhcpReservation>>();
    for (const { mac, vni } of [...this.#guests.values()].flat()) {
      const network = this.#deps.mirror.get('network', String(vni))?.doc;
      if (network?.type !== 'managed') continue;
      const known = reservations.get(vni) ?? this.#reservations(vni);
      reservations.set(vni, known);
      ports.push({ mac, network, reservation: known.get(mac) });
    }
    return desiredPorts(ports, textDigest);
  }

  #reservations(vni: number): ReadonlyMap<string, DhcpReservation> {
    const doc = this.#deps.mirror.get('dhcp-reservation', String(vni))?.doc;
    return new Map(doc?.reservations.map((reservation) => [reservation.mac, reservation]));
  }

  /** @returns true when it changes what this node has to guard. */
  #takeVm(uuid: string): boolean {
    const { mirror, me } = this.#deps;
    const spec = mirror.get('vm', uuid)?.doc;
    const here = spec !== undefined && spec.interfaces.length > 0 && nodesOfVm(spec, mirror.get('vm-status', uuid)?.doc).includes(me);
    const before = this.#guests.get(uuid);
    if (here) this.#guests.set(uuid, spec.interfaces);
    else this.#guests.delete(uuid);
    return before !== this.#guests.get(uuid);
  }
}
