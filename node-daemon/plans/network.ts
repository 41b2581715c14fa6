import { bridgeName, VXLAN_PORT, vlanName, vxlanMtu, vxlanName } from '../../common/domain/network.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import type { FdbEntry, HostLink, HostLinks, LinkChange } from '../drivers/link.ts';

/** What this node is made of, as far as client networks go. */
export interface NetworkNode {
  readonly name: string;
  /** On the cluster network. */
  readonly address: string;
  readonly clusterDevice: string;
  readonly bridgeDevice: string | undefined;
}

/** Where a guest's frames have to go. */
export type GuestPlace =
  | { readonly kind: 'at'; readonly address: string }
  /** On this host. */
  | { readonly kind: 'here' }
  /** It moves, or its node's address is not known: what the kernel has is as good as what the documents say. */
  | { readonly kind: 'undecided' };

/** What the documents want of one network on this node. */
export interface WantedNetwork {
  readonly spec: NetworkSpec;
  /** Addresses of the other nodes that need the network. */
  readonly peers: readonly string[];
  /** The address of each of them is known; otherwise `peers` lacks some. */
  readonly complete: boolean;
  /** By MAC address. */
  readonly guests: ReadonlyMap<string, GuestPlace>;
  /** Names of the devices of the guests that this host runs. */
  readonly taps: readonly string[];
}

export interface NetworkView {
  readonly vni: number;
  readonly node: NetworkNode;
  readonly wanted: WantedNetwork;
  readonly host: HostLinks;
  /** The mirror is current. A stale one adds; it never takes away. */
  readonly fresh: boolean;
}

export type NetworkPlan =
  | { readonly kind: 'changes'; readonly changes: readonly LinkChange[]; readonly mtu: number }
  /** Something outside of our power is in the way. */
  | { readonly kind: 'blocked'; readonly why: string };

/** Decides what has to change on this host for one network that is needed here. Foreign links are never touched. */
export function planNetwork(view: NetworkView): NetworkPlan {
  const { vni, host } = view;
  for (const name of [bridgeName(vni), uplinkName(view)]) {
    const link = host.links.get(name);
    if (link !== undefined && !link.ours) return { kind: 'blocked', why: `a link named ${name} exists already and is not of this cluster` };
  }
  const device = carrierName(view);
  if (device === undefined) return { kind: 'blocked', why: 'this node has no bridge_device for bridged networks' };
  const carrier = host.links.get(device);
  if (carrier === undefined) return { kind: 'blocked', why: `the device ${device} does not exist` };
  const mtu = mtuOf(view, carrier);
  return { kind: 'changes', mtu, changes: [...bridgeChanges(view, mtu), ...uplinkChanges(view, device, mtu), ...tapChanges(view, mtu), ...forwardingChanges(view)] };
}

/** @returns the ports of the network's bridge that keep it from being removed: guests, and what somebody else plugged in. */
export function portsInUse(vni: number, host: Pick<HostLinks, 'links'>): string[] {
  const own = new Set([vxlanName(vni), vlanName(vni)]);
  return [...host.links.values()].filter((link) => link.master === bridgeName(vni) && !own.has(link.name)).map((link) => link.name);
}

/** @returns the network's links on this host that this project made. */
export function linksOf(vni: number, host: Pick<HostLinks, 'links'>): string[] {
  return [vxlanName(vni), vlanName(vni), bridgeName(vni)].filter((name) => host.links.get(name)?.ours === true);
}

/** The MTU that the network's bridge has; null: there is none. */
export function bridgeMtu(vni: number, host: Pick<HostLinks, 'links'>): number | null {
  const bridge = host.links.get(bridgeName(vni));
  return bridge?.ours === true ? bridge.mtu : null;
}

function uplinkName({ vni, wanted }: NetworkView): string {
  return wanted.spec.type === 'managed' ? vxlanName(vni) : vlanName(vni);
}

function carrierName({ node, wanted }: NetworkView): string | undefined {
  return wanted.spec.type === 'managed' ? node.clusterDevice : node.bridgeDevice;
}

function mtuOf({ wanted, node }: NetworkView, carrier: HostLink): number {
  const most = wanted.spec.type === 'managed' ? vxlanMtu({ mtu: carrier.mtu, family: node.address.includes(':') ? 6 : 4 }) : carrier.mtu;
  return Math.min(wanted.spec.mtu ?? most, most);
}

function bridgeChanges({ vni, node, host }: NetworkView, mtu: number): LinkChange[] {
  const name = bridgeName(vni);
  const bridge = host.links.get(name);
  if (bridge?.bridge === undefined) {
    const gone: LinkChange[] = bridge === undefined ? [] : [{ do: 'remove', name }];
    return [...gone, { do: 'add-bridge', name, mac: bridgeMac(node.name, vni), mtu }, ...finish(name, host)];
  }
  const changes: LinkChange[] = [];
  if (bridge.bridge.stp || bridge.bridge.forwardDelay !== 0 || bridge.bridge.mcastSnooping) changes.push({ do: 'set-bridge', name });
  if (bridge.mtu !== mtu) changes.push({ do: 'set-mtu', name, mtu });
  return [...changes, ...finishing(bridge)];
}

