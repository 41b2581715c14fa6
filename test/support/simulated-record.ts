import { z } from 'zod';
import type { VmId } from '../../common/ids.ts';
import { RESOURCES, type Doc, type Kind } from '../../common/schema/resources.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import type { SimulatedHost, SimulatedHosts } from './simulated-hosts.ts';

/** One thing that happened, of a kind that tests compare. */
export const simulationEvent = z.strictObject({
  atMs: z.number().optional(),
  event: z.enum(['guest', 'owner', 'phase', 'place', 'domains', 'coordinator', 'lease', 'presence', 'address', 'answer', 'task', 'migration', 'vm', 'name', 'power', 'server', 'dhcp-lease']),
  node: z.string().optional(),
  id: z.string().optional(),
  from: z.string().nullable().optional(),
  to: z.string().nullable().optional(),
});
export type SimulationEvent = z.infer<typeof simulationEvent>;

const FOLLOWED = ['vm', 'vm-status', 'vm-name', 'node', 'node-status', 'presence', 'lease', 'task', 'network', 'network-status', 'network-acl', 'dhcp-reservation', 'dhcp-lease'] as const satisfies readonly Kind[];
type Followed = (typeof FOLLOWED)[number];

/** A start or a move that is taken back ends within this. */
const OVERCOMMIT_MAX_MS = 1_000;

/** Sees every write at the ensemble itself and every change of a host, and checks what must never be. */
export class SimulationRecord {
  readonly events: SimulationEvent[] = [];
  readonly violations: string[] = [];
  readonly names = new Map<string, string>();
  /** Uuids whose definition was acknowledged and whose removal was not asked for. */
  readonly defined = new Set<string>();
  readonly #zookeeper: MemoryZooKeeper;
  readonly #hosts: SimulatedHosts;
  readonly #nowMs: () => number;
  readonly #docs = new Map<string, { modifiedZxid: number; doc: unknown }>();
  /** Every text that a VM's document has had. */
  readonly #history = new Map<string, Set<string>>();
  #seenZxid = -1;
  readonly #overcommittedMs = new Map<string, number>();
  readonly #fromMs: { value: number } = { value: 0 };

  constructor(deps: { zookeeper: MemoryZooKeeper; hosts: SimulatedHosts; nowMs: () => number }) {
    this.#zookeeper = deps.zookeeper;
    this.#hosts = deps.hosts;
    this.#nowMs = deps.nowMs;
    deps.hosts.listeners.add({
      guest: (host, uuid, from, to) => this.#onGuest(host, uuid, from, to),
      address: (host, cidr, held) => this.#onAddress(host, cidr, held),
      server: (host, id, what) => this.add({ event: 'server', node: host.name, id, to: what }),
    });
  }

  /** What happened so far was preparation. */
  begin(): void {
    this.events.length = 0;
    this.#fromMs.value = this.#nowMs();
  }

  nameOf(uuid: string): string {
    return this.names.get(uuid) ?? uuid;
  }

