import type { CallOptions, Caller } from './call.ts';
import {
  snapshotCreateCall,
  snapshotListCall,
  snapshotProtectCall,
  snapshotRemoveCall,
  snapshotRenameCall,
  snapshotRollbackCall,
  snapshotUnprotectCall,
  type RbdSnapshotInfo,
} from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';

/** Snapshots of the images of one pool. */
export class RbdSnapshots {
  readonly #caller: Caller;
  readonly #place: ObjectPlace;

  constructor(caller: Caller, place: ObjectPlace) {
    this.#caller = caller;
    this.#place = place;
  }

  /** In the order in which they were taken. */
  async list(image: string, options?: CallOptions): Promise<RbdSnapshotInfo[]> {
    return this.#caller.call(snapshotListCall, { ...this.#place, image }, options);
  }

  /** @throws AppError 'exists'. */
  async create(image: string, snapshot: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(snapshotCreateCall, { ...this.#place, image, snapshot }, options);
  }

  /**
   * @param options with `force`, clones of it are flattened first and its protection is taken off.
   * @throws AppError 'state' while it is protected.
   */
  async remove(image: string, snapshot: string, options: CallOptions & { force?: boolean } = {}): Promise<void> {
    const { force = false } = options;
    await this.#caller.call(snapshotRemoveCall, { ...this.#place, image, snapshot, force }, options);
  }

  /** @throws AppError 'exists' when the new name is taken. */
  async rename(image: string, snapshot: string, toSnapshot: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(snapshotRenameCall, { ...this.#place, image, snapshot, toSnapshot }, options);
  }

  /** @throws AppError 'state' when it is protected already. */
  async protect(image: string, snapshot: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(snapshotProtectCall, { ...this.#place, image, snapshot }, options);
  }

  /** @throws AppError 'state' while clones of it need it; 'invalid' when it is not protected. */
  async unprotect(image: string, snapshot: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(snapshotUnprotectCall, { ...this.#place, image, snapshot }, options);
  }

  /** Makes the image what it was; nobody may have it open for writing. */
  async rollback(image: string, snapshot: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(snapshotRollbackCall, { ...this.#place, image, snapshot }, options);
  }
}
