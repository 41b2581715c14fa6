import type { NetworkStatus } from '../common/schema/network.ts';
import type { ApiMirroredKind } from '../common/schema/resources.ts';
import type { ApiMirror } from './cluster.ts';

/** What a client can follow. */
export const EVENT_KINDS = ['vm', 'node', 'network', 'task'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** "This one has changed": a reader shows it as it is when it is sent. */
export interface ClusterEvent {
  /** Position in the ring's whole history, from 1. */
  readonly sequence: number;
  /** ZooKeeper's transaction, never less than that of the event before: what a reader has seen up to. */
  readonly zxid: number;
  readonly kind: EventKind;
  readonly id: string;
}

/** Events kept for those who come back; a reader that is further behind starts afresh. */
const RING_MAX = 20_000;

/** The documents that each kind of event stands for. */
const SHOWN_AS: Partial<Record<ApiMirroredKind, EventKind>> = {
  vm: 'vm',
  'vm-status': 'vm',
  node: 'node',
  'node-status': 'node',
  presence: 'node',
  network: 'network',
  'network-acl': 'network',
  'dhcp-reservation': 'network',
  task: 'task',
};

/** The last changes of the mirror, in the order in which it saw them. */
export class EventRing {
  readonly #mirror: ApiMirror;
  readonly #max: number;
  readonly #listeners = new Set<() => void>();
  #events: ClusterEvent[] = [];
  #lastSequence = 0;
  #lastZxid = 0;
  /** A reader that has seen everything up to this can be served from the ring. */
  #floorZxid = 0;
  #unlisten: (() => void) | undefined;
  /** What each node last said of its networks. */
  readonly #onNodes = new Map<string, NetworkStatus>();

  constructor(deps: { mirror: ApiMirror; max?: number }) {
    this.#mirror = deps.mirror;
    this.#max = deps.max ?? RING_MAX;
  }

  /** The mirror must be loaded: what it holds then is not news. */
  start(): void {
    if (this.#unlisten !== undefined) return;
    for (const kind of ['vm', 'vm-status', 'node', 'node-status', 'presence', 'network', 'network-acl', 'dhcp-reservation', 'network-status', 'task'] as const) {
      for (const { modifiedZxid } of this.#mirror.all(kind).values()) this.#lastZxid = Math.max(this.#lastZxid, modifiedZxid);
    }
    for (const [node, { doc }] of this.#mirror.all('network-status')) this.#onNodes.set(node, doc);
    this.#floorZxid = this.#lastZxid;
    this.#unlisten = this.#mirror.onChange((kind, id) => this.#add(kind, id));
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
  }

  /** Sequence of the newest event; 0 before the first. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** What a reader that starts now has seen up to. */
  get lastZxid(): number {
    return this.#lastZxid;
  }

  /** The event with this sequence; undefined when it is not there yet, 'lost' when it is no longer kept. */
  at(sequence: number): ClusterEvent | 'lost' | undefined {
    if (sequence > this.#lastSequence) return undefined;
    const index = sequence - (this.#lastSequence - this.#events.length + 1);
    return this.#events[index] ?? 'lost';
  }

  /**
   * The sequence from which a reader goes on whose last event had this zxid; undefined when the ring does not reach back so far.
   * Events can share a zxid, so the reader may get some again.
   */
  resumeAt(zxid: number): number | undefined {
    if (zxid < this.#floorZxid) return undefined;
    const next = this.#events.find((event) => event.zxid >= zxid);
    return next?.sequence ?? this.#lastSequence + 1;
  }

  /** Called after each event. @returns the function that ends it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #add(kind: ApiMirroredKind, id: string): void {
    const zxid = this.#mirror.get(kind, id)?.modifiedZxid ?? 0;
    const shown = SHOWN_AS[kind];
    if (shown !== undefined) this.#push(shown, id, zxid);
    else if (kind === 'network-status') for (const vni of this.#changedOn(id)) this.#push('network', String(vni), zxid);
    else return;
    for (const listener of this.#listeners) listener();
  }

  #push(kind: EventKind, id: string, zxid: number): void {
    this.#lastSequence += 1;
    this.#lastZxid = Math.max(this.#lastZxid, zxid);
    this.#events.push({ sequence: this.#lastSequence, zxid: this.#lastZxid, kind, id });
    if (this.#events.length > this.#max * 2) this.#cut();
  }

  /** A node tells of all its networks in one document: those of which it says something else than before. */
  #changedOn(node: string): number[] {
    const before = this.#onNodes.get(node)?.networks ?? [];
    const now = this.#mirror.get('network-status', node)?.doc;
    if (now === undefined) this.#onNodes.delete(node);
    else this.#onNodes.set(node, now);
    const texts = new Map(before.map((one) => [one.vni, JSON.stringify(one)]));
    const changed = (now?.networks ?? []).filter((one) => texts.get(one.vni) !== JSON.stringify(one)).map((one) => one.vni);
    const gone = before.filter((one) => now?.networks.every((other) => other.vni !== one.vni) ?? true).map((one) => one.vni);
    return [...changed, ...gone];
  }

  /** Half at a time, so that it costs one copy per event on average. */
  #cut(): void {
    this.#floorZxid = (this.#events[this.#events.length - this.#max - 1]?.zxid ?? this.#lastZxid) + 1;
    this.#events = this.#events.slice(-this.#max);
  }
}