  add(event: SimulationEvent): void {
    this.events.push({ atMs: Math.round(this.#nowMs() - this.#fromMs.value), ...event });
  }

  violate(what: string): void {
    this.violations.push(`${Math.round(this.#nowMs() - this.#fromMs.value)} ms: ${what}`);
  }

  /** The document as the ensemble has it. */
  doc<K extends Followed>(kind: K, id: string): Doc<K> | undefined {
    return this.#docs.get(`${RESOURCES[kind].root}/${id}`)?.doc as Doc<K> | undefined;
  }

  all<K extends Followed>(kind: K): Doc<K>[] {
    const root = `${RESOURCES[kind].root}/`;
    return [...this.#docs].filter(([path]) => path.startsWith(root)).map(([, held]) => held.doc as Doc<K>);
  }

  /** Whether the VM's document has ever been this one. */
  wasWritten(uuid: string, doc: unknown): boolean {
    return this.#history.get(uuid)?.has(stable(doc)) === true;
  }

  /** Looks at everything; after each event of the clock. */
  observe(): void {
    const { zxid } = this.#zookeeper;
    if (zxid !== this.#seenZxid) {
      this.#seenZxid = zxid;
      for (const kind of FOLLOWED) this.#follow(kind);
      for (const uuid of this.defined) if (this.doc('vm', uuid) === undefined) this.violate(`the acknowledged VM ${this.nameOf(uuid)} is lost`);
      for (const status of this.all('node-status')) this.#checkFlushed(status);
    }
    for (const host of this.#hosts.all()) this.#checkMemory(host);
    if (this.violations.length > 0) throw new Error(`invariant violated:\n${this.violations.join('\n')}\n${this.tail()}`);
  }

  tail(count = 60): string {
    return this.events.slice(-count).map((event) => JSON.stringify(event)).join('\n');
  }

  #follow(kind: Followed): void {
    const { root } = RESOURCES[kind];
    const present = new Set(this.#zookeeper.peek(root)?.children ?? []);
    for (const id of present) {
      const path = `${root}/${id}`;
      const entry = this.#zookeeper.peek(path);
      const held = this.#docs.get(path);
      if (entry === undefined || held?.modifiedZxid === entry.modifiedZxid) continue;
      const doc: unknown = JSON.parse(entry.text);
      this.#docs.set(path, { modifiedZxid: entry.modifiedZxid, doc });
      this.#changed(kind, id, held?.doc, doc);
    }
    for (const [path, held] of this.#docs) {
      if (!path.startsWith(`${root}/`) || present.has(path.slice(root.length + 1))) continue;
      this.#docs.delete(path);
      this.#changed(kind, path.slice(root.length + 1), held.doc, undefined);
    }
  }

  #changed(kind: Followed, id: string, before: unknown, after: unknown): void {
    switch (kind) {
      case 'vm':
        return this.#onVm(id, before as Doc<'vm'> | undefined, after as Doc<'vm'> | undefined);
      case 'vm-status':
        return this.#onStatus(id, before as Doc<'vm-status'> | undefined, after as Doc<'vm-status'> | undefined);
      case 'node-status':
        return this.#onNode(id, before as Doc<'node-status'> | undefined, after as Doc<'node-status'> | undefined);
      case 'vm-name':
        return this.#differs({ event: 'name', id }, there(before, 'taken'), there(after, 'taken'));
      case 'presence':
        return this.#differs({ event: 'presence', node: id }, there(before, 'alive'), there(after, 'alive'));
      case 'lease':
        return this.#differs({ event: 'lease', id }, (before as Doc<'lease'> | undefined)?.node, (after as Doc<'lease'> | undefined)?.node);
      case 'task':
        return this.#differs({ event: 'task', id }, (before as Doc<'task'> | undefined)?.state, (after as Doc<'task'> | undefined)?.state);
      case 'dhcp-lease':
        return this.#differs({ event: 'dhcp-lease', id }, leased(before as Doc<'dhcp-lease'> | undefined), leased(after as Doc<'dhcp-lease'> | undefined));
      case 'node':
      case 'network':
      case 'network-status':
      case 'network-acl':
      case 'dhcp-reservation':
        return;
    }
  }

  #onVm(id: string, before: Doc<'vm'> | undefined, after: Doc<'vm'> | undefined): void {
    if (after !== undefined) {
      this.names.set(id, after.name);
      this.#history.set(id, (this.#history.get(id) ?? new Set()).add(stable(after)));
    }
    const name = this.nameOf(id);
    if (before === undefined || after === undefined) this.#differs({ event: 'vm', id: name }, there(before, 'defined'), there(after, 'defined'));
    this.#differs({ event: 'place', id: name }, before?.node, after?.node);
    if (before !== undefined && after !== undefined && before.power.generation !== after.power.generation) this.add({ event: 'power', id: name, to: after.power.action });
  }

  #onStatus(id: string, before: Doc<'vm-status'> | undefined, after: Doc<'vm-status'> | undefined): void {
    const name = this.nameOf(id);
    this.#differs({ event: 'owner', id: name }, before?.owner ?? null, after?.owner ?? null);
    this.#differs({ event: 'phase', id: name }, describePhase(before), describePhase(after));
    const [old, last] = [before?.lastMigration, after?.lastMigration];
    if (last != null && last.error !== 'interrupted' && JSON.stringify(last) !== JSON.stringify(old)) {
      this.add({ event: 'migration', id: name, from: last.from, to: `${last.to} ${last.outcome}` });
    }
    if (before !== undefined && after !== undefined && after.epoch < before.epoch) this.violate(`the epoch of ${name} went back`);
  }

  #onNode(id: string, before: Doc<'node-status'> | undefined, after: Doc<'node-status'> | undefined): void {
    this.#differs({ event: 'domains', node: id }, before?.domains.state, after?.domains.state);
    this.#differs({ event: 'coordinator', node: id }, before?.coordinatorState, after?.coordinatorState);
  }

  #differs(event: SimulationEvent, from: string | null | undefined, to: string | null | undefined): void {
    if ((from ?? null) !== (to ?? null)) this.add({ ...event, from: from ?? null, to: to ?? null });
  }

