import { request } from 'node:http';
import fc from 'fast-check';
import { expect } from 'vitest';
import { valuesOf, type ShownValue } from '../../api/openapi.ts';
import type { Route } from '../../api/route.ts';
import { TOKEN } from '../contract/api-support.ts';
import { anyText } from './any-text.ts';
import { aVmId } from './builders.ts';

/** A try that takes longer hangs. */
const LIMIT_MS = 10_000;

/** Codes that bad input may have. */
export const REFUSALS = [401, 404, 405, 413, 429, 510];

export interface Answer {
  code: number;
  text: string;
}

/** A body with its media type. */
export interface Body {
  type: string;
  text: string | Buffer;
}

/** Without fetch, which would tidy up what is sent. */
export function send(base: string, method: string, path: string, body?: Body): Promise<Answer> {
  const url = new URL(base);
  return new Promise((resolve, reject) => {
    const headers = { 'X-Api-Key': TOKEN, ...(body === undefined ? {} : { 'Content-Type': body.type, 'Content-Length': Buffer.byteLength(body.text) }) };
    const call = request({ host: url.hostname, port: url.port, method, path: `${url.pathname}${path}`, headers, timeout: LIMIT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (response.headers['content-type']?.startsWith('text/event-stream') === true) response.destroy();
      });
      response.on('close', () => resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer to ${method} ${path}`)));
    call.on('error', reject);
    call.end(body?.text);
  });
}

/** What nobody should send, and what is nearly right. */
export const nasty = fc.oneof(
  anyText(60),
  fc.string({ maxLength: 20 }),
  fc.constantFrom('', ' ', '0', '-1', '1e9', 'NaN', 'null', 'None', 'true', 'False', '../../etc', '/', '.', '..', '\0', 'a\r\nX: y', '%00', '%', '__proto__', 'constructor', 'toString', 'web1', 'hv1', aVmId(1), '(', '(a+)+$', '[', 'a{1000}{1000}', '(?=x)', '\u{1F4A9}', '\uD800', '<a/>', '<domain type="kvm"/>', '&lol;', `${'x'.repeat(5_000)}`),
);

const nastyJson = fc.oneof(nasty, fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(1e308, -0, [], {}, [[['x']]], { toString: 1 }, null, true));

export interface Try {
  path: string;
  query: [string, string][];
  body: Body | undefined;
}

/** A value that a route's own document calls right, or nearly. */
export type RightValue = (value: ShownValue) => fc.Arbitrary<string>;

/** Requests to one route: each of its values, under each name, good, bad, missing, twice, in every place. */
export function triesOf(one: Route, rightValue: RightValue): fc.Arbitrary<Try> {
  const valueFor = (value: ShownValue): fc.Arbitrary<string> => fc.oneof(nasty, rightValue(value));
  const values = valuesOf(one);
  const named = values.filter((value) => !value.inPath);
  const pair = named.length === 0 ? fc.tuple(nasty, nasty) : fc.constantFrom(...named).chain((value) => fc.tuple(fc.constantFrom(value.name, ...value.aliases), valueFor(value)));
  const pairs = fc.array(fc.oneof({ weight: 9, arbitrary: pair }, { weight: 1, arbitrary: fc.tuple(nasty, nasty) }), { maxLength: 6 });
  const inPath = fc.tuple(...one.pathValues.map((name) => fc.oneof(...values.filter((value) => value.name === name).map(rightValue), nasty)));
  const body = fc.oneof(
    fc.constant(undefined),
    pairs.map((form) => ({ type: 'application/x-www-form-urlencoded', text: new URLSearchParams(form).toString() })),
    fc.dictionary(fc.constantFrom(...named.map((value) => value.name), 'other', '__proto__'), nastyJson).map((json) => ({ type: 'application/json', text: JSON.stringify(json) })),
    fc.tuple(fc.constantFrom('application/json', 'text/xml', 'application/x-www-form-urlencoded', 'text/plain', 'application/octet-stream', 'multipart/form-data; boundary=x', ''), fc.uint8Array({ maxLength: 80 })).map(([type, bytes]) => ({ type, text: Buffer.from(bytes) })),
  );
  return fc.record({ parts: inPath, query: pairs, body }).map(({ parts, query, body: given }) => {
    const inOrder = [...parts];
    return { path: one.path.replaceAll(/:\w+/gu, () => encoded(inOrder.shift() ?? '')), query, body: given };
  });
}

/** Half of a surrogate pair cannot stand in a URL, and nothing cannot be a part of a path. */
function encoded(part: string): string {
  return encodeURIComponent(Buffer.from(part).toString()) || 'x';
}

/** Tries one route, so often, or for so long, and once however busy the machine is. */
export async function tryRoute(one: Route, tries: fc.Arbitrary<Try>, limits: { runs: number; limitMs: number }, check: (one: Route, given: Try) => Promise<void>): Promise<void> {
  for (const given of fc.sample(tries, 1)) await check(one, given);
  let last: Promise<void> | undefined;
  const property = fc.asyncProperty(tries, (given) => (last = check(one, given)));
  const found = await fc.check(property, { numRuns: limits.runs, interruptAfterTimeLimit: limits.limitMs, markInterruptAsFailure: false });
  if (found.counterexample !== null) throw new Error(`${one.method} ${one.path}: ${fc.defaultReportMessage(found) ?? ''}`, { cause: found.errorInstance });
  // fast-check does not wait for a try that is under way when the time is over.
  await last;
}

/** Routes that hand the response over or answer in another form when they succeed. */
const FORMS: Record<string, RegExp> = { 'application/json': /^[[{]/u, 'text/html': /^<!doctype/u, 'application/xml': /^</u, 'text/event-stream': /^retry/u, 'application/octet-stream': /^/u };

/** Sends a try; what comes back is the route's reply or a refusal, in the right form. @returns whether it was a refusal. */
export async function isRefused(base: string, one: Route, given: Try): Promise<boolean> {
  const query = new URLSearchParams(given.query).toString();
  const answer = await send(base, one.method, `${given.path}${query === '' ? '' : `?${query}`}`, given.body);
  if (answer.code === one.reply.code) {
    expect(answer.text).toMatch(FORMS[one.reply.type] ?? /never/u);
    return false;
  }
  expect(REFUSALS, answer.text).toContain(answer.code);
  const body = JSON.parse(answer.text) as { message?: unknown };
  expect(typeof body.message).toBe('string');
  return true;
}
