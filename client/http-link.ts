import { Agent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { ClientError, toClientError } from './client-error.ts';
import type { Endpoint } from './endpoint.ts';

/** An answer beyond this is none of the API's: ten thousand VMs with their definitions are less, and a string holds 512 MiB. */
const ANSWER_MAX_BYTES = 256 * 1024 * 1024;
/** Calls at the same time to one API; more wait for their turn. */
const SOCKETS_MAX = 32;

export interface HttpQuestion {
  method: string;
  /** Below the endpoint's prefix, with its query, encoded. */
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string | undefined;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export interface TlsOptions {
  ca?: string | undefined;
  verifyCertificate?: boolean | undefined;
}

const KEPT = { keepAlive: true, maxSockets: SOCKETS_MAX };

interface Transport {
  readonly agent: Agent;
  readonly request: typeof httpRequest;
}

/** TLS takes as long to load as all of HTTP, so it is loaded where it is used. */
async function secureTransport({ verifyCertificate = true, ca }: TlsOptions): Promise<Transport> {
  const { Agent: SecureAgent, request } = await import('node:https');
  return { agent: new SecureAgent({ ...KEPT, rejectUnauthorized: verifyCertificate, ...(ca === undefined ? {} : { ca }) }), request };
}

/** HTTP to one endpoint, over connections that are kept for the next call. */
export class HttpLink {
  readonly #endpoint: Endpoint;
  readonly #tls: TlsOptions;
  #transport: Promise<Transport> | undefined;

  constructor(endpoint: Endpoint, tls: TlsOptions) {
    this.#endpoint = endpoint;
    this.#tls = tls;
  }

  /** Ends the kept connections. */
  close(): void {
    void this.#transport?.then(({ agent }) => agent.destroy());
  }

  #opened(): Promise<Transport> {
    this.#transport ??= this.#endpoint.secure ? secureTransport(this.#tls) : Promise.resolve({ agent: new Agent(KEPT), request: httpRequest });
    return this.#transport;
  }

  /** @throws ClientError 'connection' when no whole answer came, 'malformed' beyond ANSWER_MAX_BYTES. */
  async ask(question: HttpQuestion, signal: AbortSignal): Promise<HttpAnswer> {
    return answerOf(await this.open(question, signal), question);
  }

  /** Sends the bytes when the other end wants them, unless it refuses before. @throws ClientError as `ask`, and what the bytes throw. */
  async upload(question: HttpQuestion, { sizeBytes, bytes }: { sizeBytes: number; bytes: AsyncIterable<Uint8Array> }, signal: AbortSignal): Promise<HttpAnswer> {
    const transport = await this.#opened();
    return new Promise((resolve, reject) => {
      const headers = { ...question.headers, 'Content-Type': 'application/octet-stream', 'Content-Length': String(sizeBytes), Expect: '100-continue' };
      const request = this.#request(transport, { ...question, headers }, signal);
      request.once('response', (response: IncomingMessage) => {
        // Whoever answers before the end does not want the rest.
        const leave = (): void => void (request.writableFinished || request.destroy());
        answerOf(response, question).finally(leave).then(resolve, reject);
      });
      request.on('error', (cause) => reject(lost(question, cause)));
      request.once('continue', () => {
        sendAll(request, bytes).catch((error: unknown) => {
          reject(toClientError(error));
          request.destroy();
        });
      });
    });
  }

  /** The answer as soon as its head is there. @throws ClientError 'connection'. */
  async open(question: HttpQuestion, signal: AbortSignal): Promise<IncomingMessage> {
    const transport = await this.#opened();
    return new Promise((resolve, reject) => {
      const bytes = question.body === undefined ? undefined : Buffer.from(question.body);
      const length = bytes === undefined ? {} : { 'Content-Length': String(bytes.length) };
      const request = this.#request(transport, { ...question, headers: { ...question.headers, ...length } }, signal);
      request.once('response', resolve);
      request.on('error', (cause) => reject(lost(question, cause)));
      request.end(bytes);
    });
  }

  #request({ agent, request }: Transport, { method, path, headers }: HttpQuestion, signal: AbortSignal): ClientRequest {
    const { host, port, prefix } = this.#endpoint;
    return request({ agent, host, port, method, path: `${prefix}${path}`, headers: { ...headers }, signal });
  }
}

async function sendAll(request: ClientRequest, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of bytes) {
    if (request.destroyed) return;
    if (!request.write(piece)) await drained(request);
  }
  request.end();
}

/** Resolves when the request takes more, or is over. */
function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      request.off('drain', end);
      request.off('close', end);
      resolve();
    };
    request.on('drain', end);
    request.on('close', end);
    if (request.destroyed) end();
  });
}

/** All of an answer. @throws ClientError. */
export async function answerOf(response: IncomingMessage, question: Pick<HttpQuestion, 'method' | 'path'>): Promise<HttpAnswer> {
  return { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response, question) };
}

/** What a broken connection is told as. */
export function lost(question: Pick<HttpQuestion, 'method' | 'path'>, cause: unknown): ClientError {
  const why = cause instanceof Error ? cause.message || cause.name : String(cause);
  const code = cause instanceof Error && 'code' in cause ? [`code: ${String(cause.code)}`] : [];
  return new ClientError('connection', `no answer from the API: ${why}`, { details: [`${question.method} ${question.path}`, ...code], cause });
}

async function textOf(response: IncomingMessage, question: Pick<HttpQuestion, 'method' | 'path'>): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of response) {
      const piece = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
      sizeBytes += piece.length;
      if (sizeBytes > ANSWER_MAX_BYTES) throw new ClientError('malformed', 'the answer is too large', { status: response.statusCode, details: [`more than ${ANSWER_MAX_BYTES} bytes`] });
      chunks.push(piece);
    }
  } catch (error) {
    throw error instanceof ClientError ? error : lost(question, error);
  }
  return Buffer.concat(chunks, sizeBytes).toString('utf8');
}
