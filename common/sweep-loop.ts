import { delay, type Clock } from './clock.ts';
import { describeError } from './errors.ts';
import type { Logger } from './log.ts';

export interface SweepLoopDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Between the end of one sweep and the next, and before the first, in milliseconds. */
  readonly intervalMs: number;
  /** What is swept, for the log. */
  readonly name: string;
  readonly sweep: (signal: AbortSignal) => Promise<unknown>;
}

/** Sweeps again and again, one sweep at a time; one that fails is logged, and the next one is tried. */
export class SweepLoop {
  readonly #deps: SweepLoopDeps;
  #running: { stopping: AbortController; ended: Promise<void> } | undefined;

  constructor(deps: SweepLoopDeps) {
    this.#deps = deps;
  }

  /** Safe to call twice. */
  start(): void {
    if (this.#running !== undefined) return;
    const stopping = new AbortController();
    this.#running = { stopping, ended: this.#run(stopping.signal) };
  }

  /** Resolves when the sweep under way has ended. Safe to call twice. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.stopping.abort();
    await running?.ended;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs, log, name, sweep } = this.#deps;
    while (!signal.aborted) {
      try {
        await delay(clock, intervalMs, signal);
        await sweep(signal);
      } catch (error) {
        if (!signal.aborted) log.warn({ name, error: describeError(error) }, 'a sweep failed and will be tried again');
      }
    }
  }
}
