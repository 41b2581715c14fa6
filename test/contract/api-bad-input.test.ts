import { request } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valuesOf, type ShownValue } from '../../api/openapi.ts';
import type { Route } from '../../api/route.ts';
import type { Logger } from '../../common/log.ts';
import { RESOURCES, type Kind } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import { aVmId } from '../support/builders.ts';
import { aZooKeeper, domainXml, drop, putNode, putVm, putVmStatus, startApi, TOKEN, type TestApi } from './api-support.ts';

/** Tries of each route; more with PVC_FUZZ_RUNS. */
const RUNS = Number(process.env['PVC_FUZZ_RUNS'] ?? 40);
/** A try that takes longer hangs. */
const LIMIT_MS = 10_000;

/** On a busy machine there are fewer tries, not a longer test. */
const ROUTE_MS = 1_200;

/** Codes that bad input may have. */
const REFUSALS = [401, 404, 405, 413, 429, 510];

let api: TestApi;
/** What the API itself took for a fault of its own. */
const errors: object[] = [];

beforeAll(async () => {
  const log: Logger = { error: (fields) => void errors.push(fields), warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => log };
  api = await startApi({ zookeeper: aZooKeeper(), log });
  await putNode(api, 'hv1', { coordinatorState: 'primary' });
  await putNode(api, 'hv2');
});

afterAll(() => api.stop());

/** The VMs that the tries are about, whatever an earlier try did to them. One runs, unless it is to be removed: nobody here would stop it. */
async function population(one: Route): Promise<void> {
  for (const [number, name] of [[1, 'web1'], [2, 'web2']] as const) {
    if (api.api.mirror.get('vm', aVmId(number))?.doc.name !== name) await putVm(api, { uuid: aVmId(number), name });
  }
  if (one.method === 'DELETE') await drop(api, 'vm-status', aVmId(1));
  else if (api.api.mirror.get('vm-status', aVmId(1)) === undefined) await putVmStatus(api, aVmId(1));
}

/** All documents, as text that can be compared. */
async function everything(store: Store): Promise<string> {
  const found: [string, unknown, number][] = [];
  for (const kind of Object.keys(RESOURCES) as Kind[]) {
    const { root } = RESOURCES[kind];
    for (const id of await store.list(root)) {
      const entry = await store.read(`${root}/${id}`);
      if (entry !== undefined) found.push([entry.path, entry.value, entry.version]);
    }
  }
  return JSON.stringify(found);
}

interface Answer {
  code: number;
  text: string;
}

/** Without fetch, which would tidy up what is sent. */
function send(method: string, path: string, body?: { type: string; text: string | Buffer }): Promise<Answer> {
  const url = new URL(api.base);
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
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 20 }),
  fc.constantFrom('', ' ', '0', '-1', '1e9', 'NaN', 'null', 'None', 'true', 'False', '../../etc', '/', '.', '..', '\0', 'a\r\nX: y', '%00', '%', '__proto__', 'constructor', 'toString', 'web1', 'hv1', aVmId(1), '(', '(a+)+$', '[', 'a{1000}{1000}', '(?=x)', '\u{1F4A9}', '\uD800', '<a/>', '<domain type="kvm"/>', '&lol;', `${'x'.repeat(5_000)}`),
);

const nastyJson = fc.oneof(nasty, fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(1e308, -0, [], {}, [[['x']]], { toString: 1 }, null, true));

/** A value that the route's own document calls right, where it says so. */
function rightValue({ name, doc }: ShownValue): fc.Arbitrary<string> {
  const choices = doc.json['enum'];
  if (Array.isArray(choices)) return fc.constantFrom(...choices.map(String));
  if (name === 'vm') return fc.constantFrom('web1', 'web2', aVmId(2), 'absent');
  if (name === 'node' || name === 'limit') return fc.constantFrom('hv1', 'hv2', 'hv9');
  if (name === 'xml') return fc.constantFrom(domainXml('web1'), domainXml('fuzz', { uuid: aVmId(1) }), domainXml('fuzz', { memoryMib: 9_999_999 }), '<domain type="kvm"><name>x</name></domain>');
  return nasty;
}

const valueFor = (value: ShownValue): fc.Arbitrary<string> => fc.oneof(nasty, rightValue(value));

interface Try {
  path: string;
  query: [string, string][];
  body: { type: string; text: string | Buffer } | undefined;
}

