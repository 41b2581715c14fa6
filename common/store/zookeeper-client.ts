import ZooKeeper from 'zookeeper';
import { z } from 'zod';
import type { Clock, Timer } from '../clock.ts';
import { AppError } from '../errors.ts';
import { shuffled } from '../ids.ts';

/** What happens to one session. Each path event is a hint; a watch that was set twice is told once. */
export interface ZooKeeperClientEvents {
  connected(): void;
  connecting(): void;
  /** The session is over, by expiry or by refusal; the client is dead. Not told after close(). */
  closed(code: number): void;
  document(path: string): void;
  children(path: string): void;
}

export interface ZooKeeperClientOptions {
  readonly hosts: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly clock: Clock;
  readonly events: ZooKeeperClientEvents;
}

const stat = z.object({
  czxid: z.number(),
  mzxid: z.number(),
  version: z.number(),
  /** Session in hexadecimal, '0' for a persistent znode. */
  ephemeralOwner: z.string(),
  createdInThisSession: z.boolean(),
});
export type Stat = z.infer<typeof stat>;

const sessionKey = z.object({ client_id: z.string(), client_password: z.string() });

export interface SessionKey {
  readonly id: string;
  readonly password: string;
}

type Callback = (code: number, message: string, first?: unknown, second?: unknown) => void;

/** The methods of the compiled binding that are used; each returns a code, and calls back only when that is 0. */
interface Native {
  init(config: object): unknown;
  close(): unknown;
  a_create(path: string, data: string, flags: number, callback: Callback): number;
  a_exists(path: string, watch: boolean, callback: Callback): number;
  a_get(path: string, watch: boolean, callback: Callback): number;
  a_get_children(path: string, watch: boolean, callback: Callback): number;
  a_set(path: string, data: string, version: number, callback: Callback): number;
  a_delete_(path: string, version: number, callback: Callback): number;
  a_sync(path: string, callback: Callback): number;
}

const NATIVE_METHODS = ['init', 'close', 'a_create', 'a_exists', 'a_get', 'a_get_children', 'a_set', 'a_delete_', 'a_sync'] as const;

const EPHEMERAL_FLAG = 1;

/** Socket reads without a complete reply that the binding takes for an expired session; its default of 10 breaks replies of 20 kB on a real network. */
const RESPONSE_COUNTER_LIMIT = 2_147_483_647;

/**
 * First wait before a handle without a connection is replaced, doubling up to a third of the session timeout: that long the binding
 * itself waits after each server that refused, as every follower does while a leader is elected.
 */
const NUDGE_BASE_MS = 250;

/** ZOO_CONNECTED_STATE of zookeeper.h. */
const CONNECTED_STATE = 3;

/**
 * One session of the npm package `zookeeper`, which is used nowhere else: promises over the binding's own methods, because the package's
 * wrapper tells errors as text and formats every argument for a log. Watches are the default watcher's, because a watcher function of its
 * own is never freed and aborts the process when two clients share it. A client that was closed is dead; take a new one.
 *
 * The binding's poll handle outlives its socket in two windows, and whoever opens a socket then gets the same number: theirs hangs, or
 * libuv aborts the process. (1) While the binding calls back about a lost connection: so everything it tells is passed on in a later turn
 * of the event loop. (2) After a request that could not be sent, until the binding's next timer, a third of the session timeout later:
 * so the state is looked at after each request, and the session is at once taken up by a fresh handle.
 */
export class ZooKeeperClient {
  readonly #options: ZooKeeperClientOptions;
  #native: Native | undefined;
  #isConnected = false;
  #later: (() => void)[] = [];
  #nudge: Timer | undefined;

  constructor(options: ZooKeeperClientOptions) {
    this.#options = options;
  }

  /** Begins to connect, and goes on trying until close(). @throws AppError 'component' when no host can be resolved. */
  open(): void {
    this.#attach(undefined);
  }

