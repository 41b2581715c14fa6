import { AppError } from '../errors.ts';
import type { CallOptions, Caller } from './call.ts';
import { imageCloseCall, imageFlushCall, imageOpenCall, imageReadCall, imageSizeCall, imageWriteCall } from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';

/** A part of an image's contents. */
export interface RbdChunk {
  readonly offsetBytes: number;
  readonly data: Uint8Array;
}

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

/** Reads ahead, and gives what is not zero in ascending order. The image is closed when the reader stops early. */
export async function* exportChunks(caller: Caller, source: Source, options: Options): AsyncGenerator<RbdChunk, void, undefined> {
  const handle = await caller.call(imageOpenCall, { ...source, isReadOnly: true }, options);
  const ahead: Promise<RbdChunk | undefined>[] = [];
  try {
    const sizeBytes = await caller.call(imageSizeCall, {}, { ...options, handle });
    const read = async (offsetBytes: number): Promise<RbdChunk | undefined> => {
      const lengthBytes = Math.min(CHUNK_BYTES, sizeBytes - offsetBytes);
      const data = await caller.call(imageReadCall, { offsetBytes, lengthBytes }, { ...options, handle });
      return data === undefined ? undefined : { offsetBytes, data };
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
      const chunk = await first;
      if (chunk !== undefined) yield chunk;
    }
  } finally {
    await Promise.allSettled(ahead);
    await caller.release(imageCloseCall, handle);
  }
}

/** Writes several chunks at once, and flushes. The first failure ends it. */
export async function importChunks(caller: Caller, target: Source, chunks: AsyncIterable<RbdChunk>, options: Options): Promise<void> {
  const handle = await caller.call(imageOpenCall, { ...target, isReadOnly: false }, options);
  const writing = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const write = async (chunk: RbdChunk): Promise<void> => {
    try {
      await caller.call(imageWriteCall, chunk, { ...options, handle });
    } catch (error) {
      failures.push(error);
    }
  };
  const settle = async (leave: number): Promise<void> => {
    while (writing.size > leave) await Promise.race(writing);
    if (failures.length > 0) throw failures[0];
  };
  try {
    const sizeBytes = await caller.call(imageSizeCall, {}, { ...options, handle });
    for await (const chunk of chunks) {
      requireInside(chunk, sizeBytes, target.image);
      const one = write(chunk).finally(() => writing.delete(one));
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

function requireInside({ offsetBytes, data }: RbdChunk, sizeBytes: number, image: string): void {
  if (offsetBytes + data.byteLength > sizeBytes) throw new AppError('invalid', 'data beyond the end of the image', { image, sizeBytes, offsetBytes });
}

/** Bytes from a file or a request as chunks of at most 4 MiB, without those that are all zero. */
export async function* toChunks(source: AsyncIterable<Uint8Array>): AsyncGenerator<RbdChunk, void, undefined> {
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
      if (!isZero(chunk)) yield { offsetBytes, data: chunk };
      offsetBytes += CHUNK_BYTES;
      filledBytes = 0;
      // The reader may still hold the last one.
      chunk = Buffer.alloc(CHUNK_BYTES);
    }
  }
  const rest = chunk.subarray(0, filledBytes);
  if (!isZero(rest)) yield { offsetBytes, data: rest };
}

/** True when there is no other byte than 0. */
export function isZero(data: Uint8Array): boolean {
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return view.byteLength === 0 || (view[0] === 0 && view.subarray(1).equals(view.subarray(0, -1)));
}
