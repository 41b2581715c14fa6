import type { Clock, Timer } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { lease, type Lease } from '../../common/schema/node.ts';
import { pathOf, PRIMARY_ROLE } from '../../common/schema/resources.ts';
import type { Entry, Store } from '../../common/store/store.ts';

/**
 * Part of the session timeout for which a proof is good. The ensemble cannot end the session before the whole timeout has passed
 * since the proof, so a third is left to take the address off the device.
 */
const PROOF_PART = 2 / 3;

/**
 * Proofs per session timeout, begun at regular times whatever has become of those before: so each may take half of the timeout, and two may be
 * lost without a consequence.
 */
const PROOFS_PER_TIMEOUT = 6;

/** Proofs under way at most: one that is older than the session timeout proves nothing. */
const PROOFS_AT_ONCE_MAX = PROOFS_PER_TIMEOUT;

/** A removal whose answer is lost is repeated so often: answers are lost with the connection, and that is not lost again and again. */
const REMOVALS_MAX = 5;

export interface PrimaryLeaseDeps {
  node: NodeName;
  /** Differs with each start of the daemon. */
  instance: string;
  store: Store;
  clock: Clock;
  log: Logger;
  sessionTimeoutMs: number;
}

/** `unprovable`: it was ours, and may be somebody else's by now. */
export type PrimaryLeaseView = 'mine' | 'not-mine' | 'unprovable';

/**
 * The lease of the primary, an ephemeral znode, together with the proof that it is still ours. A lost connection is told late
 * (after two thirds of the timeout when packets just vanish), so the proof is a round trip to the leading server, counted
 * from when it was sent: sync, and a look at the znode. No clock of another host takes part.
 */
export class PrimaryLease {
  readonly #deps: PrimaryLeaseDeps;
  readonly #path = pathOf('lease', PRIMARY_ROLE);
  readonly #doc: Lease;
  readonly #listeners = new Set<() => void>();
  /** Time of the monotonic clock up to which the lease is surely ours; undefined when it is not. */
  #provenUntilMs: number | undefined;
  #lapse: Timer | undefined;
  #nextProof: Timer | undefined;
  #proofsUnderWay = 0;
  /** Counts the times that the lease was held: what was asked in an earlier one says nothing of this one. */
  #term = 0;
  #unlisten: (() => void) | undefined;

  constructor(deps: PrimaryLeaseDeps) {
    this.#deps = deps;
    this.#doc = { node: deps.node, instance: deps.instance };
  }

  start(): void {
    this.#unlisten ??= this.#deps.store.listen({
      session: (state) => {
        if (state === 'expired') this.#lose('the session has expired');
      },
    });
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#forget();
  }

  /** Told at once when the lease is lost or can no longer be proved. */
  onLapse(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  view(): PrimaryLeaseView {
    if (this.#provenUntilMs === undefined) return 'not-mine';
    return this.#deps.clock.monotonicMs() < this.#provenUntilMs ? 'mine' : 'unprovable';
  }

  /** Takes the lease if it is free. @returns whether it is ours now. */
  async contend(): Promise<boolean> {
    const sentMs = this.#deps.clock.monotonicMs();
    try {
      await this.#deps.store.create(this.#path, this.#doc, { ephemeral: true });
    } catch (error) {
      if (!isAppError(error, 'exists', 'unknown-outcome')) throw error;
      if (isAppError(error, 'unknown-outcome')) this.#suspect(sentMs);
      if (!this.#isOurs(await this.#deps.store.read(this.#path))) {
        this.#forget();
        return false;
      }
    }
    this.#proved(sentMs);
    this.#proveAgain();
    return true;
  }

  /**
   * Gives the lease back. Not ours is fine.
   * @throws AppError 'unavailable', 'unknown-outcome' when it may be ours still; then it is proved or denied as soon as the store answers.
   */
  async release(): Promise<void> {
    const held = this.#provenUntilMs !== undefined;
    const sentMs = this.#deps.clock.monotonicMs();
    this.#forget();
    try {
      await this.#removeIf((found) => found.instance === this.#deps.instance);
    } catch (error) {
      if (held) this.#suspect(sentMs);
      throw error;
    }
  }

  /** Removes what a dead daemon of this node left; only for the holder of this host's pid lock. */
  async removePredecessor(): Promise<void> {
    await this.#removeIf((found) => found.node === this.#deps.node && found.instance !== this.#deps.instance);
  }

  /** A lost answer is looked at again: nobody else could take a lease that is still there. */
  async #removeIf(condition: (found: Lease) => boolean): Promise<void> {
    for (let round = 1; ; round += 1) {
      const entry = await this.#deps.store.read(this.#path);
      const found = lease.safeParse(entry?.value).data;
      if (entry === undefined || found === undefined || !condition(found)) return;
      try {
        await this.#deps.store.remove(this.#path, entry.version);
        return;
      } catch (error) {
        if (isAppError(error, 'not-found', 'conflict')) return;
        if (!isAppError(error, 'unknown-outcome') || round === REMOVALS_MAX) throw error;
      }
    }
  }

  #isOurs(entry: Entry | undefined): boolean {
    return lease.safeParse(entry?.value).data?.instance === this.#deps.instance;
  }

  /** It may be ours, and is proved or denied as soon as the store answers: nobody else could take it meanwhile. */
  #suspect(sentMs: number): void {
    this.#provenUntilMs = sentMs;
    this.#proveAgain();
  }

  #proved(sentMs: number): void {
    const { clock, sessionTimeoutMs } = this.#deps;
    this.#provenUntilMs = Math.max(this.#provenUntilMs ?? 0, sentMs + sessionTimeoutMs * PROOF_PART);
    // What comes too late changes nothing, and was told already.
    if (this.view() !== 'mine') return;
    this.#lapse?.cancel();
    this.#lapse = clock.after(this.#provenUntilMs - clock.monotonicMs(), () => this.#tell('the lease cannot be proved'));
  }

  #proveAgain(): void {
    const { clock, sessionTimeoutMs } = this.#deps;
    this.#nextProof?.cancel();
    this.#nextProof = clock.after(sessionTimeoutMs / PROOFS_PER_TIMEOUT, () => void this.#prove());
  }

  /** Goes on until the lease is given up or lost: after a suspension it may turn out to be ours still. */
  async #prove(): Promise<void> {
    const { store, clock, log } = this.#deps;
    const [term, sentMs] = [this.#term, clock.monotonicMs()];
    this.#proveAgain();
    if (this.#proofsUnderWay >= PROOFS_AT_ONCE_MAX) return;
    this.#proofsUnderWay += 1;
    try {
      // Sent together: a session's requests are carried out in their order (ZooKeeper Programmer's Guide, "Consistency Guarantees").
      const [, entry] = await Promise.all([store.sync(), store.read(this.#path)]);
      if (term !== this.#term) return;
      if (this.#isOurs(entry)) this.#proved(sentMs);
      else this.#lose('another node holds it, or nobody');
    } catch (error) {
      if (term === this.#term) log.debug({ why: describeError(error) }, 'the lease could not be proved now');
    } finally {
      this.#proofsUnderWay -= 1;
    }
  }

  #lose(why: string): void {
    if (this.#provenUntilMs === undefined) return;
    this.#forget();
    this.#tell(why);
  }

  #forget(): void {
    this.#term += 1;
    this.#provenUntilMs = undefined;
    this.#lapse?.cancel();
    this.#nextProof?.cancel();
  }

  #tell(why: string): void {
    this.#deps.log.warn({ why }, 'the lease of the primary is lost');
    for (const listener of this.#listeners) listener();
  }
}
