import type { Clock } from '../../common/clock.ts';
import { VXLAN_PORT } from '../../common/domain/network.ts';
import { isForwarding, type FdbEntry, type HostLink, type HostLinks, type LinkChange, type LinkDriver, type LinkFailure, type LinkListener } from '../../node-daemon/drivers/link.ts';
import type { FaultPoints } from './simulated-faults.ts';
import { never } from './simulated-hypervisor.ts';

/** What a call of `ip` takes, and each line of its batch. */
const CALL_MS = 5;
const LINE_MS = 0.5;

/** The kernel tells of a change a moment later. */
const EVENT_DELAY_MS = 1;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The network devices of one simulated host: what its kernel holds, whatever happens to the daemon. */
export class SimulatedLinks {
  readonly links = new Map<string, Mutable<HostLink>>();
  readonly fdb = new Map<string, FdbEntry[]>();
  readonly listeners = new Set<(name: string) => void>();
  /** Links whose changes the kernel refuses, for tests of failure. */
  readonly refused = new Set<string>();
  bridgesFiltered = true;
  /** Changes so far. */
  changes = 0;
  /** Told at once, in the middle of the change: what was on the link goes with it. */
  onRemoved: (name: string) => void = () => undefined;
  /** The kernel's numbers of the devices; a new device of the same name has another. */
  readonly #indexes = new Map<string, number>();
  #lastIndex = 0;
  readonly #clock: Clock;

  constructor(clock: Clock, devices: Readonly<Record<string, number>> = { eth0: 1_550, eth1: 1_500 }) {
    this.#clock = clock;
    for (const [name, mtu] of Object.entries(devices)) this.put({ name, kind: undefined, up: true, mtu });
  }

  put(link: Partial<HostLink> & Pick<HostLink, 'name'>): void {
    const plain: HostLink = { name: link.name, kind: undefined, ours: false, up: false, mtu: 1_500, mac: undefined, master: undefined, ipv6: true, vxlan: undefined, vlan: undefined, bridge: undefined };
    this.links.set(link.name, { ...plain, ...link });
    this.#lastIndex += 1;
    this.#indexes.set(link.name, this.#lastIndex);
    this.#tell(link.name);
  }

  indexOf(name: string): number | undefined {
    return this.#indexes.get(name);
  }

  /** One of its addresses has changed. */
  addressChanged(name: string): void {
    this.#tell(name);
  }

  /** With everything that hangs on it, as the kernel does it. */
  remove(name: string): void {
    if (!this.links.delete(name)) return;
    this.fdb.delete(name);
    this.#indexes.delete(name);
    this.onRemoved(name);
    this.#tell(name);
    for (const link of [...this.links.values()]) {
      if (link.master === name) this.change(link.name, { master: undefined });
      if (link.vxlan?.device === name || link.vlan?.device === name) this.remove(link.name);
    }
  }

  change(name: string, facts: Partial<HostLink>): void {
    const link = this.links.get(name);
    if (link === undefined) return;
    Object.assign(link, facts);
    this.#tell(name);
  }

  /** The host booted: only what is built in is there. */
  reset(): void {
    for (const name of [...this.links.keys()]) if (!name.startsWith('eth')) this.remove(name);
    this.bridgesFiltered = true;
  }

  snapshot(devices: readonly string[]): HostLinks {
    const fdb = devices.flatMap((device) => (this.links.get(device)?.vxlan === undefined ? [] : [[device, [...(this.fdb.get(device) ?? [])]] as const]));
    return { links: new Map([...this.links].map(([name, link]) => [name, { ...link }])), fdb: new Map(fdb), ipv6: true };
  }

  /** @returns the kernel's refusal; undefined when it is done. */
  apply(change: LinkChange): string | undefined {
    const name = 'name' in change ? change.name : change.device;
    if (this.refused.has(name)) return 'Operation not permitted';
    const isMaking = change.do.startsWith('add-') && !isForwarding(change);
    if (isMaking && this.links.has(name)) return 'RTNETLINK answers: File exists';
    if (!isMaking && !this.links.has(name)) return `Cannot find device "${name}"`;
    const refusal = this.#apply(change);
    if (refusal === undefined) this.changes += 1;
    return refusal;
  }

