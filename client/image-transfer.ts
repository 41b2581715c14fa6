import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { ClientError, toClientError } from './client-error.ts';
import { callOptionsSchema, type Connection } from './connection.ts';
import { lost } from './http-link.ts';
import type { Operation, Values } from './operation.ts';
import { parseArguments } from './parse-arguments.ts';
import { TransferLimits, type TransferOptions } from './transfer-limits.ts';

/** An image on its way to the cluster. */
export interface ImageSource {
  readonly sizeBytes: number;
  /** As many bytes: a stream of Node or of the web, or any other iterable. It is not touched before the API wants it, and read only once. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** An image on its way from the cluster. */
export interface ImageDownload {
  readonly sizeBytes: number;
  /** As many bytes, or an error, which is a ClientError. Destroy it to leave early. */
  readonly bytes: Readable;
}

const transferOptions = callOptionsSchema.extend({
  idleMs: z.int().min(1).max(2 ** 31 - 1).optional(),
  onProgress: z.custom<(bytes: number) => void>((value) => typeof value === 'function', 'must be a function').optional(),
});
const imageSource = z.object({
  sizeBytes: z.int().min(1),
  bytes: z.custom<AsyncIterable<Uint8Array>>((value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value, 'must be a stream of bytes'),
});

/** @throws ClientError: 'arguments' also when the source has more or fewer bytes than it said, 'outcome' when it fails itself. */
export async function upload<V extends z.ZodType<Values>, R extends z.ZodType>(connection: Connection, { operation, values }: { operation: Operation<V, R>; values: z.input<V> }, image: ImageSource, options: TransferOptions = {}): Promise<z.output<R>> {
  const { sizeBytes, bytes } = parseArguments(imageSource, image);
  const given = parseArguments(transferOptions, options);
  const limits = new TransferLimits(connection.clock, given);
  try {
    return await connection.upload(operation, values, { sizeBytes, bytes: watched({ sizeBytes, bytes }, limits, given.onProgress), signal: limits.signal });
  } catch (error) {
    throw limits.tell(error);
  } finally {
    limits.end();
  }
}

/** Each piece is taken up when there is room for it, so the time until the next one is asked for is the cluster's. */
async function* watched({ sizeBytes, bytes }: ImageSource, limits: TransferLimits, onProgress: TransferOptions['onProgress']): AsyncGenerator<Uint8Array, void, undefined> {
  let sentBytes = 0;
  limits.rest();
  for await (const piece of readable(bytes)) {
    sentBytes += piece.byteLength;
    if (sentBytes > sizeBytes) throw new ClientError('arguments', 'the image is larger than was said', { details: [`sizeBytes: ${sizeBytes}`] });
    limits.wait();
    yield piece;
    limits.rest();
    onProgress?.(sentBytes);
  }
  if (sentBytes < sizeBytes) throw new ClientError('arguments', 'the image is smaller than was said', { details: [`sizeBytes: ${sizeBytes}`, `read: ${sentBytes}`] });
  limits.wait();
}

async function* readable(bytes: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const piece of bytes) {
      if (!(piece instanceof Uint8Array)) throw new ClientError('arguments', 'the image is not a stream of bytes');
      yield piece;
    }
  } catch (cause) {
    throw cause instanceof ClientError ? cause : new ClientError('outcome', 'the image could not be read to its end', { details: [String(cause)], cause });
  }
}

/** Resolves when the head of the answer is there. @throws ClientError. */
export async function download(connection: Connection, operation: Operation<z.ZodType<Values>, z.ZodType>, values: Values, options: TransferOptions = {}): Promise<ImageDownload> {
  const given = parseArguments(transferOptions, options);
  const limits = new TransferLimits(connection.clock, given);
  try {
    const response = await connection.open(operation, values, { headers: { Accept: 'application/octet-stream, application/json' }, stop: limits.signal });
    const sizeBytes = sizeOf(response);
    const bytes = Readable.from(received(response, { path: operation.path, sizeBytes, limits, onProgress: given.onProgress }), { objectMode: false });
    bytes.once('close', () => {
      limits.end();
      response.destroy();
    });
    return { sizeBytes, bytes };
  } catch (error) {
    limits.end();
    throw limits.tell(error);
  }
}

function sizeOf(response: IncomingMessage): number {
  const size = z.string().regex(/^\d{1,16}$/u).transform(Number).safeParse(response.headers['content-length']);
  if (size.success) return size.data;
  response.destroy();
  throw new ClientError('malformed', 'the answer is not what the API promises', { status: response.statusCode, details: ['no Content-Length'] });
}

async function* received(response: IncomingMessage, { path, sizeBytes, limits, onProgress }: { path: string; sizeBytes: number; limits: TransferLimits; onProgress: TransferOptions['onProgress'] }): AsyncGenerator<Uint8Array, void, undefined> {
  let cameBytes = 0;
  limits.wait();
  try {
    for await (const piece of readable(response)) {
      limits.rest();
      cameBytes += piece.byteLength;
      yield piece;
      onProgress?.(cameBytes);
      limits.wait();
    }
  } catch (error) {
    const { cause } = toClientError(error);
    throw limits.tell(lost({ method: 'GET', path }, cause ?? error));
  }
  if (cameBytes !== sizeBytes) throw new ClientError('malformed', 'the answer ended early', { details: [`${cameBytes} of ${sizeBytes} bytes`] });
}
