import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
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
    const response = await this.open(question, signal);
    return { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response, question) };
  }

  /** The answer as soon as its head is there. @throws ClientError 'connection'. */
  async open(question: HttpQuestion, signal: AbortSignal): Promise<IncomingMessage> {
    const { agent, request: send } = await this.#opened();
    return new Promise((resolve, reject) => {
      const { host, port, prefix } = this.#endpoint;
      const bytes = question.body === undefined ? undefined : Buffer.from(question.body);
      const length = bytes === undefined ? {} : { 'Content-Length': String(bytes.length) };
      const options: RequestOptions = { agent, host, port, method: question.method, path: `${prefix}${question.path}`, headers: { ...question.headers, ...length }, signal };
      const request = send(options, resolve);
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