/** Requests to one route: each of its values, under each name, good, bad, missing, twice, in every place. */
function triesOf(one: Route): fc.Arbitrary<Try> {
  const values = valuesOf(one);
  const named = values.filter((value) => !value.inPath);
  const pair = named.length === 0 ? fc.tuple(nasty, nasty) : fc.constantFrom(...named).chain((value) => fc.tuple(fc.constantFrom(value.name, ...value.aliases), valueFor(value)));
  const pairs = fc.array(fc.oneof({ weight: 9, arbitrary: pair }, { weight: 1, arbitrary: fc.tuple(nasty, nasty) }), { maxLength: 6 });
  const inPath = fc.tuple(...one.pathValues.map((name) => fc.oneof(...values.filter((value) => value.name === name).map(rightValue), nasty)));
  const body = fc.oneof(
    fc.constant(undefined),
    pairs.map((form) => ({ type: 'application/x-www-form-urlencoded', text: new URLSearchParams(form).toString() })),
    fc.dictionary(fc.constantFrom(...named.map((value) => value.name), 'other', '__proto__'), nastyJson).map((json) => ({ type: 'application/json', text: JSON.stringify(json) })),
    fc.tuple(fc.constantFrom('application/json', 'text/xml', 'application/x-www-form-urlencoded', 'text/plain', ''), fc.uint8Array({ maxLength: 80 })).map(([type, bytes]) => ({ type, text: Buffer.from(bytes) })),
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

/** Routes that hand the response over or answer in another form when they succeed. */
const FORMS: Record<string, RegExp> = { 'application/json': /^[[{]/u, 'text/html': /^<!doctype/u, 'application/xml': /^</u, 'text/event-stream': /^retry/u };

async function check(one: Route, given: Try): Promise<void> {
  await population(one);
  const before = await everything(api.store);
  const query = new URLSearchParams(given.query).toString();
  const answer = await send(one.method, `${given.path}${query === '' ? '' : `?${query}`}`, given.body);
  if (answer.code === one.reply.code) {
    expect(answer.text).toMatch(FORMS[one.reply.type] ?? /never/u);
    return;
  }
  expect(REFUSALS, answer.text).toContain(answer.code);
  const body = JSON.parse(answer.text) as { message?: unknown };
  expect(typeof body.message).toBe('string');
  expect(await everything(api.store)).toBe(before);
}

describe('bad input', () => {
  test('no value of any route brings an unknown code, a reply that is not JSON, or a change with a refusal', async () => {
    for (const one of api.api.routes) {
      const options = { numRuns: RUNS, interruptAfterTimeLimit: ROUTE_MS, markInterruptAsFailure: false };
      const property = fc.asyncProperty(triesOf(one).filter((given) => !waits(given)), (given) => check(one, given));
      await fc.assert(property, options).catch((error: unknown) => {
        throw new Error(`${one.method} ${one.path}`, { cause: error });
      });
    }
    expect(errors).toEqual([]);
  });

  test('a path that is not valid, or of any other text, is answered with JSON', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'), fc.array(fc.constantFrom('/', '%', '%ff', '%2f', '..', 'vm', 'node', 'web1', ':', ';', '*', '?', '=', '&', '%00'), { maxLength: 8 }), async (method, parts) => {
        const answer = await send(method, `/${parts.join('')}`);
        expect([200, 209, ...REFUSALS]).toContain(answer.code);
        expect(answer.text).toMatch(/^[[{<]|^retry/u);
      }),
      { numRuns: RUNS * 4 },
    );
    expect(errors).toEqual([]);
  });

  test('after all that the cluster can still be read and changed', async () => {
    expect((await send('GET', '/vm')).code).toBe(200);
    expect((await send('POST', '/vm', { type: 'text/xml', text: domainXml('sound') })).code).toBe(200);
    for (const kind of Object.keys(RESOURCES) as Kind[]) {
      for (const id of await api.store.list(RESOURCES[kind].root)) {
        const entry = await api.store.read(`${RESOURCES[kind].root}/${id}`);
        expect(RESOURCES[kind].schema.safeParse(entry?.value).success, `${kind} ${id}`).toBe(true);
      }
    }
  });
});

/** Nobody here carries out what is asked, so a wait would be for nothing. */
function waits(given: Try): boolean {
  return `${JSON.stringify(given.query)}${String(given.body?.text ?? '')}`.includes('wait');
}
