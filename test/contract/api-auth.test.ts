import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Logger } from '../../common/log.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { aZooKeeper, ask, OTHER_TOKEN, startApi, TOKEN, type Answer, type TestApi, type TestApiOptions } from './api-support.ts';

const running: TestApi[] = [];

async function start(options: Partial<TestApiOptions> & { zookeeper?: MemoryZooKeeper } = {}): Promise<TestApi> {
  const api = await startApi({ zookeeper: aZooKeeper(), ...options });
  running.push(api);
  return api;
}

afterEach(async () => {
  for (const api of running.splice(0)) await api.stop();
});

const login = (base: string, token: string, headers: Record<string, string> = {}): Promise<Answer> =>
  ask(base, '/auth/login', { method: 'POST', form: { token }, token: null, headers });

/** The session's cookie of an answer, as a browser sends it back. */
function cookieOf(answer: Answer): string {
  return answer.headers.getSetCookie().find((one) => one.startsWith('pvc.sid='))?.split(';')[0] ?? '';
}

const withCookie = (base: string, path: string, cookie: string, more: Parameters<typeof ask>[2] = {}): Promise<Answer> =>
  ask(base, path, { token: null, ...more, headers: { Cookie: cookie, ...more.headers } });

describe('tokens', () => {
  test('without a valid token everything but the root, the login and the description is 401 with the words of the manual', async () => {
    const { base, api } = await start();
    for (const token of [null, 'wrong', TOKEN.slice(0, -1), `${TOKEN} `.repeat(2), TOKEN.toUpperCase()]) {
      const answer = await ask(base, '/vm', { token });
      expect([answer.code, answer.body]).toEqual([401, { message: 'Authentication required' }]);
    }
    for (const one of api.routes) {
      const path = one.path.replaceAll(/:\w+/gu, 'x');
      const answer = await ask(base, path, { method: one.method, token: null });
      expect(answer.code === 401, `${one.method} ${path}`).toBe(one.access === 'token');
    }
    expect((await ask(base, '/no/such/path', { token: null })).code).toBe(401);
    expect((await ask(base, '/vm', { token: OTHER_TOKEN })).code).toBe(200);
  });

  test('the log says who did what, with the token\'s description and never a token', async () => {
    const lines: object[] = [];
    const log: Logger = { error: () => undefined, warn: () => undefined, debug: () => undefined, info: (fields) => void lines.push(fields), child: () => log };
    const { base } = await start({ log });
    await ask(base, '/vm', { query: { token: TOKEN }, token: OTHER_TOKEN });
    await ask(base, '/vm', { token: null });
    const requests = lines.filter((line) => 'method' in line);
    expect(requests).toMatchObject([
      { who: 'others', how: 'token', method: 'GET', path: '/api/v1/vm', code: 200 },
      { who: 'anonymous', code: 401 },
    ]);
    expect(JSON.stringify(lines)).not.toContain('a-token-of-the-tests');
  });

  test('with authentication off everybody is let in, and login and logout say so in the manual\'s spelling', async () => {
    const { base } = await start({ authentication: false });
    expect((await ask(base, '/vm', { token: null })).code).toBe(200);
    for (const [path, method] of [['/auth/login', 'GET'], ['/auth/login', 'POST'], ['/auth/logout', 'GET'], ['/auth/logout', 'POST'], ['/login', 'POST']] as const) {
      const answer = await ask(base, path, { method, token: null });
      expect([answer.code, answer.body]).toEqual([200, { message: 'Authentiation is disabled' }]);
    }
  });
});

