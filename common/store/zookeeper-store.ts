import type { Clock, Timer } from '../clock.ts';
import { AppError, describeError, isAppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { checkPath, checkVersion, decodeValue, encodeValue, parentOf } from './codec.ts';
import { SessionGate } from './session-gate.ts';
import type { CreateOptions, Entry, ReadOptions, SessionState, Store, StoreListener } from './store.ts';
import { ZooKeeperClient, type SessionKey, type Stat } from './zookeeper-client.ts';

export interface ZooKeeperStoreOptions {
  /** `address:port` of each server. Addresses rather than names: names are resolved in the event loop. */
  readonly hosts: readonly string[];
  /**
   * How long the session outlives its connection, in milliseconds. The server may narrow it. Ten seconds or more in production:
   * the keepalive is sent from the event loop, and a loop that is blocked for two thirds of it loses the session.
   */
  readonly sessionTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Longest wait for an answer, in milliseconds. */
  readonly callTimeoutMs?: number;
  /** How long a call waits for the connection, in milliseconds. */
  readonly connectWaitMs?: number;
}

/** Twice the longest write gap seen when a leader's host was powered off (6 s) would be felt by users; an answer later than this is lost. */
const CALL_TIMEOUT_DEFAULT_MS = 10_000;

/** A killed leader is replaced within 0.9 s; a call within that time succeeds instead of failing. */
const CONNECT_WAIT_DEFAULT_MS = 2_000;

/** Wait before another session is opened after one could not be, doubling up to the second figure. */
const REOPEN_BASE_MS = 100;
const REOPEN_MAX_MS = 5_000;

/** A document may be created between "it is missing" and the watch for its creation: so often at most in one read. */
const WATCH_ATTEMPTS_MAX = 10;

/** A Store on a real ensemble. */
export class ZooKeeperStore implements Store {
  readonly #options: ZooKeeperStoreOptions;
  readonly #gate: SessionGate;
  #client: ZooKeeperClient | undefined;
  #reopen: Timer | undefined;
  #failures = 0;
  #running = false;

  constructor(options: ZooKeeperStoreOptions) {
    this.#options = options;
    this.#gate = new SessionGate(options.clock, options.connectWaitMs ?? CONNECT_WAIT_DEFAULT_MS);
  }

  get state(): SessionState {
    return this.#gate.state;
  }

  /** The session's key, for tests that end it from outside. */
  get session(): SessionKey | undefined {
    return this.#client?.session;
  }

  async start(signal: AbortSignal): Promise<void> {
    if (!this.#running) {
      this.#running = true;
      this.#gate.open();
      this.#open();
    }
    try {
      await this.#gate.untilConnected(signal);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#reopen?.cancel();
    const client = this.#client;
    this.#client = undefined;
    client?.close();
    this.#gate.close();
  }

  listen(listener: StoreListener): () => void {
    return this.#gate.listen(listener);
  }

  async read(path: string, options: ReadOptions = {}): Promise<Entry | undefined> {
    checkPath(path);
    const client = await this.#connected();
    const watch = options.watch ?? false;
    return ifFound(client, path, watch, async () => {
      const { stat, text } = await client.get(path, watch !== false);
      return toEntry(path, decodeValue(text), stat);
    });
  }

  async list(path: string, options: ReadOptions = {}): Promise<readonly string[]> {
    checkPath(path);
    const client = await this.#connected();
    const watch = options.watch ?? false;
    const names = await ifFound(client, path, watch, () => client.children(path, watch !== false));
    return names === undefined ? [] : names.sort();
  }

  async create(path: string, value: unknown, options: CreateOptions = {}): Promise<Entry> {
    checkPath(path);
    const text = encodeValue(path, value);
    const ephemeral = options.ephemeral === true;
    const client = await this.#connected();
    try {
      return this.#gate.written(toEntry(path, decodeValue(text), await client.create(path, text, ephemeral)));
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
    await createFolder(client, parentOf(path));
    return this.#gate.written(toEntry(path, decodeValue(text), await client.create(path, text, ephemeral)));
  }

  async update(path: string, value: unknown, version: number): Promise<Entry> {
    checkPath(path);
    checkVersion(path, version);
    const text = encodeValue(path, value);
    const client = await this.#connected();
    return this.#gate.written(toEntry(path, decodeValue(text), await client.set(path, text, version)));
  }

  async remove(path: string, version: number): Promise<void> {
    checkPath(path);
    checkVersion(path, version);
    const client = await this.#connected();
    await client.remove(path, version);
  }

  async sync(): Promise<void> {
    const client = await this.#connected();
    await client.sync();
  }

  async #connected(): Promise<ZooKeeperClient> {
    await this.#gate.whenConnected();
    if (this.#client === undefined) throw new AppError('unavailable', 'store is not connected');
    return this.#client;
  }

  #open(): void {
    const { hosts, sessionTimeoutMs, clock, log } = this.#options;
    let fresh = true;
    const client: ZooKeeperClient = new ZooKeeperClient({
      hosts,
      sessionTimeoutMs,
      clock,
      callTimeoutMs: this.#options.callTimeoutMs ?? CALL_TIMEOUT_DEFAULT_MS,
      events: {
        connected: () => {
          // Within a session the client only accepts servers that know what it has seen; a new session has seen nothing.
          if (fresh) void this.#catchUp(client, () => (fresh = false));
          else this.#connectedAgain();
        },
        connecting: () => {
          if (this.state !== 'connected') return;
          log.warn({ hosts }, 'connection to ZooKeeper is lost');
          this.#gate.change('suspended');
        },
        closed: (code) => this.#closed(client, code),
        document: (path) => this.#tell('document', path),
        children: (path) => this.#tell('children', path),
      },
    });
    this.#client = client;
    try {
      client.open();
    } catch (error) {
      log.warn({ hosts, error: describeError(error) }, 'ZooKeeper session cannot be opened and will be tried again');
      this.#client = undefined;
      this.#openLater();
    }
  }

  /** A server that lags behind must not show less than the last session has seen. */
  async #catchUp(client: ZooKeeperClient, done: () => void): Promise<void> {
    try {
      await client.sync();
    } catch (error) {
      if (this.#client !== client) return;
      this.#options.log.debug({ error: describeError(error) }, 'new ZooKeeper session could not catch up yet');
      this.#options.clock.after(REOPEN_BASE_MS, () => void this.#catchUp(client, done));
      return;
    }
    if (this.#client !== client) return;
    done();
    this.#connectedAgain();
  }

  #connectedAgain(): void {
    this.#failures = 0;
    this.#options.log.info({ hosts: this.#options.hosts }, 'connected to ZooKeeper');
    this.#gate.change('connected');
  }

  #closed(client: ZooKeeperClient, code: number): void {
    if (this.#client !== client || !this.#running) return;
    this.#options.log.warn({ zookeeperCode: code }, 'ZooKeeper session is over');
    this.#client = undefined;
    this.#gate.change('expired');
    this.#openLater();
  }

  #openLater(): void {
    const waitMs = this.#failures === 0 ? 0 : Math.min(REOPEN_MAX_MS, REOPEN_BASE_MS * 2 ** (this.#failures - 1));
    this.#failures += 1;
    this.#reopen = this.#options.clock.after(waitMs, () => {
      if (this.#running) this.#open();
    });
  }

  #tell(kind: 'document' | 'children', path: string): void {
    for (const listener of this.#gate.listeners) listener[kind]?.(path);
  }
}

/** The result of `get`, or undefined when the path is missing; with `watch` true a watch for its creation is left. */
async function ifFound<T>(
  client: ZooKeeperClient,
  path: string,
  watch: boolean | 'existing',
  get: () => Promise<T>,
): Promise<T | undefined> {
  for (let attempt = 0; attempt < WATCH_ATTEMPTS_MAX; attempt += 1) {
    try {
      return await get();
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
    const missing = watch !== true || !(await client.exists(path, true));
    if (missing) return undefined;
  }
  throw new AppError('unavailable', 'document comes and goes too fast to be read', { path });
}

async function createFolder(client: ZooKeeperClient, path: string): Promise<void> {
  if (path === '/') return;
  await createFolder(client, parentOf(path));
  try {
    await client.create(path, '', false);
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
  }
}

function toEntry(path: string, value: unknown, stat: Stat): Entry {
  return {
    path,
    value,
    version: stat.version,
    createdZxid: stat.czxid,
    modifiedZxid: stat.mzxid,
    ephemeral: stat.ephemeralOwner !== '0',
  };
}
