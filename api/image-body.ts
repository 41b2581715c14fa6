import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { withTimeout, type Clock } from '../common/clock.ts';
import { AppError, isAppError } from '../common/errors.ts';

/** A client that sends nothing for so long has been forgotten. */
const IDLE_MS = 60_000;
/** What a form may have beside its file; nobody looks at it. */
const FORM_LIMITS = { files: 1, fields: 16, fieldSize: 4_096 } as const;

/** An image on its way to us. */
export interface ImageBody {
  readonly sizeBytes: number;
  /**
   * Exactly as many bytes; the client is told to send them when the first are asked for.
   * @throws AppError 'cancelled' when the client leaves, 'timeout' when it sends nothing for a minute, 'invalid' when there are more or fewer.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * The image in a request: its body, or the file in a form.
 * @param fileSizeBytes what the request says of the image's size beside its Content-Length, which in a form is that of the form.
 * @throws AppError 'invalid' for another media type, or when the size is not known.
 */
export function imageBody(request: IncomingMessage, response: ServerResponse, { fileSizeBytes, clock }: { fileSizeBytes: number | undefined; clock: Clock }): ImageBody {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new AppError('invalid', 'the body must not be compressed', { contentEncoding: encoding });
  const source = sourceOf(request);
  const sizeBytes = sizeOf(source.isForm ? undefined : request.headers['content-length'], fileSizeBytes);
  const bytes = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    if (request.headers.expect !== undefined) response.writeContinue();
    yield* exactly(sizeBytes, source.bytes(), clock);
  };
  return { sizeBytes, bytes: bytes() };
}

interface Source {
  isForm: boolean;
  bytes(): AsyncIterable<Uint8Array>;
}

function sourceOf(request: IncomingMessage): Source {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  switch (type) {
    case '':
    case 'application/octet-stream':
      return { isForm: false, bytes: () => wholeBody(request) };
    case 'multipart/form-data': {
      const form = formOf(request);
      return { isForm: true, bytes: () => fileOf(request, form) };
    }
    default:
      throw new AppError('invalid', 'an image comes as application/octet-stream, or as the file in a form of type multipart/form-data', { contentType: type });
  }
}

function sizeOf(contentLength: string | undefined, fileSizeBytes: number | undefined): number {
  const declaredBytes = contentLength === undefined ? undefined : Number(contentLength);
  const sizeBytes = declaredBytes ?? fileSizeBytes;
  if (sizeBytes === undefined) throw new AppError('invalid', 'the size of the image must be known before: give file_size');
  if (fileSizeBytes !== undefined && fileSizeBytes !== sizeBytes) throw new AppError('invalid', 'file_size is not what Content-Length says', { fileSizeBytes, declaredBytes });
  if (sizeBytes === 0) throw new AppError('invalid', 'there is no image in the request');
  return sizeBytes;
}

async function* exactly(sizeBytes: number, source: AsyncIterable<Uint8Array>, clock: Clock): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = source[Symbol.asyncIterator]();
  let cameBytes = 0;
  try {
    for (;;) {
      const next = await withTimeout(clock, { timeoutMs: IDLE_MS, what: 'the next bytes of the image' }, () => pieces.next());
      if (next.done === true) break;
      cameBytes += next.value.byteLength;
      if (cameBytes > sizeBytes) throw new AppError('invalid', 'the image is larger than was said', { sizeBytes });
      yield next.value;
    }
  } finally {
    await pieces.return?.();
  }
  if (cameBytes < sizeBytes) throw new AppError('invalid', 'the image is smaller than was said', { sizeBytes, cameBytes });
}

/** Leaves the connection as it is when nobody reads on: there is still an answer to send. */
async function* wholeBody(request: IncomingMessage): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false })) yield bytesOf(piece);
  } catch (cause) {
    throw left(cause);
  }
}

/** @throws AppError 'invalid' for a form without a boundary. */
function formOf({ headers }: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({ headers: { ...headers, 'content-type': headers['content-type'] ?? '' }, limits: FORM_LIMITS, isPartAFile: (name) => name === 'file' });
  } catch (cause) {
    throw new AppError('invalid', 'the form cannot be read', { what: String(cause) }, { cause });
  }
}

async function* fileOf(request: IncomingMessage, form: BusboyInstance): AsyncGenerator<Uint8Array, void, undefined> {
  let file: Readable | undefined;
  const end = (error: AppError): void => void (file ?? form).destroy(error);
  const found = new Promise<Readable>((resolve, reject) => {
    form.on('file', (_name, stream) => {
      file = stream;
      resolve(stream);
    });
    form.on('finish', () => reject(new AppError('invalid', 'the form has no part with the name file')));
    form.on('error', (cause) => {
      const failure = isAppError(cause) ? cause : new AppError('invalid', 'the form cannot be read', { what: String(cause) }, { cause });
      reject(failure);
      file?.destroy(failure);
    });
  });
  const onClose = (): void => {
    if (!request.complete) end(left());
  };
  request.once('close', onClose);
  request.pipe(form);
  try {
    for await (const piece of await found) yield bytesOf(piece);
  } catch (cause) {
    throw isAppError(cause) ? cause : new AppError('invalid', 'the form cannot be read', { what: String(cause) }, { cause });
  } finally {
    request.off('close', onClose);
    request.unpipe(form);
  }
}

function bytesOf(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new AppError('bug', 'a body is not bytes');
}

function left(cause?: unknown): AppError {
  return new AppError('cancelled', 'the client left before the end of its image', {}, { cause });
}
