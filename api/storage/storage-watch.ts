import { delay, withTimeout, type Clock } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { STORAGE_FIGURES_MS, type StorageCluster, type StorageSummary } from './storage-cluster.ts';

/** Each of its calls ends earlier. */
const LOOK_LIMIT_MS = 60_000;
/** A look may take a fifth of the time: with very many volumes looks are further apart. */
const REST_PER_LOOK = 4;

/** Looks at the storage again and again, so that the cluster's state at a glance can be told at once, whatever hangs there. */
export class StorageWatch {
  readonly #cluster: Pick<StorageCluster, 'overview'>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ending = new AbortController();
  #summary: StorageSummary | undefined;
  #fault: string | undefined;
  #looking: Promise<void> | undefined;

  constructor(deps: { cluster: Pick<StorageCluster, 'overview'>; clock: Clock; log: Logger }) {
    this.#cluster = deps.cluster;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  start(): void {
    this.#looking ??= this.#lookAgainAndAgain();
  }

  /** Does not wait for a look that hangs. */
  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#looking;
  }

  /** As it was last seen; undefined before the first time. */
  get summary(): StorageSummary | undefined {
    return this.#summary;
  }

  /** Why it could not be seen the last time, for people; undefined when it could. */
  get fault(): string | undefined {
    return this.#fault;
  }

  async #lookAgainAndAgain(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const beganMs = this.#clock.monotonicMs();
      await this.#look();
      const tookMs = this.#fault === undefined ? this.#clock.monotonicMs() - beganMs : 0;
      const restMs = Math.max(STORAGE_FIGURES_MS, tookMs * REST_PER_LOOK);
      await delay(this.#clock, restMs, this.#ending.signal).catch(ended);
    }
  }

  async #look(): Promise<void> {
    try {
      const limit = { timeoutMs: LOOK_LIMIT_MS, what: 'a look at the storage', signal: this.#ending.signal };
      this.#summary = await withTimeout(this.#clock, limit, () => this.#cluster.overview.summary());
      this.#fault = undefined;
    } catch (error) {
      this.#fault = describeError(error);
      if (!isAppError(error)) this.#log.error({ error: this.#fault }, 'the look at the storage failed unexpectedly');
    }
  }
}

/** The end of the watch ends its waits. */
function ended(error: unknown): void {
  if (!isAppError(error, 'cancelled')) throw error;
}
