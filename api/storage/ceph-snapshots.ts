import { AppError, isAppError } from '../../common/errors.ts';
import type { RbdImageSpec, RbdSnapshotInfo } from '../../common/rados/image-calls.ts';
import type { Rbd } from '../../common/rados/rbd.ts';
import { snapshotText, type SnapshotRef } from '../../common/schema/snapshot.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { CHANGE_LIMIT_MS, LONG_LIMIT_MS, READ_LIMIT_MS, type CephCommands, type CephLink } from './ceph-commands.ts';
import { namedImages } from './ceph-volumes.ts';
import { presentOrGone, type ImageLists } from './image-lists.ts';
import { requireRoom } from './pool-room.ts';
import type { PoolStorage, Snapshot, SnapshotStorage } from './storage-cluster.ts';

const READ = { timeoutMs: READ_LIMIT_MS };
const CHANGE = { timeoutMs: CHANGE_LIMIT_MS };
const LONG = { timeoutMs: LONG_LIMIT_MS };

/** Snapshots of RBD images through librbd. */
export class CephSnapshots implements SnapshotStorage {
  readonly #link: CephLink;
  readonly #commands: CephCommands;
  readonly #pools: Pick<PoolStorage, 'names'>;
  readonly #images: ImageLists;

  constructor({ link, commands, pools, images }: { link: CephLink; commands: CephCommands; pools: Pick<PoolStorage, 'names'>; images: ImageLists }) {
    this.#link = link;
    this.#commands = commands;
    this.#pools = pools;
    this.#images = images;
  }

  async list({ pool, volume }: { pool?: string | undefined; volume?: string | undefined }): Promise<Snapshot[]> {
    const names = await this.#pools.names();
    if (pool !== undefined && !names.includes(pool)) throw new AppError('not-found', 'there is no such pool for volumes', { pool });
    if (pool !== undefined && volume !== undefined) return this.#ofVolume({ pool, volume });
    const listed = await Promise.all((pool === undefined ? names : [pool]).map((one) => this.#ofPool(one, volume)));
    return listed.flat();
  }

  async create(ref: SnapshotRef): Promise<void> {
    await this.#requireRoom(ref.pool);
    await this.#on(ref, (rbd) => rbd.snapshots.create(ref.volume, ref.snapshot, CHANGE), ref.snapshot);
  }

  async rename(ref: SnapshotRef, name: string): Promise<void> {
    await this.#found(ref);
    await this.#on(ref, (rbd) => rbd.snapshots.rename(ref.volume, ref.snapshot, name, CHANGE), name);
  }

  async remove(ref: SnapshotRef): Promise<void> {
    const { isProtected } = await this.#found(ref);
    await this.#on(ref, async (rbd) => {
      await this.#refuseClones(rbd, ref);
      if (isProtected) await rbd.snapshots.unprotect(ref.volume, ref.snapshot, CHANGE);
      await rbd.snapshots.remove(ref.volume, ref.snapshot, LONG);
    });
  }

  async rollBack(ref: SnapshotRef): Promise<void> {
    await this.#found(ref);
    await this.#requireRoom(ref.pool);
    await this.#on(ref, (rbd) => rbd.snapshots.rollback(ref.volume, ref.snapshot, LONG));
  }

  /** @throws AppError 'no-resource' when the pool is full. */
  async #requireRoom(pool: string): Promise<void> {
    requireRoom(await this.#commands.osdDump(), pool);
  }

  /** @throws AppError 'not-found' of volume or snapshot. */
  async #found(ref: SnapshotRef): Promise<RbdSnapshotInfo> {
    const found = (await this.#on(ref, (rbd) => rbd.snapshots.list(ref.volume, READ))).find(({ name }) => name === ref.snapshot);
    if (found === undefined) throw new AppError('not-found', 'there is no such snapshot', { snapshot: snapshotText(ref) });
    return found;
  }

  async #refuseClones(rbd: Rbd, ref: SnapshotRef): Promise<void> {
    const ofVolume = await rbd.children(ref.volume, READ);
    const clones = await Promise.all(ofVolume.map(async (child) => ((await this.#isCloneOf(child, ref)) ? [child] : [])));
    const found = clones.flat();
    if (found.length > 0) throw new AppError('state', 'volumes are clones of this snapshot', { snapshot: snapshotText(ref), clones: namedImages(found) });
  }

  /** One in the trash cannot be looked into, so it counts. */
  async #isCloneOf({ pool, namespace, image, isInTrash }: RbdImageSpec, ref: SnapshotRef): Promise<boolean> {
    if (isInTrash) return true;
    const rados = await this.#link.rados();
    const { parent } = await rados.rbd(pool, namespace).info(image, READ);
    return parent?.snapshot === ref.snapshot;
  }

  /** Of all volumes by one look at the pool. */
  async #ofPool(pool: string, volume: string | undefined): Promise<Snapshot[]> {
    const images = await presentOrGone(this.#images.fresh(pool));
    return images
      .filter(({ name }) => volume === undefined || name === volume)
      .flatMap((image) => image.snapshots.filter(({ isOfUser }) => isOfUser).map((one) => snapshotOf({ pool, volume: image.name }, one)));
  }

  /** None of a volume that does not exist. */
  async #ofVolume({ pool, volume }: VolumeRef): Promise<Snapshot[]> {
    const rados = await this.#link.rados();
    const found = await presentOrGone(rados.rbd(pool).snapshots.list(volume, READ));
    return found.map((one) => snapshotOf({ pool, volume }, one));
  }

  async #on<T>(ref: SnapshotRef, work: (rbd: Rbd) => Promise<T>, newName?: string): Promise<T> {
    const rados = await this.#link.rados();
    try {
      const result = await work(rados.rbd(ref.pool));
      this.#images.forget(ref.pool);
      return result;
    } catch (error) {
      throw snapshotError(error, ref, newName ?? ref.snapshot);
    }
  }
}

function snapshotOf(ref: VolumeRef, { id, name, sizeBytes, isProtected, createdAtMs }: RbdSnapshotInfo): Snapshot {
  return { ...ref, snapshot: name, id, sizeBytes, isProtected, createdMs: createdAtMs };
}

/** In words of snapshots; what else went wrong stays as it is. */
function snapshotError(error: unknown, ref: SnapshotRef, newName: string): unknown {
  if (isAppError(error, 'not-found')) return new AppError('not-found', 'there is no such volume', { volume: volumeText(ref) }, { cause: error });
  if (isAppError(error, 'exists')) return new AppError('exists', 'a snapshot of this name exists', { snapshot: snapshotText({ ...ref, snapshot: newName }) }, { cause: error });
  return error;
}
