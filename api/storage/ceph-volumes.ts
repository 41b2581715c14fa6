import { AppError, isAppError } from '../../common/errors.ts';
import type { RbdImageListing, RbdImageSpec } from '../../common/rados/image-calls.ts';
import type { Rbd } from '../../common/rados/rbd.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { CHANGE_LIMIT_MS, LONG_LIMIT_MS, READ_LIMIT_MS, type CephCommands, type CephLink } from './ceph-commands.ts';
import type { OsdDump } from './ceph-documents.ts';
import { presentOrGone, type ImageLists } from './image-lists.ts';
import { rbdPools } from './pool-facts.ts';
import { requireRoom } from './pool-room.ts';
import type { Volume, VolumeStorage } from './storage-cluster.ts';
import { listedVolume, shownVolume } from './volume-facts.ts';

const READ = { timeoutMs: READ_LIMIT_MS };
const CHANGE = { timeoutMs: CHANGE_LIMIT_MS };
const LONG = { timeoutMs: LONG_LIMIT_MS };

/** Others that a message names, at most. */
const NAMED_MAX = 10;

/** RBD images through librbd. */
export class CephVolumes implements VolumeStorage {
  readonly #link: CephLink;
  readonly #commands: CephCommands;
  readonly #images: ImageLists;
  /** Of what was listed: the same volume for the same image, so that who presents it can keep what came of it. */
  readonly #listed = new WeakMap<RbdImageListing, Volume>();

  constructor({ link, commands, images }: { link: CephLink; commands: CephCommands; images: ImageLists }) {
    this.#link = link;
    this.#commands = commands;
    this.#images = images;
  }

