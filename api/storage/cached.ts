import type { Clock } from '../../common/clock.ts';

interface Held<T> {
  /** On the monotonic clock, when it was asked for. */
  sinceMs: number;
  value: Promise<T>;
}

/** What one call brings, kept for a while. Whoever asks meanwhile gets the same, also while the call is under way; a failure is not kept. */
export class Cached<T> {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #load: () => Promise<T>;
  #held: Held<T> | undefined;

  constructor(deps: { clock: Clock; maxAgeMs: number; load: () => Promise<T> }) {
    this.#clock = deps.clock;
    this.#maxAgeMs = deps.maxAgeMs;
    this.#load = deps.load;
  }

  get(): Promise<T> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#held !== undefined && nowMs - this.#held.sinceMs < this.#maxAgeMs) return this.#held.value;
    const held = { sinceMs: nowMs, value: this.#load() };
    this.#held = held;
    held.value.catch(() => {
      if (this.#held === held) this.#held = undefined;
    });
    return held.value;
  }

  /** What is asked for next is looked up anew: something has changed. */
  forget(): void {
    this.#held = undefined;
  }
}