describe('sessions', () => {
  test('a login opens a session that stands for the token until the logout', async () => {
    const { base } = await start();
    const form = await ask(base, '/auth/login', { token: null });
    expect([form.code, form.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const answer = await login(base, TOKEN);
    expect([answer.code, typeof answer.body.message]).toEqual([200, 'string']);
    const setCookie = answer.headers.getSetCookie()[0] ?? '';
    for (const part of ['HttpOnly', 'SameSite=Lax', 'Path=/', 'Expires=']) expect(setCookie).toContain(part);
    const cookie = cookieOf(answer);
    expect((await withCookie(base, '/vm', cookie)).code).toBe(200);
    expect((await withCookie(base, '/vm', `${cookie}x`)).code).toBe(401);
    expect((await withCookie(base, '/auth/logout', cookie, { method: 'POST' })).code).toBe(200);
    expect((await withCookie(base, '/vm', cookie)).code).toBe(401);
  });

  test('parts of a token, nothing, and a token in another case are no login', async () => {
    const { base } = await start();
    for (const token of [TOKEN.slice(3), TOKEN.toUpperCase(), 'x']) {
      const answer = await login(base, token);
      expect([answer.code, cookieOf(answer)]).toEqual([401, '']);
    }
    expect((await login(base, '')).code).toBe(510);
  });

  test('each login makes a new session id, and the old session is over', async () => {
    const { base } = await start();
    const first = cookieOf(await login(base, TOKEN));
    const second = cookieOf(await login(base, TOKEN, { Cookie: first }));
    expect(second).not.toBe(first);
    expect((await withCookie(base, '/vm', first)).code).toBe(401);
    expect((await withCookie(base, '/vm', second)).code).toBe(200);
  });

  test('a session goes on at the next primary, and ends with its token', async () => {
    const zookeeper = aZooKeeper();
    const first = await start({ zookeeper, name: 'api-1' });
    const cookie = cookieOf(await login(first.base, OTHER_TOKEN));
    await first.stop();
    const second = await start({ zookeeper, name: 'api-2' });
    expect((await withCookie(second.base, '/vm', cookie)).code).toBe(200);
    const third = await start({ zookeeper, name: 'api-3', tokens: [{ description: 'tests', token: TOKEN }] });
    expect((await withCookie(third.base, '/vm', cookie)).code).toBe(401);
  });

  test('what is stored can neither be used as a cookie nor as a token', async () => {
    const { base, store } = await start();
    const cookie = cookieOf(await login(base, TOKEN));
    const ids = await store.list('/session');
    const entry = await store.read(`/session/${ids[0]}`);
    expect(ids).toHaveLength(1);
    expect(Object.keys(entry?.value as object).sort()).toEqual(['expiresMs', 'tokenHash']);
    expect(JSON.stringify([ids, entry])).not.toContain(TOKEN);
    expect(decodeURIComponent(cookie)).not.toContain(ids[0]);
  });

  test('requests without a login leave nothing in the store, and a session is over after its time', async () => {
    const clock = new VirtualClock();
    const { base, store } = await start({ clock });
    await ask(base, '/vm');
    await ask(base, '/vm', { token: null });
    await login(base, 'a wrong token');
    expect(await store.list('/session')).toEqual([]);
    const cookie = cookieOf(await login(base, TOKEN));
    expect((await withCookie(base, '/vm', cookie)).code).toBe(200);
    await clock.advance(12 * 3_600_000 + 1);
    expect((await withCookie(base, '/vm', cookie)).code).toBe(401);
  });

  test('a page of another site can use neither a session nor the absence of authentication', async () => {
    const { base } = await start();
    const cookie = cookieOf(await login(base, TOKEN));
    const post = (origin: string): Promise<Answer> => withCookie(base, '/vm/x/state', cookie, { method: 'POST', form: { state: 'start' }, headers: { Origin: origin } });
    for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:1']) expect((await post(origin)).code).toBe(401);
    expect((await post(new URL(base).origin)).code).toBe(510);
    expect((await login(base, TOKEN, { Origin: 'http://evil.example' })).code).toBe(401);
    const open = await start({ authentication: false });
    expect((await ask(open.base, '/vm', { form: { xml: 'x' }, token: null, headers: { Origin: 'http://evil.example' } })).code).toBe(401);
  });
});

describe('limits', () => {
  test('after ten failed logins an address has to wait a minute, with any token', async () => {
    const clock = new VirtualClock();
    const { base } = await start({ clock });
    for (let count = 0; count < 10; count += 1) expect((await login(base, 'a wrong token')).code).toBe(401);
    const answer = await login(base, TOKEN);
    expect([answer.code, answer.headers.get('retry-after'), typeof answer.body.message]).toEqual([429, '60', 'string']);
    expect((await ask(base, '/vm', { token: 'guess' })).code).toBe(429);
    expect((await ask(base, '/vm')).code).toBe(200);
    await clock.advance(60_000);
    expect((await login(base, TOKEN)).code).toBe(200);
  });

  test('what is not HTTP, or has headers without end, is answered in JSON and cut off', async () => {
    const { base } = await start();
    expect(await raw(base, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 .*\{"message":".+"\}\n$/su);
    expect(await raw(base, `GET /api/v1/vm?x=${'x'.repeat(250_000)} HTTP/1.1\r\nHost: a\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 .*\{"message":".+"\}\n$/su);
    expect(await raw(base, 'GET /api/v1/vm/%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', TOKEN)).toMatch(/^HTTP\/1\.1 510 .*"message":/su);
  });
});

function raw(base: string, text: string, token?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(base).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.write(token === undefined ? text : text.replace('Host: a', `Host: a\r\nX-Api-Key: ${token}`));
  });
}

describe('TLS', () => {
  test('with ssl on only HTTPS of 1.2 or newer is served, and cookies are Secure', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pvc-tls-'));
    try {
      const [key_file, cert_file] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-keyout', key_file, '-out', cert_file], { stdio: 'ignore' });
      const { base } = await start({ ssl: { cert_file, key_file } });
      const [code, cookie] = await loginOverTls(base);
      expect([code, cookie]).toEqual([200, expect.stringMatching(/; Secure/u)]);
      await expect(loginOverTls(base, 'TLSv1.1')).rejects.toThrow();
      expect(await raw(base, 'GET / HTTP/1.1\r\n\r\n')).not.toContain('200 OK');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function loginOverTls(base: string, maxVersion: 'TLSv1.1' | 'TLSv1.3' = 'TLSv1.3'): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const call = request(`${base}/auth/login`, { method: 'POST', rejectUnauthorized: false, headers, maxVersion, minVersion: 'TLSv1' }, (response) => {
      response.resume();
      resolve([response.statusCode, response.headers['set-cookie']?.[0] ?? '']);
    });
    call.on('error', reject);
    call.end(`token=${TOKEN}`);
  });
}
