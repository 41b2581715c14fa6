import { AppError } from '../errors.ts';
import { nameOf, parentOf } from './codec.ts';

/** A znode of the memory ensemble. */
export interface MemoryZnode {
  text: string;
  version: number;
  readonly createdZxid: number;
  modifiedZxid: number;
  /** Session that an ephemeral ends with; null for a persistent znode. */
  readonly owner: number | null;
  readonly children: Set<string>;
}

/** What a transaction touched: `document` watches and `children` watches of these paths fire. */
export type Touched = (kind: 'document' | 'children', path: string) => void;

/** ZooKeeper's tree with its versions and transaction numbers; knows nothing of sessions but their ephemerals. */
export class MemoryTree {
  readonly #znodes = new Map<string, MemoryZnode>();
  readonly #touched: Touched;
  #zxid = 0;

  constructor(touched: Touched) {
    this.#touched = touched;
    this.#znodes.set('/', znode('', 0, null));
  }

  /** The last transaction. */
  get zxid(): number {
    return this.#zxid;
  }

  get(path: string): MemoryZnode | undefined {
    return this.#znodes.get(path);
  }

  /** @throws AppError 'exists', 'not-found' when the parent is missing, 'state' under an ephemeral. */
  create(path: string, text: string, owner: number | null): MemoryZnode {
    const parentPath = parentOf(path);
    const parent = this.#znodes.get(parentPath);
    if (parent === undefined) throw new AppError('not-found', 'no such document', { path: parentPath });
    if (parent.owner !== null) throw new AppError('state', 'an ephemeral document has no children', { path: parentPath });
    if (this.#znodes.has(path)) throw new AppError('exists', 'document exists', { path });
    const created = znode(text, ++this.#zxid, owner);
    this.#znodes.set(path, created);
    parent.children.add(nameOf(path));
    this.#touched('document', path);
    this.#touched('children', path);
    this.#touched('children', parentPath);
    return created;
  }

  /** @throws AppError 'not-found', 'conflict'. */
  set(path: string, text: string, version: number): MemoryZnode {
    const found = this.#expect(path, version);
    found.text = text;
    found.version += 1;
    found.modifiedZxid = ++this.#zxid;
    this.#touched('document', path);
    return found;
  }

  /** @throws AppError 'not-found', 'conflict', 'state' when it has children. */
  remove(path: string, version: number): void {
    const found = this.#expect(path, version);
    if (found.children.size > 0) throw new AppError('state', 'document has children', { path });
    this.#delete(path);
  }

  /** Removes the ephemerals of a session that ended. */
  removeOwnedBy(session: number): void {
    const owned = [...this.#znodes].filter(([, found]) => found.owner === session);
    for (const [path] of owned) this.#delete(path);
  }

  #expect(path: string, version: number): MemoryZnode {
    const found = this.#znodes.get(path);
    if (found === undefined) throw new AppError('not-found', 'no such document', { path });
    if (found.version !== version) throw new AppError('conflict', 'document has another version', { path, version });
    return found;
  }

  #delete(path: string): void {
    const parentPath = parentOf(path);
    this.#zxid += 1;
    this.#znodes.delete(path);
    this.#znodes.get(parentPath)?.children.delete(nameOf(path));
    this.#touched('document', path);
    this.#touched('children', path);
    this.#touched('children', parentPath);
  }
}

function znode(text: string, zxid: number, owner: number | null): MemoryZnode {
  return { text, version: 0, createdZxid: zxid, modifiedZxid: zxid, owner, children: new Set() };
}
