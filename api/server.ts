import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Express } from 'express';
import { z } from 'zod';
import { AppError } from '../common/errors.ts';

/** Cert and key, PEM. */
export interface TlsFiles {
  cert: Buffer;
  key: Buffer;
}

/** Request line and headers: the manual lets clients send even a domain's XML in the query (100 kB, some of it as three bytes for one). */
const HEADER_MAX_BYTES = 192 * 1024;
/** A client that is slower than this with its headers is no client; for bodies there is BodyTime. */
const HEADERS_MAX_MS = 15_000;
/** Longer than the pause between two polls of the existing command line. */
const KEEP_ALIVE_MS = 65_000;
/** Sockets at once. */
const CONNECTIONS_MAX = 1_024;

export function createServer(app: Express, tls: TlsFiles | undefined): Server {
  const options = {
    maxHeaderSize: HEADER_MAX_BYTES,
    headersTimeout: HEADERS_MAX_MS,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAlive: true,
    noDelay: true,
  };
  const server = tls === undefined ? createHttpServer(options, app) : createHttpsServer({ ...options, ...tls, minVersion: 'TLSv1.2' }, app);
  server.maxConnections = CONNECTIONS_MAX;
  server.on('clientError', answerClientError);
  // Whoever reads a body asks for it then: one that is refused is not sent.
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  return server;
}

/**
 * Keeps note of connections that have not asked anything yet; Node does not count them as idle (browsers and clients open some in advance).
 * @returns the function that closes those that there are.
 */
export function trackUnused(server: Server): () => void {
  const unused = new Set<Socket>();
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  server.on(event, (socket: Socket) => {
    unused.add(socket);
    socket.on('close', () => unused.delete(socket));
  });
  server.on('request', (request: IncomingMessage) => unused.delete(request.socket));
  return () => {
    for (const socket of unused) socket.destroy();
  };
}

const parserError = z.object({ code: z.string() });

/** What is not HTTP at all never reaches the application; it is answered in the same form. */
function answerClientError(error: Error, socket: Socket): void {
  const code = parserError.safeParse(error).data?.code ?? '';
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = answerTo(code);
  const body = `${JSON.stringify({ message })}\n`;
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}

function answerTo(code: string): [status: string, message: string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return ['413 Content Too Large', `request line and headers are too large (maxBytes: ${HEADER_MAX_BYTES})`];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return ['408 Request Timeout', 'the request did not come in time'];
    default:
      return ['400 Bad Request', 'this is not HTTP'];
  }
}

/** Resolves to the port when the server listens. @throws AppError 'unavailable' when the address cannot be used. */
export function listen(server: Server, address: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error): void => reject(new AppError('unavailable', 'the API cannot listen on its address', { ...address, what: cause.message }, { cause }));
    server.once('error', onError);
    server.listen(address.port, address.host, () => {
      server.off('error', onError);
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : address.port);
    });
  });
}
