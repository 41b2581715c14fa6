import type { Clock, Timer } from '../clock.ts';

export interface FetcherOptions {
  readonly clock: Clock;
  readonly inFlightMax: number;
  /** Wait before a failed key is fetched again. */
  readonly retryMs: number;
  readonly fetch: (key: string) => Promise<void>;
  /** @returns true when the key shall be fetched again after `retryMs`. */
  readonly failed: (key: string, error: unknown) => boolean;
  /** The key was fetched and nobody has asked for it since, or it was given up. Not told of what `stop` made it forget. */
  readonly ended: (key: string) => void;
}

/**
 * Reads keys with one read in flight for each and a bound over all. A key asked for while it is read is read once more, because the
 * read may have been answered before the change: many requests coalesce, and the last is never lost.
 */
export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #queued = new Set<string>();
  /** Where the queue begins. An iterator of its own for each look would pass over what was deleted before, thousands of times over. */
  #next = this.#queued.values();
  readonly #inFlight = new Set<string>();
  readonly #again = new Set<string>();
  readonly #retries = new Map<string, Timer>();
  #open = false;
  #generation = 0;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  start(): void {
    this.#open = true;
    this.#pump();
  }

  /** Forgets everything asked for; what is in flight ends without effect on the rest. */
  stop(): void {
    this.#open = false;
    this.#generation += 1;
    this.#queued.clear();
    this.#again.clear();
    this.#inFlight.clear();
    for (const timer of this.#retries.values()) timer.cancel();
    this.#retries.clear();
  }

  /** What is asked for and has not ended. */
  pending(): readonly string[] {
    return [...this.#queued, ...this.#inFlight, ...this.#retries.keys()];
  }

  isInFlight(key: string): boolean {
    return this.#inFlight.has(key);
  }

  request(key: string): void {
    if (this.#inFlight.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#retries.get(key)?.cancel();
    this.#retries.delete(key);
    this.#queued.add(key);
    this.#pump();
  }

  /**
   * Begins reads when half of those that may be in flight have ended: many requests one after the other cost the client and the server
   * less than as many that alternate with replies.
   */
  #pump(): void {
    if (this.#inFlight.size > this.#options.inFlightMax / 2) return;
    while (this.#open && this.#inFlight.size < this.#options.inFlightMax) {
      const key = this.#take();
      if (key === undefined) return;
      this.#inFlight.add(key);
      void this.#run(key, this.#generation);
    }
  }

  #take(): string | undefined {
    let step = this.#next.next();
    if (step.done === true) {
      // An iterator that came to its end does not see what is added later.
      this.#next = this.#queued.values();
      step = this.#next.next();
    }
    if (step.done === true) return undefined;
    this.#queued.delete(step.value);
    return step.value;
  }

  async #run(key: string, generation: number): Promise<void> {
    let retry = false;
    try {
      await this.#options.fetch(key);
    } catch (error) {
      retry = generation === this.#generation && this.#options.failed(key, error);
    }
    if (generation !== this.#generation) return;
    this.#inFlight.delete(key);
    if (this.#again.delete(key)) this.#queued.add(key);
    else if (retry) this.#retryLater(key);
    else this.#options.ended(key);
    this.#pump();
  }

  #retryLater(key: string): void {
    const timer = this.#options.clock.after(this.#options.retryMs, () => {
      this.#retries.delete(key);
      this.#queued.add(key);
      this.#pump();
    });
    this.#retries.set(key, timer);
  }
}
