import type { Request, Response } from 'express';
import { withTimeout, type Clock } from '../common/clock.ts';
import type { Reply } from './route.ts';
import { drained, WRITE_BYTES } from './send.ts';
import type { Image } from './storage/storage-cluster.ts';

/** A reader that takes nothing for so long has been forgotten. */
const IDLE_MS = 60_000;

/**
 * Sends the contents of a volume as they are read. What can be refused is refused before the head is sent; after that a failure breaks the
 * connection, so that a part is not taken for the whole. The image is closed in any case, also when the reader leaves.
 */
export async function sendImage({ request, response }: { request: Request; response: Response }, { sizeBytes, bytes }: Image, clock: Clock): Promise<Reply> {
  const pieces = bytes[Symbol.asyncIterator]();
  try {
    let next = await pieces.next();
    response.statusCode = 200;
    response.setHeader('Content-Type', 'application/octet-stream');
    response.setHeader('Content-Length', sizeBytes);
    for (; request.method !== 'HEAD' && next.done !== true; next = await pieces.next()) {
      if (!(await sent(response, next.value, clock))) return { kind: 'taken' };
    }
    response.end();
    return { kind: 'taken' };
  } finally {
    await pieces.return?.();
  }
}

/** In pieces that also a slow reader takes within the limit. @returns false when the reader has left. @throws AppError 'timeout'. */
async function sent(response: Response, bytes: Uint8Array, clock: Clock): Promise<boolean> {
  for (let at = 0; at < bytes.byteLength; at += WRITE_BYTES) {
    if (response.destroyed) return false;
    const isTaken = response.write(bytes.subarray(at, at + WRITE_BYTES));
    if (!isTaken) await withTimeout(clock, { timeoutMs: IDLE_MS, what: 'a reader to take the image' }, () => drained(response));
  }
  return !response.destroyed;
}
