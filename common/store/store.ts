/** One document as it stands in the store. */
export interface Entry {
  readonly path: string;
  /** Parsed JSON, not yet validated: null for an empty znode, undefined for text that is not JSON. */
  readonly value: unknown;
  /** ZooKeeper's data version; the condition of the next write. */
  readonly version: number;
  /** Transaction that created the znode: unique and growing over the whole cluster, hence a fencing token. */
  readonly createdZxid: number;
  /** Transaction of the last change. */
  readonly modifiedZxid: number;
  /** True for a znode that ends with its session. */
  readonly ephemeral: boolean;
}

/**
 * `connected`: reads are current. Watches set before may be gone: read again, and set them anew. `suspended`: the connection is lost,
 * the session may still live.
 * `expired`: the session is over, its ephemerals are gone; the store opens a new one by itself and says `connected` again.
 */
export type SessionState = 'connected' | 'suspended' | 'expired';

/** Watches are hints to look, never data: a watch fires once, coalesces, and may be lost with the connection. */
export interface StoreListener {
  /** A watched document may have been created, changed or deleted. */
  document?(path: string): void;
  /** The children of a watched path may have changed. */
  children?(path: string): void;
  /** A create or update of this very store was acknowledged; told before the call resolves, and after watches and answers that came before. */
  written?(entry: Entry): void;
  session?(state: SessionState): void;
}

export interface ReadOptions {
  /**
   * Leaves a one-shot watch, told through StoreListener. It may be lost with the connection.
   * `existing` leaves it only on a path that exists, so that a reader of many short-lived documents leaves no watch on each dead one.
   */
  watch?: boolean | 'existing';
}

export interface CreateOptions {
  ephemeral?: boolean;
}

/**
 * ZooKeeper behind a small interface. Values are JSON documents of at most VALUE_MAX_BYTES.
 * Every call has a time limit of its own and fails with AppError:
 * 'unavailable' (certainly not done), 'unknown-outcome' (a write that may have been done: read again before repeating),
 * 'conflict' (another version), 'exists', 'not-found', 'too-large', 'state' (a znode with children cannot be removed, an ephemeral has none).
 * A call made while the store is not connected waits for the connection for a bounded time, then fails with 'unavailable'.
 */
export interface Store {
  /** Opens the session; resolves when connected. Safe to call twice. */
  start(signal: AbortSignal): Promise<void>;
  /** Closes the session, which removes its ephemerals at once. Safe to call twice. */
  stop(): Promise<void>;
  readonly state: SessionState;
  read(path: string, options?: ReadOptions): Promise<Entry | undefined>;
  /** Names of the children, sorted; empty when the path does not exist (a watch then waits for its creation). */
  list(path: string, options?: ReadOptions): Promise<readonly string[]>;
  /** Creates the document, and the missing parents as empty persistent znodes. */
  create(path: string, value: unknown, options?: CreateOptions): Promise<Entry>;
  update(path: string, value: unknown, version: number): Promise<Entry>;
  remove(path: string, version: number): Promise<void>;
  /** Resolves when this session has seen every write that was acknowledged before the call. */
  sync(): Promise<void>;
  /** @returns the function that ends the subscription. */
  listen(listener: StoreListener): () => void;
}

/** ZooKeeper's own limit (jute.maxbuffer) is 1 MiB for the whole packet; the server drops the connection beyond it. */
export const VALUE_MAX_BYTES = 1_000_000;
