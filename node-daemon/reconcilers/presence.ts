import { isDeepStrictEqual } from 'node:util';
import { isAppError } from '../../common/errors.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { Presence } from '../../common/schema/node.ts';
import { pathOf } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';

/**
 * Keeps this node's ephemeral presence. What another instance of this node left is replaced at once: the pid lock says that
 * it is dead, and its session would linger for the session timeout. The key is this node's name.
 */
export class PresenceReconciler implements Reconciler {
  readonly #store: Store;
  readonly #doc: Presence;
  readonly #path: string;

  constructor(deps: { store: Store; presence: Presence }) {
    this.#store = deps.store;
    this.#doc = deps.presence;
    this.#path = pathOf('presence', deps.presence.node);
  }

  async reconcile(): Promise<Outcome> {
    const found = await this.#store.read(this.#path);
    if (found !== undefined && isDeepStrictEqual(found.value, this.#doc) && found.ephemeral) return DONE;
    if (found !== undefined) await this.#remove(found.version);
    try {
      await this.#store.create(this.#path, this.#doc, { ephemeral: true });
    } catch (error) {
      // Looked at again: it may be this very document.
      if (!isAppError(error, 'exists')) throw error;
      return { kind: 'recheck', afterMs: 0, why: 'the presence has appeared meanwhile' };
    }
    return DONE;
  }

  /** Tells the others at once that this node's daemon ends. */
  async release(): Promise<void> {
    const found = await this.#store.read(this.#path);
    if (found !== undefined && isDeepStrictEqual(found.value, this.#doc)) await this.#remove(found.version);
  }

  async #remove(version: number): Promise<void> {
    try {
      await this.#store.remove(this.#path, version);
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
    }
  }
}
