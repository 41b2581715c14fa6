import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { aZooKeeper, startApi, TOKEN, type TestApi } from './api-support.ts';

const BODY_MAX_MS = 60_000;
const LINGER_MS = 5_000;

let clock: VirtualClock;
let api: TestApi;

beforeEach(async () => {
  clock = new VirtualClock();
  api = await startApi({ zookeeper: aZooKeeper(clock), clock });
});

afterEach(() => api.stop());

interface Begun {
  readonly call: ClientRequest;
  /** It is asked for its body. */
  readonly continued: Promise<unknown>;
  readonly answered: Promise<IncomingMessage>;
}

/** A request of which only the beginning has come. What follows it may follow at once. */
async function begun(path: string, token: string, headers: Record<string, string | number> = {}): Promise<Begun> {
  const { hostname, port, pathname } = new URL(api.base);
  const call = request({ hostname, port, method: 'POST', path: `${pathname}${path}`, headers: { 'X-Api-Key': token, 'Content-Length': 100_000, ...headers } });
  const continued = once(call, 'continue');
  const answered = once(call, 'response').then(([response]) => response as IncomingMessage);
  for (const event of [continued, answered]) event.catch(() => undefined);
  call.on('error', () => undefined);
  call.write('x'.repeat(10));
  await until(() => call.socket?.writableLength === 0, 5_000, 'the beginning to be sent');
  return { call, continued, answered };
}

const isOver = (call: ClientRequest) => until(() => call.destroyed, 5_000, 'the end of the connection');

test('a body that does not come in time is answered as such, and its connection ends', async () => {
  const { call, continued, answered } = await begun('/vm', TOKEN, { Expect: '100-continue' });
  // It is read from now on.
  await continued;
  await clock.advance(BODY_MAX_MS - 1);
  expect(call.destroyed).toBe(false);
  await clock.advance(1);
  const response = await answered;
  expect([response.statusCode, Buffer.concat(await response.toArray()).toString()]).toEqual([408, '{"message":"the request did not come in time"}\n']);
  await isOver(call);
});

test('what comes after a refusal is thrown away for a moment only', async () => {
  const { call: stranger, answered: refused } = await begun('/vm', 'not a token that is known');
  const refusal = await refused;
  expect(refusal.statusCode).toBe(401);
  refusal.resume();
  expect(stranger.destroyed).toBe(false);
  await clock.advance(BODY_MAX_MS);
  await isOver(stranger);
  const { call: image, answered } = await begun('/storage/ceph/volume/vms/web1/upload?image_format=raw', TOKEN);
  const none = await answered;
  expect([none.statusCode, Buffer.concat(await none.toArray()).toString()]).toEqual([510, '{"message":"this cluster has no storage: pvc.enable_storage is false"}\n']);
  expect(image.destroyed).toBe(false);
  await clock.advance(LINGER_MS);
  await isOver(image);
});

test('a body is asked for by whoever reads it, and not of a stranger', async () => {
  const { hostname, port, pathname } = new URL(api.base);
  const ask = (token: string): ClientRequest => request({ hostname, port, method: 'POST', path: `${pathname}/status`, headers: { 'X-Api-Key': token, Expect: '100-continue', 'Content-Length': 10 } });
  const call = ask(TOKEN);
  call.flushHeaders();
  await once(call, 'continue');
  call.end('state=true');
  expect(((await once(call, 'response')) as [IncomingMessage])[0].statusCode).toBe(200);
  const stranger = ask('not a token that is known');
  let isAsked = false;
  stranger.on('continue', () => (isAsked = true));
  stranger.flushHeaders();
  expect(((await once(stranger, 'response')) as [IncomingMessage])[0].statusCode).toBe(401);
  expect(isAsked).toBe(false);
  stranger.destroy();
});
