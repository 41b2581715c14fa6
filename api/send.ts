import type { Response } from 'express';
import type { Reply } from './route.ts';

/** Cached texts are joined into writes of about this size: few system calls, and little held for a slow reader. */
export const WRITE_BYTES = 256 * 1024;

export function sendJson(response: Response, code: number, body: unknown): void {
  sendText(response, code, 'application/json', `${JSON.stringify(body)}\n`);
}

function sendText(response: Response, code: number, type: string, body: string): void {
  const bytes = Buffer.from(body);
  response.statusCode = code;
  response.setHeader('Content-Type', type.startsWith('text/') || type.endsWith('xml') ? `${type}; charset=utf-8` : type);
  response.setHeader('Content-Length', bytes.length);
  response.end(bytes);
}

/** Sends what a handler replied. Resolves when the last piece was handed to the socket, or the client is gone. */
export async function sendReply(response: Response, reply: Reply): Promise<void> {
  switch (reply.kind) {
    case 'json':
      sendJson(response, reply.code, reply.body);
      return;
    case 'text':
      sendText(response, reply.code, reply.type, reply.body);
      return;
    case 'parts':
      await sendParts(response, reply.parts);
      return;
    case 'taken':
  }
}

async function sendParts(response: Response, parts: readonly Buffer[]): Promise<void> {
  response.statusCode = 200;
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('Content-Length', parts.reduce((sum, part) => sum + part.length, 0));
  for (const chunk of chunksOf(parts)) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await drained(response);
  }
  response.end();
}

function* chunksOf(parts: readonly Buffer[]): Generator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for (const part of parts) {
    held.push(part);
    heldBytes += part.length;
    if (heldBytes < WRITE_BYTES) continue;
    yield Buffer.concat(held, heldBytes);
    held = [];
    heldBytes = 0;
  }
  if (held.length > 0) yield Buffer.concat(held, heldBytes);
}

/** Resolves when the socket takes more, or is closed. */
export function drained(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      response.off('drain', end);
      response.off('close', end);
      resolve();
    };
    if (response.destroyed) {
      resolve();
      return;
    }
    response.on('drain', end);
    response.on('close', end);
  });
}
