import { AppError } from '../errors.ts';

/** Images and listings that are open at once. */
const HANDLES_MAX = 256;

interface Held {
  address: bigint;
  /** Calls that work on it. */
  uses: number;
  /** Waits for those calls to end. */
  onFree: (() => void) | undefined;
}

/**
 * Addresses of things that the libraries hold for us, by number. One is given up only when no call works on it, and once: a second use of
 * a closed one would be a crash of the process.
 */
export class Handles {
  readonly #held = new Map<number, Held>();

  /** Numbers of those that nobody gives up yet. */
  ids(): number[] {
    return [...this.#held].filter(([, held]) => held.onFree === undefined).map(([id]) => id);
  }

  /** @throws AppError 'unavailable' when too many are open, or about to be. */
  requireRoom(openingCount: number): void {
    if (this.#held.size + openingCount >= HANDLES_MAX) throw new AppError('unavailable', 'too many images are open', { handlesMax: HANDLES_MAX });
  }

  add(id: number, address: bigint): void {
    this.#held.set(id, { address, uses: 0, onFree: undefined });
  }

  /** The address, which stays valid until `leave`. @throws AppError 'state' when it was given up, or the process is another one. */
  enter(id: number): bigint {
    const held = this.#held.get(id);
    if (held === undefined || held.onFree !== undefined) throw new AppError('state', 'the handle is closed', { handle: id });
    held.uses += 1;
    return held.address;
  }

  leave(id: number): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    held.uses -= 1;
    if (held.uses === 0) held.onFree?.();
  }

  /** Tells the address to `onFree`, once, when no call works on it any more; nothing may use it from now on. @throws AppError 'state'. */
  take(id: number, onFree: (address: bigint) => void): void {
    const held = this.#held.get(id);
    if (held === undefined || held.onFree !== undefined) throw new AppError('state', 'the handle is closed', { handle: id });
    held.onFree = (): void => {
      this.#held.delete(id);
      onFree(held.address);
    };
    if (held.uses === 0) held.onFree();
  }
}
