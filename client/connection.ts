import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { delay, holdingClock, withTimeout, type Clock } from '../common/clock.ts';
import { parseJson } from '../common/json.ts';
import { PVC_VERSION } from '../common/version.ts';
import { ClientError, toClientError } from './client-error.ts';
import { parseEndpoint, type Endpoint } from './endpoint.ts';
import { answerOf, HttpLink, type HttpAnswer, type HttpQuestion } from './http-link.ts';
import { encodeRequest, type Operation, type Values } from './operation.ts';
import { IDENTITY } from './operations/identity.ts';
import { faultLines, parseArguments } from './parse-arguments.ts';
import { Session } from './session.ts';

/** A reader that waits for longer than this without having said so has been forgotten. */
const TIMEOUT_MS = 30_000;
/** The API waits for at most ten minutes itself. */
const SLOW_TIMEOUT_MS = 610_000;
/** Longest time limit: what a timer of Node can hold. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;
/** Pauses before a reading request is repeated: a primary hands over within a second or two. */
const RETRY_DELAYS_MS = [200, 1_000, 2_000] as const;
/** What a proxy says of an API that is not there now; the API itself has none of them. */
const AWAY = [502, 503, 504];

const credentialsSchema = z.union([z.string().min(1), z.strictObject({ login: z.string().min(1) })], 'must be a token, or { login: token }');
/** A token, sent with each call as X-Api-Key; or a token to log in with, so that a session's cookie is sent instead. */
export type Credentials = z.input<typeof credentialsSchema>;

const clockSchema = z.custom<Clock>((value) => typeof value === 'object' && value !== null && 'after' in value);
const optionsSchema = z.strictObject({
  ca: z.string().min(1).optional(),
  verifyCertificate: z.boolean().optional(),
  timeoutMs: z.int().min(1).max(TIMEOUT_MAX_MS).optional(),
  userAgent: z.string().regex(/^[\x20-\x7e]+$/u).optional(),
  clock: clockSchema.optional(),
});
export interface ConnectionOptions {
  /** Certificate authorities to trust instead of Node's own, as PEM text. */
  ca?: string | undefined;
  /** False accepts any certificate: whoever is in between reads the token. */
  verifyCertificate?: boolean | undefined;
  /** Limit of each call that names none, in milliseconds; 30 s, or 610 s for what waits for its end, when missing. */
  timeoutMs?: number | undefined;
  /** Name and version of the program, for the API's log; `pvc-client/VERSION` when missing. */
  userAgent?: string | undefined;
  /** For tests. */
  clock?: Clock | undefined;
}

export const callOptionsSchema = z.strictObject({ timeoutMs: z.int().min(1).max(TIMEOUT_MAX_MS).optional(), signal: z.instanceof(AbortSignal).optional() });
export interface CallOptions {
  /** Limit of the call with all its repetitions, in milliseconds. */
  timeoutMs?: number | undefined;
  /** Ends the call; it rejects with kind `aborted`. */
  signal?: AbortSignal | undefined;
}

const failure = z.object({ message: z.string() });

/** One API with one way to show who asks. Clients that share a connection share its sockets and its session. */
export class Connection {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly #link: HttpLink;
  readonly #session: Session;
  readonly #timeoutMs: number | undefined;
  readonly #userAgent: string;

  /**
   * Connects to nothing yet.
   * @param endpoint URL of the API, such as `https://pvc.example:7370`.
   * @throws ClientError 'arguments'.
   */
  constructor(endpoint: string, credentials: Credentials, options: ConnectionOptions = {}) {
    const given = parseArguments(z.object({ credentials: credentialsSchema, options: optionsSchema }), { credentials, options });
    this.endpoint = parseEndpoint(endpoint);
    this.clock = given.options.clock ?? holdingClock;
    this.#timeoutMs = given.options.timeoutMs;
    this.#userAgent = given.options.userAgent ?? `pvc-client/${PVC_VERSION}`;
    this.#link = new HttpLink(this.endpoint, given.options);
    this.#session = new Session(given.credentials, (token) => this.#logIn(token));
  }

