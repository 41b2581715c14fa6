import { nodesOfVm, tapName } from '../../common/domain/network.ts';
import { nodeName, type NodeName } from '../../common/ids.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import type { Kind } from '../../common/schema/resources.ts';
import type { VmInterface } from '../../common/schema/vm.ts';
import type { GuestPlace, WantedNetwork } from '../plans/network.ts';

/** What one VM means for its networks. */
interface Member {
  readonly interfaces: readonly VmInterface[];
  /** Nodes that need its networks. */
  readonly nodes: readonly NodeName[];
  /** Where its guest is; 'moving' while it migrates; null when it runs nowhere. */
  readonly at: NodeName | 'moving' | null;
  /** This host may have its tap devices. */
  readonly here: boolean;
}

export interface NetworkIndexDeps {
  readonly me: NodeName;
  /** They need every managed network: any of them may be its gateway. */
  readonly coordinators: readonly NodeName[];
  readonly mirror: Pick<ClusterMirror, 'get' | 'all'>;
}

/**
 * Which node needs which network, and where each guest is, kept up to date change by change: one more VM among thousands costs as much as
 * the first.
 */
export class NetworkIndex {
  readonly #deps: NetworkIndexDeps;
  readonly #members = new Map<string, Member>();
  /** UUIDs by network. */
  readonly #byVni = new Map<number, Set<string>>();
  /** Networks by MAC address. */
  readonly #byMac = new Map<string, number>();
  /** Cluster addresses as last announced: those of a node whose daemon is away stay. */
  readonly #addresses = new Map<string, string>();

  constructor(deps: NetworkIndexDeps) {
    this.#deps = deps;
  }

  /** Takes in everything that the mirror holds. */
  rebuild(): void {
    const { mirror } = this.#deps;
    for (const uuid of new Set([...this.#members.keys(), ...mirror.all('vm').keys(), ...mirror.all('vm-status').keys()])) this.#takeVm(uuid);
    for (const node of mirror.all('presence').keys()) this.#takePresence(node);
  }

  /** @returns the networks that have to be looked at after a change of this document. */
  take(kind: Kind, id: string): readonly number[] {
    switch (kind) {
      case 'network':
        return [Number(id)];
      case 'vm':
      case 'vm-status':
        return this.#takeVm(id);
      case 'presence':
        return this.#takePresence(id);
      default:
        return [];
    }
  }

  /** Networks that are defined. */
  vnis(): number[] {
    return Array.from(this.#deps.mirror.all('network').values(), ({ doc }) => doc.vni);
  }

  /** This node needs it: a guest of it is, comes, or may be started here; or this node may have its gateway. */
  isNeeded(vni: number): boolean {
    return this.#nodes(vni).has(this.#deps.me);
  }

  /** Undefined: there is no such network. */
  wanted(vni: number): WantedNetwork | undefined {
    const spec = this.#deps.mirror.get('network', String(vni))?.doc;
    if (spec === undefined) return undefined;
    const others = [...this.#nodes(vni)].filter((node) => node !== this.#deps.me);
    const peers = others.flatMap((node) => this.#addresses.get(node) ?? []);
    return { spec, peers, complete: peers.length === others.length, guests: this.#guests(vni), taps: this.#taps(vni) };
  }

  vniOfMac(mac: string): number | undefined {
    return this.#byMac.get(mac);
  }

  #nodes(vni: number): Set<NodeName> {
    const spec = this.#deps.mirror.get('network', String(vni))?.doc;
    const nodes = new Set(spec?.type === 'managed' ? this.#deps.coordinators : []);
    for (const member of this.#membersOf(vni)) for (const node of member.nodes) nodes.add(node);
    return nodes;
  }

  #guests(vni: number): Map<string, GuestPlace> {
    const guests = new Map<string, GuestPlace>();
    for (const member of this.#membersOf(vni)) {
      const place = this.#place(member);
      if (place === undefined) continue;
      for (const nic of member.interfaces) if (nic.vni === vni) guests.set(nic.mac, place);
    }
    return guests;
  }

  #place({ at }: Member): GuestPlace | undefined {
    if (at === null) return undefined;
    if (at === this.#deps.me) return { kind: 'here' };
    const address = this.#addresses.get(at);
    return address === undefined ? { kind: 'undecided' } : { kind: 'at', address };
  }

  #taps(vni: number): string[] {
    return this.#membersOf(vni).flatMap((member) => (member.here ? member.interfaces.filter((nic) => nic.vni === vni).map((nic) => tapName(nic.mac)) : []));
  }

  #membersOf(vni: number): Member[] {
    return Array.from(this.#byVni.get(vni) ?? [], (uuid) => this.#members.get(uuid)).filter((member) => member !== undefined);
  }

  #takeVm(uuid: string): number[] {
    const before = this.#members.get(uuid);
    const after = this.#member(uuid);
    if (JSON.stringify(before) === JSON.stringify(after)) return [];
    for (const nic of before?.interfaces ?? []) {
      this.#byVni.get(nic.vni)?.delete(uuid);
      this.#byMac.delete(nic.mac);
    }
    this.#members.delete(uuid);
    if (after !== undefined) {
      this.#members.set(uuid, after);
      for (const nic of after.interfaces) this.#add(uuid, nic);
    }
    return [...new Set([...(before?.interfaces ?? []), ...(after?.interfaces ?? [])].map((nic) => nic.vni))];
  }

  #add(uuid: string, nic: VmInterface): void {
    const uuids = this.#byVni.get(nic.vni) ?? new Set();
    this.#byVni.set(nic.vni, uuids.add(uuid));
    this.#byMac.set(nic.mac, nic.vni);
  }

  /** Undefined for a VM without networks of the cluster, too. */
  #member(uuid: string): Member | undefined {
    const { me, mirror } = this.#deps;
    const spec = mirror.get('vm', uuid)?.doc;
    const status = mirror.get('vm-status', uuid)?.doc;
    if (spec === undefined || spec.interfaces.length === 0) return undefined;
    const moving = status?.phase.kind === 'migrating' ? status.phase.target : undefined;
    const at = moving === undefined ? (status?.owner ?? null) : 'moving';
    return { interfaces: spec.interfaces, nodes: nodesOfVm(spec, status), at, here: status?.owner === me || moving === me };
  }

  #takePresence(node: string): number[] {
    const address = this.#deps.mirror.get('presence', node)?.doc.address;
    if (address === undefined || this.#addresses.get(node) === address) return [];
    this.#addresses.set(nodeName.parse(node), address);
    return this.vnis();
  }
}