/** VXLAN or VLAN device, and its place in the bridge. */
function uplinkChanges(view: NetworkView, device: string, mtu: number): LinkChange[] {
  const { vni, node, host, wanted } = view;
  const name = uplinkName(view);
  const master = bridgeName(vni);
  const link = host.links.get(name);
  if (link !== undefined && isRight(view, link, device)) {
    const changes: LinkChange[] = link.mtu === mtu ? [] : [{ do: 'set-mtu', name, mtu }];
    if (link.master !== master || host.links.get(master)?.bridge === undefined) changes.push({ do: 'set-master', name, master });
    return [...changes, ...finishing(link)];
  }
  const gone: LinkChange[] = link === undefined ? [] : [{ do: 'remove', name }];
  const made: LinkChange =
    wanted.spec.type === 'managed' ? { do: 'add-vxlan', name, vni, local: node.address, device, mtu } : { do: 'add-vlan', name, id: vni, device, mtu };
  return [...otherType(view), ...gone, made, { do: 'set-master', name, master }, ...finish(name, host)];
}

/** A network of this number was of the other type before. */
function otherType({ vni, host, wanted }: NetworkView): LinkChange[] {
  const name = wanted.spec.type === 'managed' ? vlanName(vni) : vxlanName(vni);
  return host.links.get(name)?.ours === true ? [{ do: 'remove', name }] : [];
}

function isRight({ vni, node, wanted }: NetworkView, link: HostLink, device: string): boolean {
  if (wanted.spec.type === 'managed') {
    const { vxlan } = link;
    return vxlan?.vni === vni && vxlan.local === node.address && vxlan.device === device && vxlan.port === VXLAN_PORT && vxlan.learning;
  }
  // A device that does the tagging elsewhere, such as a port of Open vSwitch, carries our mark because somebody gave it on purpose.
  return link.vlan === undefined ? link.kind !== 'vxlan' : link.vlan.id === vni && link.vlan.device === device;
}

/** The last steps of a link that has just been made. */
function finish(name: string, host: HostLinks): LinkChange[] {
  return [...(host.ipv6 ? [{ do: 'silence', name } as const] : []), { do: 'set-up', name }];
}

/** The same for one that exists: a daemon that was killed may have left them out. */
function finishing(link: HostLink): LinkChange[] {
  const { name } = link;
  return [...(link.ipv6 ? [{ do: 'silence', name } as const] : []), ...(link.up ? [] : [{ do: 'set-up', name } as const])];
}

/** Guests that run here stay plugged in when their bridge is made anew, and follow its MTU. */
function tapChanges({ vni, wanted, host }: NetworkView, mtu: number): LinkChange[] {
  const master = bridgeName(vni);
  const isNew = host.links.get(master)?.bridge === undefined;
  return wanted.taps.flatMap((name): LinkChange[] => {
    const tap = host.links.get(name);
    if (tap === undefined) return [];
    const follow: LinkChange[] = tap.mtu === mtu ? [] : [{ do: 'set-mtu', name, mtu }];
    return tap.master === master && !isNew ? follow : [...follow, { do: 'set-master', name, master }];
  });
}

function forwardingChanges(view: NetworkView): LinkChange[] {
  const { vni, host, wanted } = view;
  if (wanted.spec.type !== 'managed') return [];
  const device = vxlanName(vni);
  const link = host.links.get(device);
  const isNew = link === undefined || !isRight(view, link, view.node.clusterDevice);
  const entries = isNew ? [] : (host.fdb.get(device) ?? []);
  return [...floodChanges(view, device, entries), ...guestChanges(view, device, entries)];
}

function floodChanges({ wanted, fresh }: NetworkView, device: string, entries: readonly FdbEntry[]): LinkChange[] {
  const held = new Set(entries.filter((entry) => entry.kind === 'flood').map((entry) => entry.dst));
  const peers = new Set(wanted.peers);
  const missing = [...peers].filter((dst) => !held.has(dst)).map((dst) => ({ do: 'add-flood', device, dst }) as const);
  if (!fresh || !wanted.complete) return missing;
  return [...missing, ...[...held].filter((dst) => !peers.has(dst)).map((dst) => ({ do: 'remove-flood', device, dst }) as const)];
}

function guestChanges({ wanted, fresh }: NetworkView, device: string, entries: readonly FdbEntry[]): LinkChange[] {
  const held = new Map(entries.filter((entry) => entry.kind !== 'flood').map((entry) => [entry.mac, entry]));
  const changes: LinkChange[] = [];
  for (const [mac, place] of wanted.guests) {
    const entry = held.get(mac);
    if (place.kind === 'at' && (entry?.kind !== 'told' || entry.dst !== place.address)) changes.push({ do: 'set-mac', device, mac, dst: place.address });
  }
  if (!fresh) return changes;
  for (const entry of held.values()) {
    const place = wanted.guests.get(entry.mac);
    // What the kernel learned of MAC addresses that nobody told us of ages by itself.
    const isOver = place === undefined ? entry.kind === 'told' || entry.kind === 'other' : place.kind === 'here';
    if (isOver) changes.push({ do: 'remove-mac', device, mac: entry.mac });
  }
  return changes;
}

/**
 * A MAC address of the bridge's own, the same at each start and another on each node: one taken from a port would change with the guests,
 * and with it the gateway's.
 */
export function bridgeMac(node: string, vni: number): string {
  // FNV-1a, 32 bits.
  let hash = 0x811c9dc5;
  for (const character of `${node}/${vni}`) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  const bytes = [0x02, 0x50, hash >>> 24, (hash >>> 16) & 0xff, (hash >>> 8) & 0xff, hash & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
