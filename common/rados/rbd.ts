import type { CallOptions, Caller } from './call.ts';
import {
  imageChildrenCall,
  imageCloneCall,
  imageCopyCall,
  imageCreateCall,
  imageFeaturesCall,
  imageFlattenCall,
  imageInfoCall,
  imageListingsCall,
  imageNamesCall,
  imageRebuildObjectMapCall,
  imageRemoveCall,
  imageRenameCall,
  imageResizeCall,
  type RbdImageInfo,
  type RbdImageListing,
  type RbdImageOptions,
  type RbdImageSpec,
} from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';
import { RbdLocks } from './rbd-locks.ts';
import { RbdMetadata } from './rbd-metadata.ts';
import { RbdSnapshots } from './rbd-snapshots.ts';
import { exportPieces, importPieces, withData, type ExportOptions, type ImportOptions, type RbdChunk, type RbdPiece } from './rbd-stream.ts';

/** Where a copy or a clone goes: the same pool unless told otherwise. */
export interface RbdTarget {
  pool?: string;
  namespace?: string;
  image: string;
}

/**
 * Images of one pool. No image stays open between calls, so nobody is kept from removing it. Changes of one image run one after the other;
 * those of many run side by side. Every method throws 'not-found' where the pool or the image is missing, 'state' where librbd
 * refuses for what the image is in (in use, snapshots, a protected snapshot).
 */
export class Rbd {
  readonly pool: string;
  readonly snapshots: RbdSnapshots;
  readonly locks: RbdLocks;
  readonly metadata: RbdMetadata;
  readonly #caller: Caller;
  readonly #place: ObjectPlace;

  constructor(caller: Caller, place: ObjectPlace) {
    this.#caller = caller;
    this.#place = place;
    this.pool = place.pool;
    this.snapshots = new RbdSnapshots(caller, place);
    this.locks = new RbdLocks(caller, place);
    this.metadata = new RbdMetadata(caller, place);
  }

  /** Names in their order, without those in the trash. */
  async list(options?: CallOptions): Promise<string[]> {
    return this.#caller.call(imageNamesCall, this.#place, options);
  }

  /** Size, features, parent and times of every image in one look at the pool, without opening any; an image that is going meanwhile is left out. */
  async listInfo(options?: CallOptions): Promise<RbdImageListing[]> {
    return this.#caller.call(imageListingsCall, this.#place, options);
  }

  /** @throws AppError 'exists'. */
  async create(image: string, sizeBytes: number, imageOptions: RbdImageOptions = {}, options?: CallOptions): Promise<void> {
    await this.#caller.call(imageCreateCall, { ...this.#place, image, sizeBytes, options: imageOptions }, options);
  }

  async info(image: string, options?: CallOptions): Promise<RbdImageInfo> {
    return this.#caller.call(imageInfoCall, { ...this.#place, image }, options);
  }

  /** Clones of all its snapshots, in every pool. */
  async children(image: string, options?: CallOptions): Promise<RbdImageSpec[]> {
    return this.#caller.call(imageChildrenCall, { ...this.#place, image }, options);
  }

  /** @throws AppError 'invalid' when it would become smaller and `allowShrink` is not set; what lies behind the new end is lost. */
  async resize(image: string, sizeBytes: number, options: CallOptions & { allowShrink?: boolean } = {}): Promise<void> {
    const { allowShrink = false } = options;
    await this.#caller.call(imageResizeCall, { ...this.#place, image, sizeBytes, allowShrink }, options);
  }

  /** @throws AppError 'exists' when the new name is taken. */
  async rename(image: string, toImage: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(imageRenameCall, { ...this.#place, image, toImage }, options);
  }

  /** A full copy of the image, or of one of its snapshots, without snapshots; empty regions stay empty. @throws AppError 'exists'. */
  async copy(image: string, to: RbdTarget, options: CallOptions & { snapshot?: string; image?: RbdImageOptions } = {}): Promise<void> {
    await this.#caller.call(imageCopyCall, { ...this.#from(image, to, options.image), snapshot: options.snapshot }, options);
  }

  /**
   * A copy-on-write image over a snapshot, which stays needed until the clone is flattened.
   * @throws AppError 'exists'; 'invalid' when the snapshot is not protected and the cluster asks for that (clone format 1).
   */
  async clone(image: string, snapshot: string, to: RbdTarget, options: CallOptions & { image?: RbdImageOptions; cloneFormat?: 1 | 2 } = {}): Promise<void> {
    await this.#caller.call(imageCloneCall, { ...this.#from(image, to, options.image), snapshot, cloneFormat: options.cloneFormat }, options);
  }

  /** Copies what a clone still reads from its parent, and lets go of the parent. */
  async flatten(image: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(imageFlattenCall, { ...this.#place, image }, options);
  }

  /** @throws AppError 'state' while it has snapshots or somebody has it open. */
  async remove(image: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(imageRemoveCall, { ...this.#place, image }, options);
  }

  async enableFeatures(image: string, features: readonly string[], options?: CallOptions): Promise<void> {
    await this.#caller.call(imageFeaturesCall, { ...this.#place, image, features: [...features], isEnabled: true }, options);
  }

  async disableFeatures(image: string, features: readonly string[], options?: CallOptions): Promise<void> {
    await this.#caller.call(imageFeaturesCall, { ...this.#place, image, features: [...features], isEnabled: false }, options);
  }

  /** Mends an object map that is flagged as invalid. */
  async rebuildObjectMap(image: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(imageRebuildObjectMapCall, { ...this.#place, image }, options);
  }

  /** The contents of the image, or of a snapshot, in ascending order; regions of zeros are skipped. */
  export(image: string, options: CallOptions & { snapshot?: string } = {}): AsyncGenerator<RbdChunk, void, undefined> {
    return withData(this.exportPieces(image, options));
  }

  /**
   * All of the image, or of a snapshot, in ascending order; a region of zeros comes as its length only.
   * @throws AppError 'conflict' before the first piece when the image has another size than `sizeBytes`, if that is given.
   */
  exportPieces(image: string, { snapshot, ...options }: ExportOptions & { snapshot?: string | undefined } = {}): AsyncGenerator<RbdPiece, void, undefined> {
    return exportPieces(this.#caller, { ...this.#place, image, snapshot }, options);
  }

  /**
   * Writes `pieces` into an image that is there, and flushes it; regions that no piece has stay as they are. Pieces may come in any order.
   * @param options.isExclusive nobody else can write to it meanwhile: librbd's exclusive lock is taken before the first piece is asked for.
   * @throws AppError 'invalid' when a piece lies beyond the end of the image, 'state' when somebody else keeps the lock.
   */
  async import(image: string, pieces: AsyncIterable<RbdPiece>, options: ImportOptions = {}): Promise<void> {
    await importPieces(this.#caller, { ...this.#place, image }, pieces, options);
  }

  #from(image: string, to: RbdTarget, imageOptions: RbdImageOptions = {}) {
    const { pool, namespace } = this.#place;
    return { ...this.#place, image, toPool: to.pool ?? pool, toNamespace: to.namespace ?? namespace, toImage: to.image, options: imageOptions };
  }
}
