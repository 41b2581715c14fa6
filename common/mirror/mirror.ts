import type { Clock, Timer } from '../clock.ts';
import { AppError, describeError, isAppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { nameOf, parentOf } from '../store/codec.ts';
import type { Entry, SessionState, Store } from '../store/store.ts';
import { Collection } from './collection.ts';
import { Fetcher } from './fetcher.ts';
import type { DocOf, KindOf, MirrorEntry, ResourceTable } from './resource-table.ts';
import { Waiters, type WaitLimit } from './waiters.ts';

/** Reads in flight at once, over all kinds: enough to fill the connection, few enough not to delay a write by more than some milliseconds. */
const IN_FLIGHT_MAX = 256;

/** Wait before a failed read is repeated; a lost connection causes a full reload anyway. */
const RETRY_MS = 500;

/**
 * Rest after a large list was read, as a multiple of the time that it took, and at most: listing 10,000 names takes tens of milliseconds,
 * and a stream of creations must not make that the whole work of the process.
 */
const LIST_LARGE = 1_000;
const LIST_REST_FACTOR = 2;
const LIST_REST_MAX_MS = 1_000;

/** What `caughtUp` waits on; the waits on documents are by path. */
const CAUGHT_UP = 'caught up';

/** Only enqueues: it is called in the middle of the mirror's own work. */
export type ChangeListener<K extends string> = (kind: K, id: string) => void;

export interface MirrorOptions<T extends ResourceTable, K extends KindOf<T>> {
  readonly store: Store;
  readonly table: T;
  readonly kinds: readonly K[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** The watched, validated, in-memory copy of the documents of some kinds. */
export class Mirror<T extends ResourceTable, K extends KindOf<T>> {
  readonly kinds: readonly K[];
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #collections: ReadonlyMap<string, { kind: K; collection: Collection }>;
  readonly #byRoot: ReadonlyMap<string, { kind: K; collection: Collection }>;
  readonly #fetcher: Fetcher;
  readonly #waiters: Waiters;
  readonly #changeListeners = new Set<ChangeListener<K>>();
  readonly #freshnessListeners = new Set<(fresh: boolean) => void>();
  /** Since when the mirror may lack changes: 'never' read yet, or a time of the monotonic clock, or undefined while it is fresh. */
  #staleSince: number | 'never' | undefined = 'never';
  /** Paths that have to be read before the mirror is fresh. Changes that come meanwhile do not count, so a storm does not put it off. */
  readonly #unread = new Set<string>();
  /** Folders whose list was just read, and whether they changed since. */
  readonly #resting = new Map<string, { readonly timer: Timer; changed: boolean }>();
  /** Paths that somebody waits for and that were being read when he came: read again if that did not bring it. */
  readonly #lookedFor = new Set<string>();
  /** Paths that were being read when an own write was acknowledged, and of which no later change was told: the read brings nothing new. */
  readonly #overtaken = new Set<string>();
  /** For each call of `caughtUp` what it still waits for. */
  readonly #fences = new Set<Set<string>>();
  #loading: { resolve: () => void; reject: (error: AppError) => void } | undefined;
  #unlisten: (() => void) | undefined;
  #started: Promise<void> | undefined;

  constructor(options: MirrorOptions<T, K>) {
    const { store, table, kinds, clock, log } = options;
    this.kinds = kinds;
    this.#store = store;
    this.#clock = clock;
    this.#log = log.child({ part: 'mirror' });
    const entries = kinds.map((kind) => ({ kind, collection: collectionOf(table, kind) }));
    this.#collections = new Map(entries.map((entry) => [entry.kind, entry]));
    this.#byRoot = new Map(entries.map((entry) => [entry.collection.root, entry]));
    this.#waiters = new Waiters(clock);
    this.#fetcher = new Fetcher({
      clock,
      inFlightMax: IN_FLIGHT_MAX,
      retryMs: RETRY_MS,
      fetch: (path) => this.#fetch(path),
      failed: (path, error) => this.#failed(path, error),
      ended: (path) => this.#ended(path),
    });
  }

  /** Reads everything, and resolves when it is there. The store must be started. Safe to call twice. */
  start(signal: AbortSignal): Promise<void> {
    this.#started ??= this.#load(signal);
    return this.#started;
  }

  /** Ends the watching and every wait; what was read stays readable. */
  async stop(): Promise<void> {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#stopFetching();
    const stopped = new AppError('cancelled', 'mirror was stopped');
    this.#waiters.fail(stopped);
    this.#loading?.reject(stopped);
    this.#loading = undefined;
    this.#started = undefined;
    this.#setStale();
  }

  get<J extends K>(kind: J, id: string): MirrorEntry<DocOf<T, J>> | undefined;
  get(kind: K, id: string): MirrorEntry<unknown> | undefined {
    return this.#of(kind).documents.get(id);
  }

  /** The live map: it changes while it is held. */
  all<J extends K>(kind: J): ReadonlyMap<string, MirrorEntry<DocOf<T, J>>>;
  all(kind: K): ReadonlyMap<string, MirrorEntry<unknown>> {
    return this.#of(kind).documents;
  }

  /** The documents whose field `foundBy` (see ResourceTable) has this value, in no order. */
  find<J extends K>(kind: J, value: string): readonly MirrorEntry<DocOf<T, J>>[];
  find(kind: K, value: string): readonly MirrorEntry<unknown>[] {
    return this.#of(kind).find(value);
  }

  size(kind: K): number {
    return this.#of(kind).documents.size;
  }

  /** Documents that do not satisfy their schema and are kept out, over all kinds. */
  get invalid(): number {
    return [...this.#collections.values()].reduce((sum, { collection }) => sum + collection.invalid.size, 0);
  }

  /** How long the mirror may have lacked changes, in milliseconds: 0 while it is connected and loaded, infinite before the first load. */
  staleForMs(): number {
    if (this.#staleSince === undefined) return 0;
    return this.#staleSince === 'never' ? Number.POSITIVE_INFINITY : Math.max(1, this.#clock.monotonicMs() - this.#staleSince);
  }

  /**
   * Resolves when the mirror holds at least `version` of a document, or holds it no more.
   * @throws AppError 'timeout', 'cancelled'.
   */
  async waitFor(kind: K, id: string, version: number | 'gone', limit: WaitLimit): Promise<void> {
    const collection = this.#of(kind);
    const satisfied = (): boolean => {
      const held = collection.documents.get(id);
      return version === 'gone' ? held === undefined : held !== undefined && held.version >= version;
    };
    if (satisfied()) return;
    const path = collection.pathOf(id);
    const wait = this.#waiters.wait(path, satisfied, limit);
    // Mostly the watch was faster, and its read brings what is waited for.
    if (this.#fetcher.isInFlight(path)) this.#lookedFor.add(path);
    else if (this.#unlisten !== undefined) this.#fetcher.request(path);
    await wait;
  }

  /**
   * Resolves when the mirror is fresh and all is read that it was told of before the call, and what the lists among that bring.
   * @throws AppError 'timeout', 'cancelled'.
   */
  async caughtUp(limit: WaitLimit): Promise<void> {
    const lists = [...this.#resting].filter(([, { changed }]) => changed).map(([root]) => root);
    const reads = this.#fetcher.pending().filter((path) => !this.#overtaken.has(path));
    const fence = new Set([...reads, ...lists]);
    const satisfied = (): boolean => fence.size === 0 && this.#staleSince === undefined;
    if (satisfied()) return;
    this.#fences.add(fence);
    try {
      await this.#waiters.wait(CAUGHT_UP, satisfied, limit);
    } finally {
      this.#fences.delete(fence);
    }
  }

  onChange(listener: ChangeListener<K>): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Tells whenever the mirror becomes stale or fresh. */
  onFreshness(listener: (fresh: boolean) => void): () => void {
    this.#freshnessListeners.add(listener);
    return () => this.#freshnessListeners.delete(listener);
  }

  /** Reads one document again, whatever its watch said. */
  refresh(kind: K, id: string): void {
    this.#fetcher.request(this.#of(kind).pathOf(id));
  }

  /** Lists the documents of a kind again, whatever the watch said. */
  refreshList(kind: K): void {
    this.#fetcher.request(this.#of(kind).root);
  }

  /** Folder of a kind. */
  rootOf(kind: K): string {
    return this.#of(kind).root;
  }

  /** Ids known of a kind, including those whose document is not valid. */
  knownIds(kind: K): ReadonlySet<string> {
    const { documents, invalid } = this.#of(kind);
    return new Set([...documents.keys(), ...invalid.keys()]);
  }

  /** Transaction of the last change that the mirror has read of a document, valid or not; undefined when it holds none. */
  stampOf(kind: K, id: string): number | undefined {
    const { documents, invalid } = this.#of(kind);
    return invalid.get(id) ?? documents.get(id)?.modifiedZxid;
  }

  async #load(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new AppError('cancelled', 'the call was cancelled');
    this.#unlisten = this.#store.listen({
      document: (path) => this.#onDocument(path),
      children: (path) => this.#onChildren(path),
      written: (entry) => this.#onWritten(entry),
      session: (state) => this.#onSession(state),
    });
    const loaded = new Promise<void>((resolve, reject) => {
      this.#loading = { resolve, reject };
    });
    const onAbort = (): void => void this.stop();
    signal.addEventListener('abort', onAbort, { once: true });
    if (this.#store.state === 'connected') this.#reload();
    await loaded.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** Lists every folder and reads every document that is held; what is new follows from the lists. */
  #reload(): void {
    this.#stopFetching();
    this.#unread.clear();
    for (const { kind, collection } of this.#collections.values()) {
      this.#unread.add(collection.root);
      for (const id of this.knownIds(kind)) this.#unread.add(collection.pathOf(id));
    }
    for (const path of this.#unread) this.#fetcher.request(path);
    this.#fetcher.start();
  }

  async #fetch(path: string): Promise<void> {
    const folder = this.#byRoot.get(path);
    const found = this.#byRoot.get(parentOf(path));
    if (folder !== undefined) await this.#fetchList(folder.collection);
    else if (found !== undefined) await this.#fetchDocument(found.kind, found.collection, nameOf(path));
    this.#read(path);
  }

  async #fetchList(collection: Collection): Promise<void> {
    const beganMs = this.#clock.monotonicMs();
    const names = await this.#store.list(collection.root, { watch: true });
    if (this.#unlisten === undefined) return;
    if (names.length >= LIST_LARGE) this.#rest(collection.root, (this.#clock.monotonicMs() - beganMs) * LIST_REST_FACTOR);
    for (const id of collection.differences(names)) {
      const path = collection.pathOf(id);
      for (const waited of [this.#unread, ...this.#fences]) if (waited.has(collection.root)) waited.add(path);
      this.#fetcher.request(path);
    }
  }

  #rest(root: string, restMs: number): void {
    this.#resting.get(root)?.timer.cancel();
    const timer = this.#clock.after(Math.min(restMs, LIST_REST_MAX_MS), () => {
      const changed = this.#resting.get(root)?.changed === true;
      this.#resting.delete(root);
      if (changed) this.#fetcher.request(root);
    });
    this.#resting.set(root, { timer, changed: false });
  }

  /** Forgets what was to be read; a reload follows, after which the mirror is fresh. */
  #stopFetching(): void {
    this.#fetcher.stop();
    for (const { timer } of this.#resting.values()) timer.cancel();
    this.#resting.clear();
    this.#lookedFor.clear();
    this.#overtaken.clear();
    for (const fence of this.#fences) fence.clear();
  }

  async #fetchDocument(kind: K, collection: Collection, id: string): Promise<void> {
    const path = collection.pathOf(id);
    const entry = await this.#store.read(path, { watch: 'existing' });
    if (this.#unlisten === undefined) return;
    this.#take(kind, collection, id, entry);
  }

  #take(kind: K, collection: Collection, id: string, entry: Entry | undefined): void {
    const path = collection.pathOf(id);
    const effect = collection.take(id, entry, (faults) => {
      this.#log.error({ path, faults }, 'document is not valid and is kept out');
    });
    this.#waiters.check(path);
    if (effect === 'changed') for (const listener of this.#changeListeners) listener(kind, id);
  }

  #failed(path: string, error: unknown): boolean {
    if (isAppError(error, 'unavailable', 'timeout', 'unknown-outcome', 'component')) {
      this.#log.debug({ path, error: describeError(error) }, 'mirror could not read and will try again');
      // While disconnected every read fails; the reload after the connection covers them all.
      return this.#store.state === 'connected';
    }
    this.#log.error({ path, error: describeError(error), cause: error }, 'mirror cannot read a document and leaves it out');
    this.#read(path);
    return false;
  }

  #read(path: string): void {
    this.#unread.delete(path);
    if (this.#unread.size > 0 || this.#unlisten === undefined || this.#store.state !== 'connected') return;
    if (this.#staleSince !== undefined) {
      this.#staleSince = undefined;
      for (const listener of this.#freshnessListeners) listener(true);
      this.#waiters.check(CAUGHT_UP);
    }
    this.#loading?.resolve();
    this.#loading = undefined;
  }

  #ended(path: string): void {
    this.#overtaken.delete(path);
    if (this.#lookedFor.delete(path) && this.#waiters.has(path)) {
      this.#fetcher.request(path);
      return;
    }
    for (const fence of this.#fences) fence.delete(path);
    if (this.#fences.size > 0) this.#waiters.check(CAUGHT_UP);
  }

  #onSession(state: SessionState): void {
    if (state === 'connected') {
      this.#reload();
      return;
    }
    this.#stopFetching();
    this.#setStale();
  }

  #setStale(): void {
    if (this.#staleSince !== undefined) return;
    this.#staleSince = this.#clock.monotonicMs();
    for (const listener of this.#freshnessListeners) listener(false);
  }

  #onDocument(path: string): void {
    this.#overtaken.delete(path);
    if (this.#byRoot.has(parentOf(path))) this.#fetcher.request(path);
  }

  #onChildren(path: string): void {
    const resting = this.#resting.get(path);
    if (resting !== undefined) resting.changed = true;
    else if (this.#byRoot.has(path)) this.#fetcher.request(path);
  }

  /** An own write is known at once. Answers come in the order of the requests, so none that comes later can be older. */
  #onWritten(entry: Entry): void {
    const found = this.#byRoot.get(parentOf(entry.path));
    if (found === undefined) return;
    const { kind, collection } = found;
    const id = nameOf(entry.path);
    const held = collection.documents.get(id);
    if (held !== undefined && held.modifiedZxid >= entry.modifiedZxid) return;
    this.#take(kind, collection, id, entry);
    if (this.#fetcher.isInFlight(entry.path)) this.#overtaken.add(entry.path);
    // The read of a new one leaves the watch on it.
    else if (held === undefined) this.#fetcher.request(entry.path);
  }

  #of(kind: K): Collection {
    const found = this.#collections.get(kind);
    if (found === undefined) throw new AppError('bug', 'kind is not mirrored', { kind });
    return found.collection;
  }
}

/** The mirror of some kinds of a resource table. */
export function createMirror<T extends ResourceTable, K extends KindOf<T>>(options: MirrorOptions<T, K>): Mirror<T, K> {
  return new Mirror(options);
}

function collectionOf(table: ResourceTable, kind: string): Collection {
  const resource = table[kind];
  if (resource === undefined) throw new AppError('bug', 'kind is not in the resource table', { kind });
  return new Collection(kind, resource);
}
