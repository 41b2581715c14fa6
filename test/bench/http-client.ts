import { Agent, request } from 'node:http';
import { systemClock } from '../../common/clock.ts';

/** A reply that takes longer has no place in a figure. */
const REPLY_LIMIT_MS = 60_000;

export interface Reply {
  status: number;
  body: string;
  /** From before the request is written until the last byte of the body is there. */
  elapsedMs: number;
}

/** One kept-alive connection, one request at a time. */
export class BenchClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #base: string;
  readonly #token: string;

  constructor(base: string, token: string) {
    this.#base = base;
    this.#token = token;
  }

  get(path: string): Promise<Reply> {
    return this.#send('GET', path);
  }

  post(path: string, form: Readonly<Record<string, string>>): Promise<Reply> {
    return this.#send('POST', path, new URLSearchParams(form).toString());
  }

  /** Another connection to the same server. */
  another(): BenchClient {
    return new BenchClient(this.#base, this.#token);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, body = ''): Promise<Reply> {
    const headers = { 'X-Api-Key': this.#token, ...(body === '' ? {} : { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': String(body.length) }) };
    return new Promise((resolve, reject) => {
      const beganMs = systemClock.monotonicMs();
      const outgoing = request(`${this.#base}${path}`, { agent: this.#agent, method, headers, timeout: REPLY_LIMIT_MS }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          const elapsedMs = systemClock.monotonicMs() - beganMs;
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8'), elapsedMs });
        });
      });
      outgoing.once('timeout', () => outgoing.destroy(new Error('no reply within the limit')));
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  }
}

export interface Samples {
  warmUp: number;
  count: number;
}

/**
 * Elapsed times of `count` calls one after the other, after `warmUp` calls that do not count.
 * @param call gets the number of the call, from 0 over both.
 * @throws Error at the first reply that is not a 200: a refusal is no figure.
 */
export async function sample(samples: Samples, call: (number: number) => Promise<Reply>): Promise<number[]> {
  const elapsed: number[] = [];
  for (let number = 0; number < samples.warmUp + samples.count; number += 1) {
    const reply = await call(number);
    if (reply.status !== 200) throw new Error(`status ${reply.status}: ${reply.body.slice(0, 300)}`);
    if (number >= samples.warmUp) elapsed.push(reply.elapsedMs);
  }
  return elapsed;
}