  /** Ends the connections that are kept for the next call. Another call opens one again. */
  close(): void {
    this.#link.close();
  }

  /** Logs in now, if this connection works with a session and has none. @throws ClientError. */
  async logIn(options: CallOptions = {}): Promise<void> {
    await this.#limited('login', TIMEOUT_MS, options, () => this.#session.headers('token'));
  }

  /** Forgets the session: the next call logs in again. */
  forgetSession(): void {
    this.#session.forget();
  }

  /**
   * Carries out one operation. A GET is repeated when no answer came or a proxy says that nobody is there; nothing else ever is,
   * except once after a 401 with a session, which is a refusal to look at the request.
   * @returns what the operation's schema makes of the answer.
   * @throws ClientError, and nothing else.
   */
  async call<V extends z.ZodType<Values>, R extends z.ZodType>(operation: Operation<V, R>, values: z.input<V>, options: CallOptions = {}): Promise<z.output<R>> {
    const slow = operation.slow === true || z.object({ wait: z.literal(true) }).safeParse(values).success;
    return this.#limited(`${operation.method} ${operation.path}`, slow ? SLOW_TIMEOUT_MS : TIMEOUT_MS, options, async (signal) => {
      const { path, body } = encodeRequest(operation, parseArguments(operation.values, values));
      const headers = { Accept: 'application/json, */*', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
      const question = { method: operation.method, path, body, headers };
      const answer = await this.#answered(question, operation.access ?? 'token', signal);
      return readAnswer(operation.reply, question, answer);
    });
  }

  /**
   * Begins to read something that has no end. The limit counts until its head is there.
   * @throws ClientError, also for an answer other than 200.
   */
  async open(operation: Operation<z.ZodType<Values>, z.ZodType>, values: Values, options: CallOptions & { headers?: Readonly<Record<string, string>>; stop: AbortSignal }): Promise<IncomingMessage> {
    const { headers, stop, ...limits } = options;
    return this.#limited(`${operation.method} ${operation.path}`, TIMEOUT_MS, limits, async (limit) => {
      const { path } = encodeRequest(operation, parseArguments(operation.values, values));
      const opening = new AbortController();
      const end = (): void => opening.abort();
      limit.addEventListener('abort', end, { once: true });
      stop.addEventListener('abort', end, { once: true });
      if (stop.aborted) end();
      const response = await this.#authorised({ method: 'GET', path, headers: headers ?? {} }, 'token', (question) => this.#link.open(question, opening.signal));
      limit.removeEventListener('abort', end);
      if (response.statusCode === 200) return response;
      throw refusal({ method: 'GET', path }, await answerOf(response, { method: 'GET', path }));
    });
  }

  /**
   * Sends an image. Nothing of it is sent before the API has looked at the request, and it is never sent twice.
   * @returns what the operation's schema makes of the answer.
   * @throws ClientError, also what `bytes` throws.
   */
  async upload<V extends z.ZodType<Values>, R extends z.ZodType>(
    operation: Operation<V, R>,
    values: z.input<V>,
    { signal, ...image }: { sizeBytes: number; bytes: AsyncIterable<Uint8Array>; signal: AbortSignal },
  ): Promise<z.output<R>> {
    try {
      const { path } = encodeRequest(operation, parseArguments(operation.values, values));
      const question = { method: operation.method, path, headers: { Accept: 'application/json, */*' } };
      const answer = await this.#authorised(question, 'token', (one) => this.#link.upload(one, image, signal));
      return readAnswer(operation.reply, question, answer);
    } catch (error) {
      throw toClientError(error);
    }
  }

  /** The limits of a call; whatever is thrown becomes a ClientError. */
  async #limited<T>(what: string, timeoutMs: number, options: CallOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      const given = parseArguments(callOptionsSchema, options);
      return await withTimeout(this.clock, { what, timeoutMs: given.timeoutMs ?? this.#timeoutMs ?? timeoutMs, signal: given.signal }, work);
    } catch (error) {
      throw toClientError(error);
    }
  }

  async #answered(question: HttpQuestion, access: 'open' | 'token', signal: AbortSignal): Promise<HttpAnswer> {
    for (const delayMs of question.method === 'GET' ? RETRY_DELAYS_MS : []) {
      const answer = await this.#tried(question, access, signal);
      if (answer !== undefined && !AWAY.includes(answer.status)) return answer;
      await delay(this.clock, delayMs, signal);
    }
    return this.#ask(question, access, signal);
  }

  /** Undefined when no answer came, and asking again may help. */
  async #tried(question: HttpQuestion, access: 'open' | 'token', signal: AbortSignal): Promise<HttpAnswer | undefined> {
    try {
      return await this.#ask(question, access, signal);
    } catch (error) {
      if (error instanceof ClientError && error.kind === 'connection' && !signal.aborted) return undefined;
      throw error;
    }
  }

  #ask(question: HttpQuestion, access: 'open' | 'token', signal: AbortSignal): Promise<HttpAnswer> {
    return this.#authorised(question, access, (one) => this.#link.ask(one, signal));
  }

  /** Shows who asks; a session that is not known any more is opened again, once. */
  async #authorised<T extends HttpAnswer | IncomingMessage>(question: HttpQuestion, access: 'open' | 'token', send: (question: HttpQuestion) => Promise<T>): Promise<T> {
    const agent = { 'User-Agent': this.#userAgent };
    const own = await this.#session.headers(access);
    const answer = await send({ ...question, headers: { ...agent, ...question.headers, ...own } });
    if (statusOf(answer) !== 401 || !this.#session.isRefused(own)) return answer;
    return send({ ...question, headers: { ...agent, ...question.headers, ...(await this.#session.headers(access)) } });
  }

  /** The session's cookie; undefined where authentication is off. Many calls may wait for it, so it has a limit of its own. */
  #logIn(token: string): Promise<string | undefined> {
    const question = { method: 'POST', path: IDENTITY.login.path, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }) };
    return this.#limited('login', TIMEOUT_MS, {}, async (signal) => {
      const answer = await this.#link.ask(question, signal);
      readAnswer(IDENTITY.login.reply, question, answer);
      return answer.headers['set-cookie']?.find((one) => one.includes('='))?.split(';')[0];
    });
  }
}