  #checkFlushed(status: Doc<'node-status'>): void {
    const wish = this.doc('node', status.name)?.domains;
    if (status.domains.state !== 'flushed' || wish?.wish !== 'flush' || wish.generation !== status.domains.generation) return;
    for (const [path, held] of this.#docs) {
      if (!path.startsWith(`${RESOURCES['vm-status'].root}/`) || (held.doc as Doc<'vm-status'>).owner !== status.name) continue;
      this.violate(`${status.name} says that it is flushed and owns ${this.nameOf(path.split('/').at(-1) ?? '')}`);
    }
  }

  #onGuest(host: SimulatedHost, uuid: VmId, from: string, to: string): void {
    this.add({ event: 'guest', node: host.name, id: this.nameOf(uuid), from, to });
    const running = this.#hosts.all().filter((other) => runs(other, uuid));
    if (running.length > 1) this.violate(`${this.nameOf(uuid)} runs on ${running.map((other) => other.name).join(' and ')}`);
  }

  /** Who has placed a VM looks again at once: for that long, two may have the same room. */
  #checkMemory(host: SimulatedHost): void {
    const allocatedMib = host.allocatedMib();
    if (allocatedMib <= host.memoryMib) {
      this.#overcommittedMs.delete(host.name);
      return;
    }
    const sinceMs = this.#overcommittedMs.get(host.name) ?? this.#nowMs();
    this.#overcommittedMs.set(host.name, sinceMs);
    if (this.#nowMs() - sinceMs > OVERCOMMIT_MAX_MS) this.violate(`${host.name} has ${host.memoryMib} MiB and gave away ${allocatedMib}`);
  }

  #onAddress(host: SimulatedHost, cidr: string, held: boolean): void {
    this.add({ event: 'address', node: host.name, id: cidr, to: held ? 'held' : 'gone' });
    this.#checkAddress(cidr);
  }

  #checkAddress(cidr: string): void {
    const holders = this.#hosts.all().filter((other) => other.addresses.has(cidr));
    if (holders.length > 1) this.violate(`${cidr} is on ${holders.map((other) => other.name).join(' and ')}`);
  }
}

/** Its processors run: neither incoming nor paused. */
export function runs(host: SimulatedHost, uuid: string): boolean {
  const domain = [...host.domains.values()].find((candidate) => candidate.uuid === uuid);
  return domain !== undefined && domain.ours && !domain.incoming && (domain.state === 'running' || domain.state === 'shutting-down');
}

/** The addresses that are given out. */
function leased(leases: Doc<'dhcp-lease'> | undefined): string | undefined {
  return leases === undefined ? undefined : [...leases.ip4, ...leases.ip6].map(({ address }) => address).join();
}

function there(doc: unknown, word: string): string | undefined {
  return doc === undefined ? undefined : word;
}

function describePhase(status: Doc<'vm-status'> | undefined): string | undefined {
  const phase = status?.phase;
  if (phase === undefined) return undefined;
  if (phase.kind === 'shutting-down') return `shutting-down:${phase.next}`;
  return phase.kind === 'migrating' ? `migrating:${phase.target}` : phase.kind;
}

/** Text that does not depend on the order of keys. */
function stable(value: unknown): string {
  const sorted = (_key: string, inner: unknown): unknown =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner;
  return JSON.stringify(value, sorted);
}
