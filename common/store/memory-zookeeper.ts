import type { Clock, Timer } from '../clock.ts';
import { AppError } from '../errors.ts';
import { MemoryTree } from './memory-tree.ts';

/** The client's side of a connection, as the ensemble sees it. */
export interface MemoryClient {
  readonly name: string;
  /** The connection broke; every call that had no answer has failed. */
  suspended(): void;
  /** The same session is connected again; its watches are gone. */
  resumed(): void;
  /** The session is over. The client may open another. */
  expired(): void;
  watched(kind: 'document' | 'children', path: string): void;
}

export interface MemoryZooKeeperOptions {
  clock: Clock;
  /** How long a session outlives its connection, in milliseconds. */
  sessionTimeoutMs?: number;
  /** Time that a message takes in one direction, asked for each message; messages of one connection never overtake each other. */
  latencyMs?: () => number;
}

/** One request: `apply` runs at the ensemble, when the request arrives there. */
export interface MemoryRequest<T> {
  readonly write: boolean;
  readonly apply: (tree: MemoryTree, session: number) => T;
}

export interface MemoryWatch {
  readonly kind: 'document' | 'children';
  readonly path: string;
}

const SESSION_TIMEOUT_DEFAULT_MS = 10_000;

/**
 * A ZooKeeper ensemble in memory, with the faults that a simulation injects. Without latency everything is done in the
 * microtasks after the call; with latency in the order of the clock's timers. Never a real timer, never a random choice of its own.
 */
export class MemoryZooKeeper {
  readonly sessionTimeoutMs: number;
  readonly #clock: Clock;
  readonly #latencyMs: () => number;
  readonly #tree: MemoryTree;
  readonly #links = new Map<string, Link>();
  readonly #crashed = new WeakSet<MemoryClient>();
  readonly #watches = { document: new Map<string, Set<Link>>(), children: new Map<string, Set<Link>>() };
  #sessionCount = 0;
  #outage = false;

  constructor(options: MemoryZooKeeperOptions) {
    this.sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_DEFAULT_MS;
    this.#clock = options.clock;
    this.#latencyMs = options.latencyMs ?? (() => 0);
    this.#tree = new MemoryTree((kind, path) => this.#fire(kind, path));
  }

  /** Cuts a client off: its session is suspended at once, and ends at the ensemble after the session timeout. */
  partition(name: string): void {
    const link = this.#link(name);
    if (link.partitioned) return;
    link.partitioned = true;
    this.#disconnect(link);
  }

  /** Ends the partition: the client goes on with its session, or learns that it has expired. */
  heal(name: string): void {
    const link = this.#link(name);
    link.partitioned = false;
    this.#reconnect(link);
  }

