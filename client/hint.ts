import type { Clock } from '../common/clock.ts';

/** "Look again": any number of hints that come before somebody looks are one. */
export class Hint {
  #given = false;
  #wake: (() => void) | undefined;

  give(): void {
    this.#given = true;
    this.#wake?.();
  }

  /** Resolves when a hint has been given since the last wait, after `limitMs`, or when the signal aborts. */
  async wait(clock: Clock, limitMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#given && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          timer.cancel();
          signal.removeEventListener('abort', end);
          resolve();
        };
        const timer = clock.after(limitMs, end);
        signal.addEventListener('abort', end, { once: true });
        this.#wake = end;
      });
    }
    this.#wake = undefined;
    this.#given = false;
  }
}
