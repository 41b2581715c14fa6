import { request as httpRequest, Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import { ClientError } from './client-error.ts';
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

/** HTTP to one endpoint, over connections that are kept for the next call. */
export class HttpLink {
  readonly #endpoint: Endpoint;
  readonly #agent: HttpAgent;

  constructor(endpoint: Endpoint, tls: TlsOptions) {
    this.#endpoint = endpoint;
    const kept = { keepAlive: true, maxSockets: SOCKETS_MAX };
    const certificates = { rejectUnauthorized: tls.verifyCertificate ?? true, ...(tls.ca === undefined ? {} : { ca: tls.ca }) };
    this.#agent = endpoint.secure ? new HttpsAgent({ ...kept, ...certificates }) : new HttpAgent(kept);
  }

  /** Ends the kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** @throws ClientError 'connection' when no whole answer came, 'malformed' beyond ANSWER_MAX_BYTES. */
  async ask(question: HttpQuestion, signal: AbortSignal): Promise<HttpAnswer> {
    const response = await this.open(question, signal);
    return { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response, question) };
  }

  /** The answer as soon as its head is there. @throws ClientError 'connection'. */
  open(question: HttpQuestion, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { secure, host, port, prefix } = this.#endpoint;
      const bytes = question.body === undefined ? undefined : Buffer.from(question.body);
      const length = bytes === undefined ? {} : { 'Content-Length': String(bytes.length) };
      const options: RequestOptions = { agent: this.#agent, host, port, method: question.method, path: `${prefix}${question.path}`, headers: { ...question.headers, ...length }, signal };
      const request = (secure ? httpsRequest : httpRequest)(options, resolve);
      request.on('error', (cause) => reject(lost(question, cause)));
      request.end(bytes);
    });
  }
}

/** What a broken connection is told as. */
export function lost(question: Pick<HttpQuestion, 'method' | 'path'>, cause: unknown): ClientError {
  const why = cause instanceof Error ? cause.message || cause.name : String(cause);
  const code = cause instanceof Error && 'code' in cause ? [`code: ${String(cause.code)}`] : [];
  return new ClientError('connection', `no answer from the API: ${why}`, { details: [`${question.method} ${question.path}`, ...code], cause });
}

async function textOf(response: IncomingMessage, question: HttpQuestion): Promise<string> {
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