  /** Ends a session at the ensemble now. A connected client learns it at once, a partitioned one when it is healed. */
  expire(name: string): void {
    const link = this.#link(name);
    if (link.session === undefined) return;
    this.#endSession(link);
    if (!this.#isCut(link)) this.#tellExpired(link);
  }

  /** The answer to the next write of a client is lost: it fails with 'unknown-outcome', and was done or not, as told. */
  loseReply(name: string, outcome: 'done' | 'not-done'): void {
    this.#link(name).losses.push(outcome);
  }

  /** The ensemble has no quorum: every client is suspended, and no session expires meanwhile (a new leader starts all timeouts anew). */
  startOutage(): void {
    if (this.#outage) return;
    this.#outage = true;
    for (const link of this.#links.values()) {
      this.#disconnect(link);
      link.expiry?.cancel();
    }
  }

  endOutage(): void {
    this.#outage = false;
    for (const link of [...this.#links.values()]) {
      if (link.partitioned || link.client === undefined) this.#startExpiry(link);
      this.#reconnect(link);
    }
  }

  /**
   * The client's process is dead: it gets no answer and no event any more, and its session ends by its timeout.
   * Its calls never settle, so that its code does not run on as no dead process would.
   */
  crash(name: string): void {
    const link = this.#link(name);
    if (link.client !== undefined) this.#crashed.add(link.client);
    link.client = undefined;
    link.pending.clear();
    this.#disconnect(link);
  }

  /** The ensemble's last transaction. */
  get zxid(): number {
    return this.#tree.zxid;
  }

  /** What the ensemble itself holds now, past every client; for the checks of a simulation. */
  peek(path: string): { text: string; version: number; modifiedZxid: number; children: readonly string[] } | undefined {
    const found = this.#tree.get(path);
    return found && { text: found.text, version: found.version, modifiedZxid: found.modifiedZxid, children: [...found.children].sort() };
  }

  /** Forgets a client's watches without a word, which no ensemble should do: what an audit has to find. */
  dropWatches(name: string): void {
    this.#dropWatches(this.#link(name));
  }

  /** Names of the clients with a session. */
  sessions(): readonly string[] {
    return [...this.#links.values()].filter((link) => link.session !== undefined).map((link) => link.name);
  }

  /** Watches that stand, for tests of leaks. */
  watchCount(): number {
    const sizes = [this.#watches.document, this.#watches.children].flatMap((map) => [...map.values()].map((links) => links.size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /**
   * Opens a session for a client; resolves when it has one, as soon as it is not cut off.
   * A client of a name that crashed takes over the name, not the session: that one ends by its own timeout.
   */
  attach(client: MemoryClient): { connected: boolean } {
    const before = this.#links.get(client.name);
    const link = new Link(client.name, client);
    if (before !== undefined) {
      link.partitioned = before.partitioned;
      this.#links.set(`${client.name}#${before.session ?? 'ended'}`, before);
    }
    this.#links.set(client.name, link);
    return { connected: this.#open(link) };
  }

  /** Closes a session in order: its ephemerals go at once, unless the client is cut off. */
  detach(client: MemoryClient): void {
    const link = this.#linkOf(client);
    if (link === undefined) return;
    link.fail();
    link.client = undefined;
    if (this.#isCut(link)) this.#startExpiry(link);
    else this.#endSession(link);
  }

  /** Opens another session after the last one expired. @returns false while the client is cut off. */
  reopen(client: MemoryClient): boolean {
    const link = this.#linkOf(client);
    return link !== undefined && this.#open(link);
  }

  /** Sends one request and resolves with its answer. A watch is set in the same step as the read. */
  request<T>(client: MemoryClient, request: MemoryRequest<T>, watch?: (result: T) => MemoryWatch | undefined): Promise<T> {
    if (this.#crashed.has(client)) return new Promise<T>(() => undefined);
    const link = this.#linkOf(client);
    if (link?.session === undefined || this.#isCut(link)) return Promise.reject(unavailable());
    const session = link.session;
    return new Promise<T>((resolve, reject) => {
      const pending = { fail: () => reject(request.write ? unknownOutcome() : unavailable()) };
      link.pending.add(pending);
      const answer = (settle: () => void): void => {
        this.#send(link.outbound, () => {
          if (link.pending.delete(pending)) settle();
        });
      };
      this.#send(link.inbound, () => {
        if (!link.pending.has(pending) || link.session !== session) return;
        const lost = request.write ? link.losses.shift() : undefined;
        if (lost === 'not-done') return answer(pending.fail);
        try {
          const result = request.apply(this.#tree, session);
          this.#watch(link, watch?.(result));
          answer(lost === 'done' ? pending.fail : () => resolve(result));
        } catch (error) {
          answer(() => reject(error instanceof Error ? error : new AppError('bug', 'unexpected error', {}, { cause: error })));
        }
      });
    });
  }

  #open(link: Link): boolean {
    if (this.#isCut(link)) return false;
    link.session = ++this.#sessionCount;
    return true;
  }

  #disconnect(link: Link): void {
    link.fail();
    // The real ones sometimes survive; who relies on it fails here.
    this.#dropWatches(link);
    this.#startExpiry(link);
    link.client?.suspended();
  }

  #reconnect(link: Link): void {
    const client = link.client;
    if (this.#isCut(link) || client === undefined) return;
    link.expiry?.cancel();
    if (link.session === undefined) {
      this.#tellExpired(link);
      return;
    }
    client.resumed();
  }

  #startExpiry(link: Link): void {
    link.expiry?.cancel();
    if (link.session === undefined || this.#outage) return;
    link.expiry = this.#clock.after(this.sessionTimeoutMs, () => this.#endSession(link));
  }

  #endSession(link: Link): void {
    link.expiry?.cancel();
    const session = link.session;
    link.session = undefined;
    this.#dropWatches(link);
    if (session !== undefined) this.#tree.removeOwnedBy(session);
  }

  #dropWatches(link: Link): void {
    for (const map of [this.#watches.document, this.#watches.children]) for (const links of map.values()) links.delete(link);
  }

  #tellExpired(link: Link): void {
    link.fail();
    link.client?.expired();
  }

  #watch(link: Link, watch: MemoryWatch | undefined): void {
    if (watch === undefined) return;
    const map = this.#watches[watch.kind];
    const links = map.get(watch.path) ?? new Set();
    map.set(watch.path, links.add(link));
  }

  #fire(kind: 'document' | 'children', path: string): void {
    const links = this.#watches[kind].get(path);
    if (links === undefined) return;
    this.#watches[kind].delete(path);
    for (const link of links) this.#tellWatch(link, { kind, path });
  }

  #tellWatch(link: Link, watch: MemoryWatch): void {
    const session = link.session;
    this.#send(link.outbound, () => {
      if (link.session === session && !this.#isCut(link)) link.client?.watched(watch.kind, watch.path);
    });
  }

  /** Each message triggers the oldest of its channel, so that none overtakes another. */
  #send(channel: Channel, deliver: () => void): void {
    const nowMs = this.#clock.monotonicMs();
    channel.lastMs = Math.max(channel.lastMs, nowMs + this.#latencyMs());
    channel.messages.push(deliver);
    const next = (): void => channel.messages.shift()?.();
    if (channel.lastMs <= nowMs) queueMicrotask(next);
    else this.#clock.after(channel.lastMs - nowMs, next);
  }

  #isCut(link: Link): boolean {
    return link.partitioned || this.#outage;
  }

  #link(name: string): Link {
    const link = this.#links.get(name);
    if (link === undefined) throw new AppError('not-found', 'no such client', { name });
    return link;
  }

  #linkOf(client: MemoryClient): Link | undefined {
    const link = this.#links.get(client.name);
    return link?.client === client ? link : undefined;
  }
}

interface Channel {
  readonly messages: (() => void)[];
  lastMs: number;
}

/** One client's connection and session. */
class Link {
  readonly name: string;
  client: MemoryClient | undefined;
  session: number | undefined = undefined;
  partitioned = false;
  expiry: Timer | undefined = undefined;
  readonly losses: ('done' | 'not-done')[] = [];
  readonly pending = new Set<{ fail: () => void }>();
  readonly inbound: Channel = { messages: [], lastMs: 0 };
  readonly outbound: Channel = { messages: [], lastMs: 0 };

  constructor(name: string, client: MemoryClient) {
    this.name = name;
    this.client = client;
  }

  /** Fails every call that has no answer yet. */
  fail(): void {
    const calls = [...this.pending];
    this.pending.clear();
    for (const call of calls) call.fail();
  }
}

function unavailable(): AppError {
  return new AppError('unavailable', 'store is not connected');
}

function unknownOutcome(): AppError {
  return new AppError('unknown-outcome', 'connection was lost before the answer came');
}
