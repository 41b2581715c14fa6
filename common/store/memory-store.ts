import type { Clock } from '../clock.ts';
import { checkPath, checkVersion, decodeValue, encodeValue, parentOf } from './codec.ts';
import type { MemoryTree, MemoryZnode } from './memory-tree.ts';
import type { MemoryClient, MemoryZooKeeper } from './memory-zookeeper.ts';
import { SessionGate } from './session-gate.ts';
import type { CreateOptions, Entry, ReadOptions, SessionState, Store, StoreListener } from './store.ts';

export interface MemoryStoreOptions {
  zookeeper: MemoryZooKeeper;
  clock: Clock;
  /** Names the client in the faults of MemoryZooKeeper. */
  name: string;
  /** How long a call waits for the connection, in milliseconds. */
  connectWaitMs?: number;
}

/** The wait of the real store. */
const CONNECT_WAIT_DEFAULT_MS = 2_000;

/** One client session of a MemoryZooKeeper. */
export class MemoryStore implements Store {
  readonly #zookeeper: MemoryZooKeeper;
  readonly #gate: SessionGate;
  readonly #client: MemoryClient;
  #started = false;
  #session: 'none' | 'open' = 'none';

  constructor(options: MemoryStoreOptions) {
    this.#zookeeper = options.zookeeper;
    this.#gate = new SessionGate(options.clock, options.connectWaitMs ?? CONNECT_WAIT_DEFAULT_MS);
    this.#client = {
      name: options.name,
      suspended: () => this.#gate.change('suspended'),
      resumed: () => this.#gate.change('connected'),
      expired: () => this.#onExpired(),
      watched: (kind, path) => this.#onWatched(kind, path),
    };
  }

  get state(): SessionState {
    return this.#gate.state;
  }

  async start(signal: AbortSignal): Promise<void> {
    if (!this.#started) {
      this.#started = true;
      this.#gate.open();
      const { connected } = this.#zookeeper.attach(this.#client);
      if (connected) this.#opened();
    }
    try {
      await this.#gate.untilConnected(signal);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (!this.#started) return;
    this.#started = false;
    this.#session = 'none';
    this.#zookeeper.detach(this.#client);
    this.#gate.close();
  }

  listen(listener: StoreListener): () => void {
    return this.#gate.listen(listener);
  }

  async read(path: string, options: ReadOptions = {}): Promise<Entry | undefined> {
    checkPath(path);
    await this.#gate.whenConnected();
    const apply = (tree: MemoryTree): Entry | undefined => {
      const found = tree.get(path);
      return found === undefined ? undefined : toEntry(path, found);
    };
    return this.#zookeeper.request(this.#client, { write: false, apply }, (entry) =>
      options.watch === true || (options.watch === 'existing' && entry !== undefined) ? { kind: 'document', path } : undefined,
    );
  }

  async list(path: string, options: ReadOptions = {}): Promise<readonly string[]> {
    checkPath(path);
    await this.#gate.whenConnected();
    const apply = (tree: MemoryTree): string[] | undefined => {
      const found = tree.get(path);
      return found === undefined ? undefined : [...found.children].sort();
    };
    const names = await this.#zookeeper.request(this.#client, { write: false, apply }, (children) =>
      options.watch === true || (options.watch === 'existing' && children !== undefined) ? { kind: 'children', path } : undefined,
    );
    return names ?? [];
  }

  async create(path: string, value: unknown, options: CreateOptions = {}): Promise<Entry> {
    checkPath(path);
    const text = encodeValue(path, value);
    await this.#gate.whenConnected();
    const apply = (tree: MemoryTree, session: number): Entry => {
      createParents(tree, path);
      return toEntry(path, tree.create(path, text, options.ephemeral === true ? session : null));
    };
    return this.#gate.written(await this.#zookeeper.request(this.#client, { write: true, apply }));
  }

  async update(path: string, value: unknown, version: number): Promise<Entry> {
    checkPath(path);
    checkVersion(path, version);
    const text = encodeValue(path, value);
    await this.#gate.whenConnected();
    return this.#gate.written(await this.#zookeeper.request(this.#client, { write: true, apply: (tree) => toEntry(path, tree.set(path, text, version)) }));
  }

  async remove(path: string, version: number): Promise<void> {
    checkPath(path);
    checkVersion(path, version);
    await this.#gate.whenConnected();
    await this.#zookeeper.request(this.#client, { write: true, apply: (tree) => tree.remove(path, version) });
  }

  async sync(): Promise<void> {
    await this.#gate.whenConnected();
    await this.#zookeeper.request(this.#client, { write: false, apply: () => undefined });
  }

  #opened(): void {
    this.#session = 'open';
    this.#gate.change('connected');
  }

  /** Also the way in for a client that was cut off when it started. */
  #onExpired(): void {
    if (this.#session === 'open') this.#gate.change('expired');
    this.#session = 'none';
    if (this.#started && this.#zookeeper.reopen(this.#client)) this.#opened();
  }

  #onWatched(kind: 'document' | 'children', path: string): void {
    for (const listener of this.#gate.listeners) listener[kind]?.(path);
  }
}

function createParents(tree: MemoryTree, path: string): void {
  const missing: string[] = [];
  for (let parent = parentOf(path); tree.get(parent) === undefined; parent = parentOf(parent)) missing.unshift(parent);
  for (const parent of missing) tree.create(parent, '', null);
}

function toEntry(path: string, znode: MemoryZnode): Entry {
  return {
    path,
    value: decodeValue(znode.text),
    version: znode.version,
    createdZxid: znode.createdZxid,
    modifiedZxid: znode.modifiedZxid,
    ephemeral: znode.owner !== null,
  };
}