  async list(pool?: string): Promise<Volume[]> {
    const pools = await this.#pools(pool);
    const listed = await Promise.all(pools.map(async (one) => (await presentOrGone(this.#images.recent(one.name))).map((image) => this.#listedVolume(one, image))));
    return listed.flat();
  }

  async get(ref: VolumeRef): Promise<Volume> {
    return shownVolume(ref.pool, await this.#on(ref, (rbd) => rbd.info(ref.volume, READ)));
  }

  async missing(refs: readonly VolumeRef[]): Promise<VolumeRef[]> {
    const pools = [...new Set(refs.map(({ pool }) => pool))];
    const names = new Map(await Promise.all(pools.map(async (pool) => [pool, new Set(await presentOrGone(this.#images.names(pool)))] as const)));
    return refs.filter(({ pool, volume }) => names.get(pool)?.has(volume) !== true);
  }

  async create(ref: VolumeRef, sizeBytes: number): Promise<void> {
    await this.#requireRoom(ref.pool);
    await this.#on(ref, (rbd) => rbd.create(ref.volume, sizeBytes, {}, CHANGE));
    this.#images.forget(ref.pool);
  }

  async resize(ref: VolumeRef, sizeBytes: number): Promise<void> {
    const { sizeBytes: now } = await this.get(ref);
    if (sizeBytes < now) throw new AppError('state', 'a volume cannot be made smaller: what is at its end would be lost', { volume: volumeText(ref), sizeBytes: now });
    if (sizeBytes > now) await this.#requireRoom(ref.pool);
    await this.#on(ref, (rbd) => rbd.resize(ref.volume, sizeBytes, CHANGE));
    this.#images.forget(ref.pool);
  }

  async rename(ref: VolumeRef, name: string): Promise<void> {
    await this.#requireRoom(ref.pool);
    await this.#on(ref, (rbd) => rbd.rename(ref.volume, name, CHANGE), name);
    this.#images.forget(ref.pool);
  }

  async copy(ref: VolumeRef, name: string): Promise<void> {
    await this.#requireRoom(ref.pool);
    try {
      await this.#on(ref, (rbd) => this.#copyWhole(rbd, ref, name), name);
    } finally {
      this.#images.forget(ref.pool);
    }
  }

  /** librbd makes the image first, and leaves it when the copy breaks off: a part that looks like a whole. */
  async #copyWhole(rbd: Rbd, ref: VolumeRef, name: string): Promise<void> {
    // What is there before is nobody's part; librbd too refuses to copy onto it.
    if ((await this.#images.names(ref.pool)).includes(name)) throw new AppError('exists', 'a volume of this name exists');
    try {
      await rbd.copy(ref.volume, { image: name }, LONG);
    } catch (error) {
      if (isAppError(error, 'exists', 'not-found')) throw error;
      throw await afterRemoval(rbd, { pool: ref.pool, volume: name }, await this.#reasonOf(error, ref.pool));
    }
  }

  /** Looks at all that would keep the volume from being removed first: its snapshots are not to be lost in vain. */
  async remove(ref: VolumeRef): Promise<void> {
    await this.#on(ref, async (rbd) => {
      await refuseClones(rbd, ref);
      await refuseOpen(rbd, ref);
      for (const { name, isProtected } of await rbd.snapshots.list(ref.volume, READ)) {
        if (isProtected) await rbd.snapshots.unprotect(ref.volume, name, CHANGE);
        await rbd.snapshots.remove(ref.volume, name, LONG);
      }
      await rbd.remove(ref.volume, LONG);
    });
    this.#images.forget(ref.pool);
  }

  #listedVolume(pool: { name: string; id: number }, image: RbdImageListing): Volume {
    const known = this.#listed.get(image);
    if (known !== undefined) return known;
    const volume = listedVolume(pool, image);
    this.#listed.set(image, volume);
    return volume;
  }

  /** @throws AppError 'not-found' of the pool, 'no-resource' when it is full. */
  async #requireRoom(pool: string): Promise<void> {
    const dump = await this.#commands.osdDump();
    poolsFor(dump, pool);
    requireRoom(dump, pool);
  }

  /** A pool that became full says itself what is full. */
  async #reasonOf(failure: unknown, pool: string): Promise<unknown> {
    if (!isAppError(failure, 'unknown-outcome', 'no-resource')) return failure;
    try {
      await this.#requireRoom(pool);
      return failure;
    } catch (error) {
      return isAppError(error, 'no-resource') ? error : failure;
    }
  }

  async #pools(name?: string): Promise<{ name: string; id: number }[]> {
    return poolsFor(await this.#commands.osdDump(), name);
  }

  /** @param newName of what the work makes. */
  async #on<T>(ref: VolumeRef, work: (rbd: Rbd) => Promise<T>, newName?: string): Promise<T> {
    const rados = await this.#link.rados();
    try {
      return await work(rados.rbd(ref.pool));
    } catch (error) {
      throw volumeError(error, ref, newName ?? ref.volume);
    }
  }
}

/** The pools for RBD, or this one. @throws AppError 'not-found'. */
function poolsFor(dump: OsdDump, name: string | undefined): { name: string; id: number }[] {
  const all = rbdPools(dump).map(({ pool_name, pool }) => ({ name: pool_name, id: pool }));
  const found = all.filter((one) => name === undefined || one.name === name);
  if (name !== undefined && found.length === 0) throw new AppError('not-found', 'there is no such pool for volumes', { pool: name });
  return found;
}

/** Removes what a copy has left. @returns what is to be told: one that cannot be removed, because the copy goes on or its end is not known to Ceph yet, is named. */
async function afterRemoval(rbd: Rbd, part: VolumeRef, failure: unknown): Promise<unknown> {
  try {
    await rbd.remove(part.volume, LONG);
    return failure;
  } catch (error) {
    if (isAppError(error, 'not-found')) return failure;
    if (!isAppError(error) || !isAppError(failure)) throw error;
    return new AppError(failure.code, failure.message, { ...failure.details, volumes_left: volumeText(part) }, { cause: failure });
  }
}

/** In words of volumes; what else went wrong stays as it is. */
export function volumeError(error: unknown, ref: VolumeRef, newName: string): unknown {
  if (isAppError(error, 'not-found')) return new AppError('not-found', 'there is no such volume', { volume: volumeText(ref) }, { cause: error });
  if (isAppError(error, 'exists')) return new AppError('exists', 'a volume of this name exists', { volume: volumeText({ pool: ref.pool, volume: newName }) }, { cause: error });
  if (isAppError(error, 'too-large')) return new AppError('invalid', 'a volume cannot be as large', { volume: volumeText(ref) }, { cause: error });
  return error;
}

async function refuseClones(rbd: Rbd, ref: VolumeRef): Promise<void> {
  const children = await rbd.children(ref.volume, READ);
  if (children.length > 0) throw new AppError('state', 'other volumes are clones of this volume', { volume: volumeText(ref), clones: namedImages(children) });
}

/** For people; the first of many. */
export function namedImages(images: readonly RbdImageSpec[]): string {
  const names = images.slice(0, NAMED_MAX).map(({ pool, image, isInTrash }) => `${pool}/${image}${isInTrash ? ' (in the trash)' : ''}`);
  return images.length > NAMED_MAX ? `${names.join(', ')} and ${images.length - NAMED_MAX} more` : names.join(', ');
}

/** @param ownCount times that we have it open ourselves. */
export async function refuseOpen(rbd: Rbd, ref: VolumeRef, ownCount = 0): Promise<void> {
  const watchers = await rbd.locks.watchers(ref.volume, READ);
  if (watchers.length <= ownCount) return;
  throw new AppError('state', 'somebody has this volume open', { volume: volumeText(ref), clients: watchers.slice(0, NAMED_MAX).map(({ address }) => address).join(', ') });
}
