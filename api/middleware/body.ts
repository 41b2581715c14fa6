import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';

/** Holds the largest XML (100,000 bytes) in its worst encoding, three bytes for one. */
const BODY_MAX_BYTES = 512 * 1024;

/** Reads a whole body.
 * @throws AppError 'too-large' beyond BODY_MAX_BYTES, 'cancelled' when the client leaves in the middle.
 */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > BODY_MAX_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= BODY_MAX_BYTES) {
        chunks.push(chunk);
        return;
      }
      request.pause();
      reject(tooLarge());
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', (cause) => reject(new AppError('cancelled', 'the client left before the end of its request', {}, { cause })));
    request.on('close', () => reject(new AppError('cancelled', 'the client left before the end of its request')));
  });
}

function tooLarge(): AppError {
  return new AppError('too-large', 'the request body is too large', { maxBytes: BODY_MAX_BYTES });
}

/**
 * The values in a request's body: form, JSON object, or XML alone, which counts as the value `xml`. Nothing for no body.
 * @throws AppError 'invalid' for another media type, for text that is not UTF-8, and for JSON that is no object.
 */
export async function bodyValues(request: IncomingMessage, response: ServerResponse): Promise<Iterable<readonly [string, unknown]>> {
  if (!hasBody(request)) return [];
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new AppError('invalid', 'the body must not be compressed', { contentEncoding: encoding });
  if (request.headers.expect !== undefined) response.writeContinue();
  const body = await readBody(request);
  if (body.length === 0) return [];
  const text = textOf(body);
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  switch (type) {
    case '':
    case 'application/x-www-form-urlencoded':
      return new URLSearchParams(text);
    case 'application/json':
      return jsonValues(text);
    case 'application/xml':
    case 'text/xml':
      return [['xml', text]];
    default:
      throw new AppError('invalid', 'the body must be a form, JSON or XML', { contentType: type });
  }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (cause) {
    throw new AppError('invalid', 'the body is not UTF-8 text', {}, { cause });
  }
}

const jsonBody = z.record(z.string(), z.unknown());

function jsonValues(text: string): Iterable<readonly [string, unknown]> {
  const body = jsonBody.safeParse(parseJson(text));
  if (!body.success) throw new AppError('invalid', 'the JSON body must be an object of values');
  return Object.entries(body.data);
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (cause) {
    throw new AppError('invalid', 'the body is not JSON', { what: String(cause) }, { cause });
  }
}
