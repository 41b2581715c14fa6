import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { withTimeout, type Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Dial } from './dial.ts';

export interface SshPeer {
  address: string;
  port: number;
  user: string;
  /** Public host keys that are accepted, as the base64 field of an OpenSSH .pub or known_hosts line. */
  hostKeys: readonly string[];
}

export interface SshLinkDeps {
  clock: Clock;
  peer: SshPeer;
  /** File of the private key, OpenSSH form, without passphrase. */
  privateKeyFile: string;
  /** Opens the stream that ssh speaks over; TCP to the peer unless a test says otherwise. */
  transport?: (peer: SshPeer) => Duplex;
}

const CONNECT_LIMIT_MS = 15_000;
const OPEN_STREAM_LIMIT_MS = 10_000;
const KEEPALIVE_INTERVAL_MS = 5_000;
const KEEPALIVES_UNANSWERED_MAX = 3;

/** Ciphers with hardware support first; the memory of guests passes through here. */
const CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'] as const;

/**
 * One ssh connection to a peer, kept, and opened again on demand. The peer's host key must be one of the pinned ones, compared as a whole; we
 * authenticate with our key and nothing else.
 */
export class SshLink {
  readonly #deps: SshLinkDeps;
  #client: Promise<Client> | undefined;
  #stopped = false;

  constructor(deps: SshLinkDeps) {
    this.#deps = deps;
  }

  /**
   * A stream to a Unix socket of the peer (OpenSSH's direct-streamlocal).
   * @throws AppError 'unavailable' when the peer or the socket does not answer, 'unauthenticated' when its host key is not pinned or our key
   * is refused, 'timeout', 'cancelled'.
   */
  async openSocket(path: string, signal?: AbortSignal): Promise<Duplex> {
    const limit = { timeoutMs: OPEN_STREAM_LIMIT_MS + CONNECT_LIMIT_MS, what: 'opening a socket of a peer', signal };
    return withTimeout(this.#deps.clock, limit, async (inner) => {
      const channel = await forward(await this.#connected(), path);
      // An error of a channel without a listener would end the process; its owner adds its own.
      channel.on('error', () => undefined);
      if (inner.aborted) channel.destroy();
      return channel;
    });
  }

  /** For LibvirtConnection. */
  dial(path: string): Dial {
    return (signal) => this.openSocket(path, signal);
  }

  /** Ends the connection and all its streams. Later calls fail with 'cancelled'. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const client = this.#client;
    this.#client = undefined;
    await client?.then((open) => open.destroy()).catch(() => undefined);
  }

  #connected(): Promise<Client> {
    if (this.#stopped) return Promise.reject(new AppError('cancelled', 'the link to the peer was stopped'));
    this.#client ??= this.#connect();
    return this.#client;
  }

  #forget(): void {
    this.#client = undefined;
  }

  async #connect(): Promise<Client> {
    const { clock, peer } = this.#deps;
    try {
      const privateKey = await readKey(this.#deps.privateKeyFile);
      return await withTimeout(clock, { timeoutMs: CONNECT_LIMIT_MS, what: 'connecting a peer by ssh' }, (signal) =>
        openClient({ peer, privateKey, transport: this.#deps.transport ?? tcpTransport, signal, lost: () => this.#forget() }),
      );
    } catch (error) {
      this.#forget();
      throw error;
    }
  }
}

function tcpTransport(peer: SshPeer): Duplex {
  // sshd answers in small segments: without this, Nagle and delayed acknowledgement together cost 40 ms a reply.
  return createConnection({ host: peer.address, port: peer.port, noDelay: true });
}

async function readKey(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AppError('unavailable', 'the private key for the peers cannot be read', { file }, { cause: error });
  }
}

interface OpenClient {
  peer: SshPeer;
  privateKey: Buffer;
  transport: (peer: SshPeer) => Duplex;
  signal: AbortSignal;
  lost: () => void;
}

function openClient(open: OpenClient): Promise<Client> {
  const { peer } = open;
  const client = new Client();
  // Each stream that is being opened listens for the loss of the connection; Node warns of more than ten.
  client.setMaxListeners(0);
  const stream = open.transport(peer);
  return new Promise((resolve, reject) => {
    let keyRefused = false;
    const fail = (error: Error & { level?: string }): void => {
      const code = keyRefused || error.level === 'client-authentication' ? 'unauthenticated' : 'unavailable';
      const message = keyRefused ? 'the host key of the peer is not the pinned one' : 'the peer cannot be reached by ssh';
      reject(new AppError(code, message, { address: peer.address, port: peer.port, reason: error.message }, { cause: error }));
      open.lost();
      client.destroy();
      stream.destroy();
    };
    const hostVerifier = (key: Buffer): boolean => {
      keyRefused = !peer.hostKeys.includes(key.toString('base64'));
      return !keyRefused;
    };
    stream.on('error', fail);
    client.on('error', fail);
    client.on('close', () => fail(new Error('the connection was closed')));
    client.on('ready', () => warmUp(client, () => resolve(client)));
    open.signal.addEventListener('abort', () => fail(new Error('the connection was cancelled')), { once: true });
    try {
      client.connect(sshConfig({ ...open, stream, hostVerifier }));
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
}

function sshConfig(open: OpenClient & { stream: Duplex; hostVerifier: (key: Buffer) => boolean }): ConnectConfig {
  return {
    sock: open.stream,
    username: open.peer.user,
    privateKey: open.privateKey,
    authHandler: ['publickey'],
    hostVerifier: open.hostVerifier,
    algorithms: { cipher: [...CIPHERS], compress: ['none'] },
    keepaliveInterval: KEEPALIVE_INTERVAL_MS,
    keepaliveCountMax: KEEPALIVES_UNANSWERED_MAX,
    readyTimeout: CONNECT_LIMIT_MS,
  };
}

/**
 * sshd switches Nagle's algorithm off only once a session was asked for; without one a long reply takes 40 ms longer. The key may
 * be restricted to forwarding: then the request is refused, and that is fine.
 */
function warmUp(client: Client, done: () => void): void {
  client.exec('true', (error, channel: ClientChannel | undefined) => {
    if (error === undefined && channel !== undefined) {
      channel.on('error', () => undefined);
      channel.resume();
      channel.stderr.resume();
    }
    done();
  });
}

function forward(client: Client, path: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    const onLost = (): void => reject(new AppError('unavailable', 'the link to the peer was lost', { path }));
    client.once('close', onLost);
    client.openssh_forwardOutStreamLocal(path, (error, channel) => {
      client.removeListener('close', onLost);
      if (error === undefined) resolve(channel);
      else reject(new AppError('unavailable', 'the socket of the peer cannot be connected', { path, reason: error.message }, { cause: error }));
    });
  });
}
