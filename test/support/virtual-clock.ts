import type { Clock, Timer } from '../../common/clock.ts';

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A shorter one would be lost in the sum with the time that has passed, and whoever waits for its end would wait for ever. */
const DELAY_MIN_MS = 0.001;

/** Timers that one advance may run, at most: a loop of zero-length timers ends in an error and not in a hang. */
const TIMERS_MAX = 5_000_000;

/**
 * A clock that stands still until it is told to advance. Timers run in the order of their due time, then of their creation,
 * and after each everything that promises can do is done, so that the same program always runs the same way.
 */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  readonly #timers: Pending[] = [];
  #elapsedMs = 0;
  #order = 0;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return Math.floor(this.#startMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  after(delayMs: number, callback: () => void): Timer {
    const pending = { dueMs: this.#elapsedMs + (delayMs > 0 ? Math.max(DELAY_MIN_MS, delayMs) : 0), order: this.#order++, callback };
    this.#timers.splice(this.#position(pending), 0, pending);
    return { cancel: () => this.#cancel(pending) };
  }

  /** Lets promises run until nothing is left that needs no timer. */
  async settle(): Promise<void> {
    // setImmediate fires only when the microtask queue is empty; twice, for what a first one scheduled.
    for (let round = 0; round < 2; round += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Moves the time forward by `durationMs` and runs what becomes due on the way. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#elapsedMs + durationMs;
    await this.settle();
    for (let count = 0; count < TIMERS_MAX; count += 1) {
      const ran = await this.#step(endMs);
      if (!ran) {
        this.#elapsedMs = endMs;
        return;
      }
    }
    throw new Error(`more than ${TIMERS_MAX} timers within ${durationMs} ms`);
  }

  /** Moves from timer to timer until `condition` holds; fails after `limitMs` of virtual time. */
  async advanceUntil(condition: () => boolean, limitMs: number, what = 'condition'): Promise<void> {
    const endMs = this.#elapsedMs + limitMs;
    await this.settle();
    for (let count = 0; count < TIMERS_MAX && !condition(); count += 1) {
      const ran = await this.#step(endMs);
      if (!ran) throw new Error(`${what} did not hold within ${limitMs} ms of virtual time`);
    }
  }

  async #step(endMs: number): Promise<boolean> {
    const next = this.#timers[0];
    if (next === undefined || next.dueMs > endMs) return false;
    this.#timers.shift();
    this.#elapsedMs = next.dueMs;
    next.callback();
    await this.settle();
    return true;
  }

  #cancel(pending: Pending): void {
    const index = this.#position(pending);
    if (this.#timers[index] === pending) this.#timers.splice(index, 1);
  }

  #position(pending: Pending): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#timers[middle], pending)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(one: Pending | undefined, other: Pending): boolean {
  if (one === undefined) return false;
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.order < other.order);
}
