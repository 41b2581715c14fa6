import type { CallOptions, Caller } from './call.ts';
import {
  breakLockCall,
  breakLockOwnerCall,
  lockCall,
  lockersCall,
  lockOwnersCall,
  watchersCall,
  type RbdLockers,
  type RbdLockOwners,
  type RbdWatcher,
} from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';

/**
 * Who has the images of one pool open, and who may write. A dead client's lock is broken only after its address is blocklisted, or
 * it may write once more.
 */
export class RbdLocks {
  readonly #caller: Caller;
  readonly #place: ObjectPlace;

  constructor(caller: Caller, place: ObjectPlace) {
    this.#caller = caller;
    this.#place = place;
  }

  /** Holders of the image's lock, as `rbd lock ls` has them: librbd's exclusive lock among them, with a cookie that begins with `auto`. */
  async lockers(image: string, options?: CallOptions): Promise<RbdLockers> {
    return this.#caller.call(lockersCall, { ...this.#place, image }, options);
  }

  /** Holders of librbd's exclusive lock by their addresses; empty when nobody writes. @throws AppError 'invalid' without that feature. */
  async owners(image: string, options?: CallOptions): Promise<RbdLockOwners> {
    return this.#caller.call(lockOwnersCall, { ...this.#place, image }, options);
  }

  /** Takes the image's lock for good, with a cookie of one's own; it stays until somebody breaks it. @throws AppError 'state' when it is held. */
  async lock(image: string, cookie: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(lockCall, { ...this.#place, image, cookie }, options);
  }

  /**
   * Takes a lock away, as `rbd lock rm` does; librbd blocklists the client unless its rbd_blocklist_on_break_lock is off.
   * @param holder as `lockers` told it.
   * @throws AppError 'not-found' when that holder has no lock.
   */
  async breakLock(image: string, holder: { client: string; cookie: string }, options?: CallOptions): Promise<void> {
    await this.#caller.call(breakLockCall, { ...this.#place, image, client: holder.client, cookie: holder.cookie }, options);
  }

  /** Takes librbd's exclusive lock away and blocklists its owner. @param owner as `owners` told it. */
  async breakOwner(image: string, owner: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(breakLockOwnerCall, { ...this.#place, image, owner }, options);
  }

  /** Clients that have the image open, for reading too; a dead one is among them for its last 30 s. */
  async watchers(image: string, options?: CallOptions): Promise<RbdWatcher[]> {
    return this.#caller.call(watchersCall, { ...this.#place, image }, options);
  }
}