function statusOf(answer: HttpAnswer | IncomingMessage): number {
  return 'status' in answer ? answer.status : (answer.statusCode ?? 0);
}

const OK_MIN = 200;
const OK_END = 300;

/** @throws ClientError 'answer' for a refusal, 'malformed' for an answer that is not what was promised. */
function readAnswer<R extends z.ZodType>(schema: R, question: Pick<HttpQuestion, 'method' | 'path'>, answer: HttpAnswer): z.output<R> {
  if (answer.status < OK_MIN || answer.status >= OK_END) throw refusal(question, answer);
  const isJson = answer.headers['content-type']?.startsWith('application/json') === true;
  const result = schema.safeParse(isJson ? parseJson(answer.text) : answer.text);
  if (result.success) return result.data;
  throw new ClientError('malformed', 'the answer is not what the API promises', { status: answer.status, details: [...factsOf(question, answer), ...faultLines(result.error)] });
}

function refusal(question: Pick<HttpQuestion, 'method' | 'path'>, answer: HttpAnswer): ClientError {
  const said = failure.safeParse(parseJson(answer.text));
  const message = said.success ? said.data.message : `the API answered with status ${answer.status}`;
  return new ClientError('answer', message, { status: answer.status, details: factsOf(question, answer) });
}

function factsOf({ method, path }: Pick<HttpQuestion, 'method' | 'path'>, { headers }: HttpAnswer): string[] {
  const id = headers['x-request-id'];
  const after = headers['retry-after'];
  return [`${method} ${path}`, ...(id === undefined ? [] : [`request: ${String(id)}`]), ...(after === undefined ? [] : [`retry after: ${after} s`])];
}
