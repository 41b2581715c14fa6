import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import ssh2, { type AuthContext, type Connection } from 'ssh2';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { systemClock } from '../clock.ts';
import { toAppError } from '../errors.ts';
import { SshLink, type SshLinkDeps } from './ssh-link.ts';

const LIMIT_MS = 10_000;

/** ssh2 writes one ed25519 key in some two hundred so that it cannot read it itself. */
function aKeyPair(): { private: string; public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair;
  }
}

/** An ssh server in this process, which echoes what comes for /echo and refuses every other socket. */
class EchoServer {
  readonly hostKey = aKeyPair();
  readonly userKey = aKeyPair();
  readonly logins: string[] = [];
  readonly connections: Connection[] = [];
  readonly #server = new ssh2.Server({ hostKeys: [this.hostKey.private] }, (client) => this.#serve(client));

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.connections.forEach((connection) => connection.end());
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(client: Connection): void {
    this.connections.push(client);
    client.on('error', () => undefined);
    client.on('authentication', (context) => this.#authenticate(context));
    client.on('session', (accept) => accept().on('exec', (_accept, refuse) => refuse()));
    client.on('openssh.streamlocal', (accept, refuse, info) => {
      if (info.socketPath !== '/echo') return refuse();
      const channel = accept();
      channel.pipe(channel);
    });
  }

  #authenticate(context: AuthContext): void {
    this.logins.push(context.method);
    const expected = ssh2.utils.parseKey(this.userKey.public);
    if (expected instanceof Error) throw expected;
    if (context.method === 'publickey' && context.key.data.equals(expected.getPublicSSH())) context.accept();
    else context.reject();
  }
}

function base64Of(publicKey: string): string {
  return publicKey.split(' ')[1] ?? '';
}

describe('ssh link', () => {
  let server: EchoServer;
  let port: number;
  let folder: string;
  let link: SshLink | undefined;

  beforeEach(async () => {
    server = new EchoServer();
    port = await server.start();
    folder = await mkdtemp(path.join(tmpdir(), 'pvc-ssh-'));
  });

  afterEach(async () => {
    await link?.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const linkTo = async (change: { hostKeys?: string[]; privateKey?: string; port?: number } = {}): Promise<SshLink> => {
    const privateKeyFile = path.join(folder, 'key');
    await writeFile(privateKeyFile, change.privateKey ?? server.userKey.private, { mode: 0o600 });
    const peer = { address: '127.0.0.1', port: change.port ?? port, user: 'root', hostKeys: change.hostKeys ?? [base64Of(server.hostKey.public)] };
    const deps: SshLinkDeps = { clock: systemClock, peer, privateKeyFile };
    link = new SshLink(deps);
    return link;
  };

  const codeOf = async (work: Promise<unknown>): Promise<string> => work.then(() => 'none', (error: unknown) => toAppError(error).code);

  const echoes = async (over: SshLink, text: string): Promise<string> => {
    const stream = await over.openSocket('/echo');
    const received = new Promise<string>((resolve) => stream.once('data', (chunk: Buffer) => resolve(chunk.toString())));
    stream.write(text);
    const answer = await received;
    stream.destroy();
    return answer;
  };

  test('streams go over one connection, logged in by key alone, though running commands is refused', async () => {
    const over = await linkTo();
    expect(await Promise.all([echoes(over, 'one'), echoes(over, 'two')])).toEqual(['one', 'two']);
    expect(server.connections.length).toBe(1);
    expect(new Set(server.logins)).toEqual(new Set(['publickey']));
  });

  test('another host key is refused before any login', async () => {
    const other = base64Of(aKeyPair().public);
    expect(await codeOf((await linkTo({ hostKeys: [other] })).openSocket('/echo'))).toBe('unauthenticated');
    expect(server.logins).toEqual([]);
  });

  test('a prefix of the right host key is refused, and so is no key at all', async () => {
    const prefix = base64Of(server.hostKey.public).slice(0, -2);
    expect(await codeOf((await linkTo({ hostKeys: [prefix] })).openSocket('/echo'))).toBe('unauthenticated');
    expect(await codeOf((await linkTo({ hostKeys: [] })).openSocket('/echo'))).toBe('unauthenticated');
  });

  test('one of several pinned keys is enough, so that keys can be changed', async () => {
    const other = base64Of(aKeyPair().public);
    expect(await echoes(await linkTo({ hostKeys: [other, base64Of(server.hostKey.public)] }), 'hello')).toBe('hello');
  });

  test('a key that the peer does not accept is unauthenticated', async () => {
    const stranger = aKeyPair().private;
    expect(await codeOf((await linkTo({ privateKey: stranger })).openSocket('/echo'))).toBe('unauthenticated');
  });

  test('a private key that is none is unavailable, and says why', async () => {
    const error = toAppError(await (await linkTo({ privateKey: 'no key' })).openSocket('/echo').catch((reason: unknown) => reason));
    expect(error).toMatchObject({ code: 'unavailable', details: { reason: expect.stringContaining('privateKey') } });
  });

  test('a refused socket is unavailable, and the connection lives on', async () => {
    const over = await linkTo();
    expect(await codeOf(over.openSocket('/absent'))).toBe('unavailable');
    expect(await echoes(over, 'still here')).toBe('still here');
    expect(server.connections.length).toBe(1);
  });

  test('after a loss the next stream opens another connection, and open streams have ended', async () => {
    const over = await linkTo();
    const stream = await over.openSocket('/echo');
    let ended = false;
    stream.on('close', () => {
      ended = true;
    });
    stream.resume();
    server.connections[0]?.end();
    await until(() => ended, LIMIT_MS, 'stream ended');
    await until(async () => (await codeOf(echoes(over, 'again'))) === 'none', LIMIT_MS, 'another connection');
    expect(server.connections.length).toBe(2);
  });

  test('nobody at the address, and a missing private key, are unavailable', async () => {
    await server.stop();
    expect(await codeOf((await linkTo()).openSocket('/echo'))).toBe('unavailable');
    await server.start();
    const over = await linkTo();
    await rm(path.join(folder, 'key'));
    expect(await codeOf(over.openSocket('/echo'))).toBe('unavailable');
  });

  test('a stopped link opens nothing', async () => {
    const over = await linkTo();
    await over.stop();
    expect(await codeOf(over.openSocket('/echo'))).toBe('cancelled');
  });
});
