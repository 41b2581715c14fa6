import type { Clock, Timer } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { BackoffLimits } from './backoff.ts';
import type { Reconciler } from './reconciler.ts';
import { WorkQueue, type WorkQueueCounts } from './work-queue.ts';

/** Calls `enqueue` with each key that may have changed, until the returned function is called. */
export type KeySource = (enqueue: (key: string) => void) => () => void;

export interface ControllerOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reconciler: Reconciler;
  /** What tells of changes: the mirror, the host's events. */
  readonly sources: readonly KeySource[];
  /** Every key there is, for the start and for the sweep. */
  readonly keys: () => Iterable<string>;
  readonly workers: number;
  /** The sweep that proves that no event was missed, in milliseconds. */
  readonly resyncMs: number;
  readonly jitter: () => number;
  readonly backoff?: BackoffLimits;
}

/** Turns "something about X may have changed" into a run of the reconciler for X. */
export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  #unsubscribe: readonly (() => void)[] = [];
  #sweep: Timer | undefined;
  #running = false;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    const { clock, reconciler, workers, jitter } = options;
    this.#queue = new WorkQueue({
      clock,
      log: options.log.child({ controller: options.name }),
      work: (key, signal) => reconciler.reconcile(key, signal),
      workers,
      jitter,
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    });
  }

  /** Subscribes first and then adds every key, so that no change falls between. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#unsubscribe = this.#options.sources.map((source) => source((key) => this.#queue.add(key)));
    this.#queue.start();
    this.#resync();
  }

  /** Resolves when no reconciler of this controller runs any more. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unsubscribe = [];
    await this.#queue.stop();
  }

  /** Something about `key` may have changed. */
  enqueue(key: string): void {
    this.#queue.add(key);
  }

  counts(): WorkQueueCounts {
    return this.#queue.counts();
  }

  #resync(): void {
    for (const key of this.#options.keys()) this.#queue.add(key);
    this.#sweep = this.#options.clock.after(this.#options.resyncMs, () => this.#resync());
  }
}
