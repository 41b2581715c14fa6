import { createHash } from 'node:crypto';
import session from 'express-session';
import type { Clock } from '../../common/clock.ts';
import { isAppError } from '../../common/errors.ts';
import { pathOf, RESOURCES } from '../../common/schema/resources.ts';
import { session as sessionDocument, type Session } from '../../common/schema/session.ts';
import type { Entry, Store } from '../../common/store/store.ts';

declare module 'express-session' {
  interface SessionData {
    /** Hash of the token that the session was opened with. */
    tokenHash: string;
  }
}

/** A working day. Sessions are not prolonged: a request with one writes nothing. */
export const SESSION_MAX_MS = 12 * 3_600_000;

type Callback = (error?: unknown) => void;

/** Sessions in the cluster's own store, so that they survive a change of primary. The cookie's id is kept as a hash only. */
export class ClusterSessionStore extends session.Store {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(deps: { store: Store; clock: Clock }) {
    super();
    this.#store = deps.store;
    this.#clock = deps.clock;
  }

  override get(sid: string, callback: (error: unknown, data?: session.SessionData | null) => void): void {
    this.#load(sid).then((data) => callback(null, data), callback);
  }

  override set(sid: string, data: session.SessionData, callback: Callback = ignore): void {
    const document: Session = { tokenHash: data.tokenHash, expiresMs: this.#clock.nowMs() + SESSION_MAX_MS };
    this.#save(pathOfSession(sid), document).then(() => callback(), callback);
  }

  override destroy(sid: string, callback: Callback = ignore): void {
    this.#remove(pathOfSession(sid)).then(() => callback(), callback);
  }

  /** Removes the sessions whose time is over. */
  async sweep(): Promise<void> {
    for (const id of await this.#store.list(RESOURCES.session.root)) {
      const entry = await this.#store.read(pathOf('session', id));
      if (entry !== undefined && this.#valid(entry) === undefined) await this.#removeEntry(entry);
    }
  }

  async #load(sid: string): Promise<session.SessionData | null> {
    const entry = await this.#store.read(pathOfSession(sid));
    const document = entry === undefined ? undefined : this.#valid(entry);
    if (document === undefined) return null;
    return { cookie: new session.Cookie(), tokenHash: document.tokenHash };
  }

  #valid(entry: Entry): Session | undefined {
    const document = sessionDocument.safeParse(entry.value);
    return document.success && document.data.expiresMs > this.#clock.nowMs() ? document.data : undefined;
  }

  async #save(path: string, document: Session): Promise<void> {
    const entry = await this.#store.read(path);
    if (entry === undefined) await this.#store.create(path, document);
    else await this.#store.update(path, document, entry.version);
  }

  async #remove(path: string): Promise<void> {
    const entry = await this.#store.read(path);
    if (entry !== undefined) await this.#removeEntry(entry);
  }

  async #removeEntry(entry: Entry): Promise<void> {
    try {
      await this.#store.remove(entry.path, entry.version);
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
  }
}

function pathOfSession(sid: string): string {
  return pathOf('session', createHash('sha256').update(sid).digest('hex'));
}

function ignore(): void {}
