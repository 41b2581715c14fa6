import { AppError } from '../errors.ts';
import type { CallOptions, Caller } from './call.ts';
import { imageAcquireCall, imageCloseCall, imageFlushCall, imageOpenCall, imageReadCall, imageSizeCall, imageWriteCall, imageZeroCall } from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';

/** A part of an image's contents. */
export interface RbdChunk {
  readonly offsetBytes: number;
  readonly data: Uint8Array;
}

/** A part of an image's contents that is all zeros. */
export interface RbdZeros {
  readonly offsetBytes: number;
  readonly zeroBytes: number;
}

export type RbdPiece = RbdChunk | RbdZeros;

/** The size of an object unless an image says otherwise, so that a call concerns one OSD. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
/** Chunks on their way at once: enough to keep the lane's threads busy, few enough for memory. */
const CHUNKS_IN_FLIGHT = 4;

interface Source extends ObjectPlace {
  image: string;
  snapshot?: string | undefined;
}

/** Limits of one chunk's call: a caller's time limit is for each. */
type Options = Pick<CallOptions, 'timeoutMs' | 'signal'>;

export interface ExportOptions extends Options {
  /** What the reader takes the image's size for. */
  sizeBytes?: number | undefined;
}

/**
 * Reads ahead, and gives all of the image in ascending order. The image is closed when the reader stops early.
 * @throws AppError 'conflict' before the first piece when the image has another size than `sizeBytes`.
 */
export async function* exportPieces(caller: Caller, source: Source, { sizeBytes: expectedBytes, ...options }: ExportOptions): AsyncGenerator<RbdPiece, void, undefined> {
  const handle = await caller.call(imageOpenCall, { ...source, isReadOnly: true }, options);
  const ahead: Promise<RbdPiece>[] = [];
  try {
    const sizeBytes = await caller.call(imageSizeCall, {}, { ...options, handle });
    if (expectedBytes !== undefined && expectedBytes !== sizeBytes) throw new AppError('conflict', 'the image has another size now', { image: source.image, sizeBytes, expectedBytes });
    const read = async (offsetBytes: number): Promise<RbdPiece> => {
      const lengthBytes = Math.min(CHUNK_BYTES, sizeBytes - offsetBytes);
      const data = await caller.call(imageReadCall, { offsetBytes, lengthBytes }, { ...options, handle });
      return data === undefined ? { offsetBytes, zeroBytes: lengthBytes } : { offsetBytes, data };
    };
    let nextBytes = 0;
    for (;;) {
      while (ahead.length < CHUNKS_IN_FLIGHT && nextBytes < sizeBytes) {
        const reading = read(nextBytes);
        // Looked at in its turn; a failure before that is no unhandled one.
        reading.catch(() => undefined);
        ahead.push(reading);
        nextBytes += CHUNK_BYTES;
      }
      const first = ahead.shift();
      if (first === undefined) return;
      yield await first;
    }
  } finally {
    await Promise.allSettled(ahead);
    await caller.release(imageCloseCall, handle);
  }
}

/** Those pieces that have data. */
export async function* withData(pieces: AsyncIterable<RbdPiece>): AsyncGenerator<RbdChunk, void, undefined> {
  for await (const piece of pieces) if ('data' in piece) yield piece;
}

export interface ImportOptions extends Options {
  /** Takes librbd's exclusive lock first, and does not hand it over before the end. An image without that feature has none. */
  isExclusive?: boolean | undefined;
}

/** Writes several pieces at once, and flushes. The first failure ends it. */
export async function importPieces(caller: Caller, target: Source, pieces: AsyncIterable<RbdPiece>, { isExclusive = false, ...options }: ImportOptions): Promise<void> {
  const handle = await caller.call(imageOpenCall, { ...target, isReadOnly: false }, options);
  const writing = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const write = async (piece: RbdPiece): Promise<void> => {
    try {
      if ('data' in piece) await caller.call(imageWriteCall, piece, { ...options, handle });
      else await caller.call(imageZeroCall, piece, { ...options, handle });
    } catch (error) {
      failures.push(error);
    }
  };
  const settle = async (leave: number): Promise<void> => {
    while (writing.size > leave) await Promise.race(writing);
    if (failures.length > 0) throw failures[0];
  };
  try {
    if (isExclusive) await caller.call(imageAcquireCall, {}, { ...options, handle });
    const sizeBytes = await caller.call(imageSizeCall, {}, { ...options, handle });
    for await (const piece of pieces) {
      requireInside(piece, sizeBytes, target.image);
      const one = write(piece).finally(() => writing.delete(one));
      writing.add(one);
      await settle(CHUNKS_IN_FLIGHT - 1);
    }
    await settle(0);
    await caller.call(imageFlushCall, {}, { ...options, handle });
  } finally {
    await Promise.all(writing);
    await caller.release(imageCloseCall, handle);
  }
}

function requireInside(piece: RbdPiece, sizeBytes: number, image: string): void {
  const { offsetBytes } = piece;
  if (offsetBytes + ('data' in piece ? piece.data.byteLength : piece.zeroBytes) > sizeBytes) throw new AppError('invalid', 'data beyond the end of the image', { image, sizeBytes, offsetBytes });
}

/** Bytes from a file or a request as chunks of at most 4 MiB, without those that are all zero: for an image that is new. */
export function toChunks(source: AsyncIterable<Uint8Array>): AsyncGenerator<RbdChunk, void, undefined> {
  return withData(toPieces(source));
}

/** Bytes from a file or a request as pieces of at most 4 MiB: zeros overwrite what is there, and take no space. */
export async function* toPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<RbdPiece, void, undefined> {
  let offsetBytes = 0;
  let chunk = Buffer.alloc(CHUNK_BYTES);
  let filledBytes = 0;
  for await (const data of source) {
    for (let at = 0; at < data.byteLength; ) {
      const part = data.subarray(at, at + CHUNK_BYTES - filledBytes);
      chunk.set(part, filledBytes);
      filledBytes += part.byteLength;
      at += part.byteLength;
      if (filledBytes < CHUNK_BYTES) continue;
      const piece = pieceOf(offsetBytes, chunk);
      yield piece;
      offsetBytes += CHUNK_BYTES;
      filledBytes = 0;
      // The reader may still hold the last one.
      if ('data' in piece) chunk = Buffer.alloc(CHUNK_BYTES);
    }
  }
  if (filledBytes > 0) yield pieceOf(offsetBytes, chunk.subarray(0, filledBytes));
}

function pieceOf(offsetBytes: number, data: Uint8Array): RbdPiece {
  return isZero(data) ? { offsetBytes, zeroBytes: data.byteLength } : { offsetBytes, data };
}

/** True when there is no other byte than 0. */
export function isZero(data: Uint8Array): boolean {
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return view.byteLength === 0 || (view[0] === 0 && view.subarray(1).equals(view.subarray(0, -1)));
}
