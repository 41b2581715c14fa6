import type { Clock, Timer } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { SessionState, StoreListener } from './store.ts';

/** Lets calls wait for the connection, for a bounded time, and tells the state to listeners. */
export class SessionGate {
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #listeners = new Set<StoreListener>();
  readonly #waiting = new Set<{ open: () => void; fail: (error: AppError) => void }>();
  #state: SessionState = 'suspended';

  /** @param waitMs how long a call waits for the connection. */
  constructor(clock: Clock, waitMs: number) {
    this.#clock = clock;
    this.#waitMs = waitMs;
  }

  get state(): SessionState {
    return this.#state;
  }

  get listeners(): Iterable<StoreListener> {
    return [...this.#listeners];
  }

  listen(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  change(state: SessionState): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of this.listeners) listener.session?.(state);
    // A listener may have changed the state again.
    if (this.#state !== 'connected') return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const call of waiting) call.open();
  }

  /** Fails the calls that wait for a connection that will not come. */
  close(): void {
    this.change('suspended');
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const call of waiting) call.fail(new AppError('unavailable', 'store is closed'));
  }

  /** @throws AppError 'unavailable' when there is no connection in time. */
  async whenConnected(): Promise<void> {
    if (this.#state === 'connected') return;
    await new Promise<void>((resolve, reject) => {
      const timer: Timer = this.#clock.after(this.#waitMs, () => {
        this.#waiting.delete(call);
        reject(new AppError('unavailable', 'store is not connected', { waitedMs: this.#waitMs }));
      });
      const call = {
        open: (): void => {
          timer.cancel();
          resolve();
        },
        fail: (error: AppError): void => {
          timer.cancel();
          reject(error);
        },
      };
      this.#waiting.add(call);
    });
  }
}