  /** Id and password of the session in hexadecimal: whoever has both can take it over. */
  get session(): SessionKey | undefined {
    const parsed = sessionKey.safeParse(this.#native);
    return parsed.success ? { id: parsed.data.client_id, password: parsed.data.client_password } : undefined;
  }

  /** Ends the session in order, which removes its ephemerals. Safe to call twice. */
  close(): void {
    const native = this.#native;
    this.#native = undefined;
    this.#nudge?.cancel();
    native?.close();
  }

  #attach(session: SessionKey | undefined): void {
    const { hosts, sessionTimeoutMs } = this.#options;
    const client = new ZooKeeper({});
    const native: unknown = client.native;
    if (!isNative(native)) throw new AppError('bug', 'ZooKeeper binding lacks a method');
    this.#native = native;
    this.#isConnected = false;
    this.#subscribe(native, client);
    const failure = native.init({
      connect: shuffled(hosts).join(','),
      timeout: sessionTimeoutMs,
      // Nothing: the C library writes its own format to standard error.
      debug_level: 0,
      // The library would resolve and shuffle the hosts anew, with a seed from /dev/urandom, at each request and each reply.
      host_order_deterministic: true,
      response_counter_limit: RESPONSE_COUNTER_LIMIT,
      ...(session === undefined ? {} : { client_id: session.id, client_password: session.password }),
    });
    if (failure instanceof Error) {
      this.#native = undefined;
      throw new AppError('component', 'ZooKeeper client could not be opened', { hosts }, { cause: failure });
    }
  }

  #subscribe(native: Native, client: ZooKeeper): void {
    const { events } = this.#options;
    const on = (name: string, tell: (argument: unknown) => void): void => {
      client.on(name, (_client: unknown, argument: unknown) => {
        this.#defer(() => {
          if (this.#native === native) tell(argument);
        });
      });
    };
    client.on('connect', () => (this.#isConnected ||= this.#native === native));
    client.on('connecting', () => (this.#isConnected &&= this.#native !== native));
    on('connect', () => {
      this.#nudge?.cancel();
      events.connected();
    });
    on('connecting', () => {
      events.connecting();
      this.#nudgeAfter(NUDGE_BASE_MS);
    });
    on('close', (code) => {
      this.#native = undefined;
      this.#nudge?.cancel();
      events.closed(Number(code));
    });
    on('created', (path) => this.#told(path, 'both'));
    on('deleted', (path) => this.#told(path, 'both'));
    on('changed', (path) => this.#told(path, 'document'));
    on('child', (path) => this.#told(path, 'children'));
  }

  #told(path: unknown, what: 'document' | 'children' | 'both'): void {
    if (typeof path !== 'string') return;
    if (what !== 'children') this.#options.events.document(path);
    if (what !== 'document') this.#options.events.children(path);
  }

  /** Runs in a later turn of the event loop, in order. */
  #defer(callback: () => void): void {
    this.#later.push(callback);
    if (this.#later.length > 1) return;
    setImmediate(() => {
      const callbacks = this.#later;
      this.#later = [];
      for (const deferred of callbacks) deferred();
    });
  }

  /** Takes the session up with a fresh handle when the last request found the connection broken. */
  #checkConnection(native: Native): void {
    if (!this.#isConnected || Reflect.get(native, 'state') === CONNECTED_STATE) return;
    this.#defer(() => this.#options.events.connecting());
    this.#reattach(native);
    this.#nudgeAfter(NUDGE_BASE_MS);
  }

  /** Takes the session up with a fresh handle. */
  #reattach(native: Native): void {
    const { session } = this;
    this.#native = undefined;
    // Sends nothing, since there is no connection: the session lives on.
    native.close();
    try {
      this.#attach(session);
    } catch (error) {
      // As though the session were over: the owner opens another when a host can be resolved again.
      this.#defer(() => this.#options.events.closed(0));
      if (!(error instanceof AppError)) throw error;
    }
  }

  #nudgeAfter(waitMs: number): void {
    const { clock, sessionTimeoutMs } = this.#options;
    this.#nudge?.cancel();
    this.#nudge = clock.after(waitMs, () => {
      const native = this.#native;
      if (native === undefined || Reflect.get(native, 'state') === CONNECTED_STATE) return;
      this.#reattach(native);
      this.#nudgeAfter(Math.min(waitMs * 2, sessionTimeoutMs / 3));
    });
  }

  /** @throws AppError 'not-found', among the others of Store. A watch is left only on a path that exists. */
  async get(path: string, watch: boolean): Promise<{ stat: Stat; text: string }> {
    const [found, data] = await this.#call('read', path, (native, callback) => native.a_get(path, watch, callback));
    return { stat: stat.parse(found), text: Buffer.isBuffer(data) ? data.toString('utf8') : '' };
  }

  /** A watch is left in either case. */
  async exists(path: string, watch: boolean): Promise<boolean> {
    try {
      await this.#call('read', path, (native, callback) => native.a_exists(path, watch, callback));
      return true;
    } catch (error) {
      if (error instanceof AppError && error.code === 'not-found') return false;
      throw error;
    }
  }

  /** @throws AppError 'not-found'. A watch is left only on a path that exists. */
  async children(path: string, watch: boolean): Promise<string[]> {
    const [names] = await this.#call('read', path, (native, callback) => native.a_get_children(path, watch, callback));
    return z.array(z.string()).parse(names);
  }

  /**
   * Creates a znode. The binding tells no stat of a creation, so it is asked for in the same breath; both are answered in order.
   * @throws AppError 'exists', 'not-found' when the parent is missing, 'state' under an ephemeral; 'unknown-outcome' also when it was created
   * and the stat did not come.
   */
  async create(path: string, text: string, ephemeral: boolean): Promise<Stat> {
    const flags = ephemeral ? EPHEMERAL_FLAG : 0;
    const creating = this.#call('write', path, (native, callback) => native.a_create(path, text, flags, callback));
    const asking = this.#call('read', path, (native, callback) => native.a_exists(path, false, callback));
    const [created, asked] = await Promise.allSettled([creating, asking]);
    if (created.status === 'rejected') throw created.reason;
    if (asked.status === 'rejected') {
      throw new AppError('unknown-outcome', 'created, but its number is not known', { path }, { cause: asked.reason });
    }
    const found = stat.parse(asked.value[0]);
    if (ephemeral && !found.createdInThisSession) throw new AppError('unknown-outcome', 'created, and replaced at once', { path });
    return { ...found, version: 0, mzxid: found.czxid };
  }

  async set(path: string, text: string, version: number): Promise<Stat> {
    const [changed] = await this.#call('write', path, (native, callback) => native.a_set(path, text, version, callback));
    return stat.parse(changed);
  }

  async remove(path: string, version: number): Promise<void> {
    await this.#call('write', path, (native, callback) => native.a_delete_(path, version, callback));
  }

  async sync(): Promise<void> {
    await this.#call('read', '/', (native, callback) => native.a_sync('/', callback));
  }

  #call(kind: 'read' | 'write', path: string, invoke: (native: Native, callback: Callback) => number): Promise<[unknown, unknown]> {
    const native = this.#native;
    if (native === undefined) return Promise.reject(new AppError('unavailable', 'store is not connected', { path }));
    const { clock, callTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = clock.after(callTimeoutMs, () => reject(lost(kind, { path, timeoutMs: callTimeoutMs })));
      const code = invoke(native, (result, _message, first, second) => {
        this.#defer(() => {
          timer.cancel();
          if (result === 0) resolve([first, second]);
          else reject(toError(kind, path, result));
        });
      });
      this.#checkConnection(native);
      if (code === 0) return;
      // Nothing was sent, and the callback will never come.
      timer.cancel();
      reject(new AppError('unavailable', 'store is not connected', { path, zookeeperCode: code }));
    });
  }
}