  #apply(change: LinkChange): string | undefined {
    switch (change.do) {
      case 'add-bridge':
        return void this.put({ name: change.name, kind: 'bridge', ours: true, mtu: change.mtu, mac: change.mac, bridge: { stp: false, forwardDelay: 0, mcastSnooping: false } });
      case 'add-vxlan': {
        const { name, vni, local, device, mtu } = change;
        if (!this.links.has(device)) return `Cannot find device "${device}"`;
        return void this.put({ name, kind: 'vxlan', ours: true, mtu, vxlan: { vni, local, device, port: VXLAN_PORT, learning: true } });
      }
      case 'add-vlan':
        if (!this.links.has(change.device)) return `Cannot find device "${change.device}"`;
        return void this.put({ name: change.name, kind: 'vlan', ours: true, mtu: change.mtu, vlan: { id: change.id, device: change.device } });
      case 'set-master':
        if (!this.links.has(change.master)) return 'Error: argument "master" is wrong: Device does not exist';
        return void this.change(change.name, { master: change.master });
      default:
        return this.#applySmall(change);
    }
  }

  #applySmall(change: Exclude<LinkChange, { do: 'add-bridge' | 'add-vxlan' | 'add-vlan' | 'set-master' }>): string | undefined {
    switch (change.do) {
      case 'remove':
        return void this.remove(change.name);
      case 'set-bridge':
        return void this.change(change.name, { bridge: { stp: false, forwardDelay: 0, mcastSnooping: false } });
      case 'silence':
        return void this.change(change.name, { ipv6: false });
      case 'set-mtu':
        return void this.change(change.name, { mtu: change.mtu });
      case 'set-up':
        return void this.change(change.name, { up: true });
      case 'add-flood':
      case 'set-mac':
      case 'remove-flood':
      case 'remove-mac':
        return this.#applyForwarding(change);
    }
  }

  #applyForwarding(change: Extract<LinkChange, { device: string; do: 'add-flood' | 'set-mac' | 'remove-flood' | 'remove-mac' }>): string | undefined {
    const entries = this.fdb.get(change.device) ?? [];
    const isSame = (entry: FdbEntry): boolean =>
      change.do === 'add-flood' || change.do === 'remove-flood' ? entry.kind === 'flood' && entry.dst === change.dst : entry.kind !== 'flood' && entry.mac === change.mac;
    const others = entries.filter((entry) => !isSame(entry));
    if (change.do === 'add-flood') others.push({ mac: '00:00:00:00:00:00', dst: change.dst, kind: 'flood' });
    else if (change.do === 'set-mac') others.push({ mac: change.mac, dst: change.dst, kind: 'told' });
    else if (others.length === entries.length) return 'RTNETLINK answers: No such file or directory';
    this.fdb.set(change.device, others);
    return undefined;
  }

  #tell(name: string): void {
    this.#clock.after(EVENT_DELAY_MS, () => {
      for (const listener of [...this.listeners]) listener(name);
    });
  }
}

/** One daemon's driver of a simulated host's links: dies with its daemon, in the middle of a batch too. */
export class SimulatedLinkDriver implements LinkDriver {
  /** What each line of a batch takes; longer ones let a test kill the daemon between two. */
  lineMs = LINE_MS;
  readonly #links: SimulatedLinks;
  readonly #clock: Clock;
  readonly #listeners = new Set<LinkListener>();
  readonly #tell = (name: string): void => {
    for (const listener of [...this.#listeners]) listener.link?.(name);
  };
  #killed = false;

  constructor(links: SimulatedLinks, clock: Clock) {
    this.#links = links;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#links.listeners.add(this.#tell);
  }

  async stop(): Promise<void> {
    this.#links.listeners.delete(this.#tell);
  }

  kill(): void {
    this.#killed = true;
    void this.stop();
  }

  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async list(devices: readonly string[]): Promise<HostLinks> {
    await this.#after(CALL_MS);
    return this.#links.snapshot(devices);
  }

  async apply(changes: readonly LinkChange[]): Promise<readonly LinkFailure[]> {
    const failures: LinkFailure[] = [];
    await this.#after(CALL_MS);
    for (const change of changes) {
      await this.#after(this.lineMs);
      const why = this.#links.apply(change);
      if (why !== undefined) failures.push({ change, why });
    }
    return failures;
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#after(CALL_MS);
    for (const name of names) {
      await this.#after(this.lineMs);
      this.#links.remove(name);
    }
  }

  async keepBridgesOutOfFilter(): Promise<boolean> {
    await this.#after(CALL_MS);
    const had = this.#links.bridgesFiltered;
    this.#links.bridgesFiltered = false;
    return had;
  }

  async #after(durationMs: number): Promise<void> {
    await new Promise<void>((resolve) => void this.#clock.after(durationMs, resolve));
    if (this.#killed) await never();
  }
}

/** A link driver whose changes are numbered points. */
export function withLinkFaults(driver: LinkDriver, points: FaultPoints): LinkDriver {
  return {
    start: (signal) => driver.start(signal),
    stop: () => driver.stop(),
    list: (devices) => driver.list(devices),
    apply: (changes) => (changes.length === 0 ? driver.apply(changes) : points.pass('links.apply', () => driver.apply(changes))),
    remove: (names) => (names.length === 0 ? driver.remove(names) : points.pass('links.remove', () => driver.remove(names))),
    keepBridgesOutOfFilter: () => driver.keepBridgesOutOfFilter(),
    listen: (listener) => driver.listen(listener),
  };
}
