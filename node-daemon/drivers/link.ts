/**
 * Mark of the links that this project made: their device group, which the kernel takes at the creation itself, so that no link is
 * ever without it. "PVC" in ASCII.
 */
export const LINK_GROUP = 0x505643;

/** A network device of this host, as far as decisions need it. */
export interface HostLink {
  readonly name: string;
  /** `bridge`, `vxlan`, `vlan`, `tun`, …; undefined for a plain device. */
  readonly kind: string | undefined;
  /** Carries our mark. */
  readonly ours: boolean;
  readonly up: boolean;
  /** In bytes. */
  readonly mtu: number;
  readonly mac: string | undefined;
  /** The bridge that it is a port of. */
  readonly master: string | undefined;
  /** Gives itself an IPv6 address when it comes up (addrgenmode is not none). */
  readonly ipv6: boolean;
  readonly vxlan: { readonly vni: number; readonly local: string | undefined; readonly device: string | undefined; readonly port: number; readonly learning: boolean } | undefined;
  readonly vlan: { readonly id: number; readonly device: string | undefined } | undefined;
  readonly bridge: { readonly stp: boolean; readonly forwardDelay: number; readonly mcastSnooping: boolean } | undefined;
}

/** An entry of a VXLAN device's own forwarding table: where frames for a MAC address are sent. */
export interface FdbEntry {
  readonly mac: string;
  /** Cluster address of the other node. */
  readonly dst: string;
  /** `flood`: the all-zero entry, `told`: put there by a daemon, `learned`: by the kernel from a frame; `other`: anything else. */
  readonly kind: 'flood' | 'told' | 'learned' | 'other';
}

/** The links of this host at one moment. */
export interface HostLinks {
  readonly links: ReadonlyMap<string, HostLink>;
  /** By the name of the VXLAN device; only of those that were asked for. */
  readonly fdb: ReadonlyMap<string, readonly FdbEntry[]>;
  /** The kernel has IPv6. */
  readonly ipv6: boolean;
}

/** One change of one link. Links are made down, with the mark, and go down with their removal. */
export type LinkChange =
  | { readonly do: 'add-bridge'; readonly name: string; readonly mac: string; readonly mtu: number }
  | { readonly do: 'add-vxlan'; readonly name: string; readonly vni: number; readonly local: string; readonly device: string; readonly mtu: number }
  | { readonly do: 'add-vlan'; readonly name: string; readonly id: number; readonly device: string; readonly mtu: number }
  | { readonly do: 'remove'; readonly name: string }
  /** No spanning tree, no delay, no multicast snooping. */
  | { readonly do: 'set-bridge'; readonly name: string }
  /** The host itself gets no IPv6 address and believes no router advertisement there. */
  | { readonly do: 'silence'; readonly name: string }
  | { readonly do: 'set-mtu'; readonly name: string; readonly mtu: number }
  | { readonly do: 'set-master'; readonly name: string; readonly master: string }
  | { readonly do: 'set-up'; readonly name: string }
  | { readonly do: 'add-flood'; readonly device: string; readonly dst: string }
  | { readonly do: 'remove-flood'; readonly device: string; readonly dst: string }
  /** Frames for this MAC address go to `dst`, until a frame from it is seen from elsewhere. */
  | { readonly do: 'set-mac'; readonly device: string; readonly mac: string; readonly dst: string }
  | { readonly do: 'remove-mac'; readonly device: string; readonly mac: string };

/** A change that the kernel refused, and its words. The others were tried all the same. */
export interface LinkFailure {
  readonly change: LinkChange;
  readonly why: string;
}

export interface LinkListener {
  /** Something about this link or its addresses changed: look at it. */
  link?(name: string): void;
  /** Changes may have been missed: look at everything. */
  missed?(): void;
}

/**
 * The network devices of this host. Calls fail with AppError 'component' or 'timeout'; calls that come together are answered together,
 * so a hundred networks cost hardly more than one.
 */
export interface LinkDriver {
  /** Begins to tell of changes. */
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** All links as they are after this call began, and the forwarding tables of these devices, where they exist. */
  list(devices: readonly string[]): Promise<HostLinks>;
  /** Tries each change, in this order; what is refused is told. */
  apply(changes: readonly LinkChange[]): Promise<readonly LinkFailure[]>;
  /** Removes these links in one go, which is much quicker than one by one; one that is not there is fine. */
  remove(names: readonly string[]): Promise<void>;
  /** Frames between ports of a bridge do not pass the host's IP packet filter. Says whether it had to change anything. */
  keepBridgesOutOfFilter(): Promise<boolean>;
  listen(listener: LinkListener): () => void;
}

/** @returns whether the change is to a forwarding table and not to a link. */
export function isForwarding(change: LinkChange): boolean {
  return change.do === 'add-flood' || change.do === 'remove-flood' || change.do === 'set-mac' || change.do === 'remove-mac';
}