function lost(kind: 'read' | 'write', details: Record<string, unknown>): AppError {
  if (kind === 'read') return new AppError('unavailable', 'store did not answer', details);
  return new AppError('unknown-outcome', 'connection was lost before the answer came', details);
}

/** Codes of the C library (zookeeper.h, enum ZOO_ERRORS). */
function toError(kind: 'read' | 'write', path: string, zookeeperCode: number): AppError {
  const details = { path, zookeeperCode };
  switch (zookeeperCode) {
    case -101:
      return new AppError('not-found', 'no such document', details);
    case -102:
      return new AppError('not-allowed', 'store refuses access', details);
    case -103:
      return new AppError('conflict', 'document has another version', details);
    case -108:
      return new AppError('state', 'an ephemeral document has no children', details);
    case -110:
      return new AppError('exists', 'document exists', details);
    case -111:
      return new AppError('state', 'document has children', details);
    case -8:
      return new AppError('invalid', 'not a path of the store', details);
    // Connection loss, time-out, invalid state, expiry, closing, session moved.
    case -4:
    case -7:
    case -9:
    case -112:
    case -116:
    case -118:
      return lost(kind, details);
    default:
      return new AppError('component', 'store failed', details);
  }
}

function isNative(value: unknown): value is Native {
  return typeof value === 'object' && value !== null && NATIVE_METHODS.every((name) => typeof Reflect.get(value, name) === 'function');
}
