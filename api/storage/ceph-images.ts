import { AppError, describeError, isAppError, toAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Rbd } from '../../common/rados/rbd.ts';
import { toPieces, type RbdPiece } from '../../common/rados/rbd-stream.ts';
import { snapshotText } from '../../common/schema/snapshot.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { CHANGE_LIMIT_MS, READ_LIMIT_MS, type CephCommands, type CephLink } from './ceph-commands.ts';
import { refuseOpen, volumeError } from './ceph-volumes.ts';
import { requireRoom } from './pool-room.ts';
import type { Image, ImageRef, ImageStorage } from './storage-cluster.ts';

const READ = { timeoutMs: READ_LIMIT_MS };
/** Of one chunk of 4 MiB, with its wait for a thread. */
const CHUNK = { timeoutMs: CHANGE_LIMIT_MS };

/** At once: each holds some 40 MiB, and the threads for them are four. */
const IMAGES_MAX = 8;
const RETRY_AFTER_S = 30;

const ZEROS = Buffer.alloc(256 * 1024);

/** The contents of volumes through librbd. */
export class CephImages implements ImageStorage {
  readonly #link: CephLink;
  readonly #commands: CephCommands;
  readonly #log: Logger;
  /** Volumes that are being written to. */
  readonly #writing = new Set<string>();
  #count = 0;

  constructor({ link, commands, log }: { link: CephLink; commands: CephCommands; log: Logger }) {
    this.#link = link;
    this.#commands = commands;
    this.#log = log;
  }

  async read(ref: ImageRef): Promise<Image> {
    const rbd = (await this.#link.rados()).rbd(ref.pool);
    const source = await lookedUp(rbd, ref);
    return { sizeBytes: source.sizeBytes, bytes: this.#bytes(rbd, ref, source) };
  }

  async write(ref: VolumeRef, image: Image): Promise<void> {
    const volume = volumeText(ref);
    if (this.#writing.has(volume)) throw new AppError('state', 'another image is being written to this volume', { volume });
    this.#begin();
    this.#writing.add(volume);
    try {
      const rbd = (await this.#link.rados()).rbd(ref.pool);
      await inWords(ref, this.#write(rbd, ref, image));
    } finally {
      this.#writing.delete(volume);
      this.#count -= 1;
    }
  }

  /** @throws AppError 'too-many'. */
  #begin(): void {
    if (this.#count >= IMAGES_MAX) throw new AppError('too-many', 'too many images are being read and written', { imagesMax: IMAGES_MAX, retryAfterS: RETRY_AFTER_S });
    this.#count += 1;
  }

  /**
   * librbd reads zeros where an object was removed, and who reads only is not told of a removal. So the last piece waits until it is known that
   * what was read is still there.
   */
  async *#bytes(rbd: Rbd, ref: ImageRef, source: Source): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin();
    try {
      let held: RbdPiece | undefined;
      for await (const piece of rbd.exportPieces(ref.volume, { ...CHUNK, snapshot: ref.snapshot, sizeBytes: source.sizeBytes })) {
        if (held !== undefined) yield* bytesOf(held);
        held = piece;
      }
      await refuseOther(rbd, ref, source);
      if (held !== undefined) yield* bytesOf(held);
    } catch (error) {
      throw volumeError(error, ref, ref.volume);
    } finally {
      this.#count -= 1;
    }
  }

  async #write(rbd: Rbd, ref: VolumeRef, { sizeBytes, bytes }: Image): Promise<void> {
    const volume = volumeText(ref);
    const { sizeBytes: volumeBytes } = await rbd.info(ref.volume, READ);
    if (volumeBytes < sizeBytes) throw new AppError('state', 'the volume is smaller than the image', { volume, volumeBytes, imageBytes: sizeBytes });
    requireRoom(await this.#commands.osdDump(), ref.pool);
    await refuseOpen(rbd, ref);
    const progress = { isBegun: false };
    const pieces = async function* (): AsyncGenerator<RbdPiece, void, undefined> {
      // Now the lock is ours: whoever comes later finds it.
      await refuseOpen(rbd, ref, 1);
      for await (const piece of toPieces(bytes)) {
        progress.isBegun = true;
        yield piece;
      }
    };
    try {
      await rbd.import(ref.volume, pieces(), { ...CHUNK, isExclusive: true });
    } catch (error) {
      if (!progress.isBegun) throw error;
      this.#log.warn({ volume, error: describeError(toAppError(error)) }, 'an image was not written as a whole: its volume has a part of it');
      throw incomplete(volume, toAppError(error));
    }
  }
}

/** What is read; a name may stand for something else later. */
interface Source {
  readonly id: string | number;
  readonly sizeBytes: number;
}

/** @throws AppError 'not-found'. */
async function lookedUp(rbd: Rbd, { pool, volume, snapshot }: ImageRef): Promise<Source> {
  const ref = { pool, volume };
  if (snapshot === undefined) return inWords(ref, rbd.info(volume, READ));
  const found = (await inWords(ref, rbd.snapshots.list(volume, READ))).find(({ name }) => name === snapshot);
  if (found === undefined) throw new AppError('not-found', 'there is no such snapshot', { snapshot: snapshotText({ pool, volume, snapshot }) });
  return found;
}

/** @throws AppError 'conflict', 'not-found'. */
async function refuseOther(rbd: Rbd, ref: ImageRef, { id, sizeBytes }: Source): Promise<void> {
  const now = await lookedUp(rbd, ref);
  if (now.id !== id || now.sizeBytes !== sizeBytes) throw new AppError('conflict', 'the volume has changed its size, or is another one now', { volume: volumeText(ref) });
}

function* bytesOf(piece: RbdPiece): Generator<Uint8Array> {
  if ('data' in piece) {
    yield piece.data;
    return;
  }
  for (let leftBytes = piece.zeroBytes; leftBytes > 0; leftBytes -= ZEROS.byteLength) yield ZEROS.subarray(0, leftBytes);
}

function incomplete(volume: string, failure: AppError): AppError {
  return new AppError(failure.code, 'the image was not written as a whole: the volume has a part of it', { volume, why: describeError(failure) }, { cause: failure });
}

async function inWords<T>(ref: VolumeRef, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isAppError(error, 'state') && error.details['errno'] !== undefined) throw new AppError('state', 'somebody has this volume open', { volume: volumeText(ref) }, { cause: error });
    throw volumeError(error, ref, ref.volume);
  }
}
