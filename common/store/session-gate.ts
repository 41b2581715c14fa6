import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Entry, SessionState, StoreListener } from './store.ts';

/** Lets calls wait for the connection, for a bounded time, and tells the state to listeners. */
export class SessionGate {
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #listeners = new Set<StoreListener>();
  readonly #waiting = new Set<{ open: () => void; fail: (error: AppError) => void }>();
  #state: SessionState = 'suspended';
  #closed = true;

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

  /** Tells of a write that was acknowledged. @returns the entry. */
  written(entry: Entry): Entry {
    for (const listener of this.listeners) listener.written?.(entry);
    return entry;
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

  /** Lets calls wait from now on. */
  open(): void {
    this.#closed = false;
  }

  /** Fails the calls that wait for a connection, and those that come. */
  close(): void {
    this.#closed = true;
    this.change('suspended');
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const call of waiting) call.fail(closed());
  }

  /** @throws AppError 'unavailable' when there is no connection in time. */
  async whenConnected(): Promise<void> {
    if (this.#closed) throw closed();
    if (this.#state === 'connected') return;
    await new Promise<void>((resolve, reject) => {
      const end = this.#wait(resolve, reject);
      const timer = this.#clock.after(this.#waitMs, () => {
        end.leave();
        reject(new AppError('unavailable', 'store is not connected', { waitedMs: this.#waitMs }));
      });
      end.add(() => timer.cancel());
    });
  }

  /** Resolves when connected, however long that takes. @throws AppError 'cancelled', 'unavailable' when the store is stopped. */
  async untilConnected(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw cancelled();
    if (this.#state === 'connected') return;
    await new Promise<void>((resolve, reject) => {
      const end = this.#wait(resolve, reject);
      const onAbort = (): void => {
        end.leave();
        reject(cancelled());
      };
      signal.addEventListener('abort', onAbort, { once: true });
      end.add(() => signal.removeEventListener('abort', onAbort));
    });
  }

  /** Waits with the others; `add` names what to undo in the end, `leave` waits no longer. */
  #wait(resolve: () => void, reject: (error: AppError) => void): { add: (undo: () => void) => void; leave: () => void } {
    let undo = (): void => undefined;
    const call = {
      open: (): void => {
        undo();
        resolve();
      },
      fail: (error: AppError): void => {
        undo();
        reject(error);
      },
    };
    this.#waiting.add(call);
    return {
      add: (added) => (undo = added),
      leave: () => this.#waiting.delete(call),
    };
  }
}

function closed(): AppError {
  return new AppError('unavailable', 'store is closed');
}

function cancelled(): AppError {
  return new AppError('cancelled', 'the call was cancelled');
}
