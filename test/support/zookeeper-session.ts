import { createConnection } from 'node:net';
import type { SessionKey } from '../../common/store/zookeeper-client.ts';

const LIMIT_MS = 5_000;

/** Operation code of ZooKeeper's closeSession (ZooDefs.OpCode). */
const CLOSE_SESSION = -11;

/** Length of the server's reply to such a ConnectRequest; more than that means that the closing was answered too. */
const CONNECT_REPLY_BYTES = 40;

/** Where the reply has the session's id: after length, version and time-out. It is 0 when there is no such session. */
const SESSION_OFFSET_BYTES = 12;

/** The owner reconnects at once and may take its session back before it is closed. */
const ATTEMPTS_MAX = 50;

/**
 * Ends another client's session at the server, as an expiry does: takes it over with its id and password, and closes it.
 * The owner loses its connection and learns at its next one that the session is over.
 */
export async function expireSession(port: number, session: SessionKey): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) if (await closeSession(port, session)) return;
  throw new Error('session could not be closed');
}

/** @returns whether the server has answered the closing, or knows the session no more. */
async function closeSession(port: number, session: SessionKey): Promise<boolean> {
  return new Promise<boolean>((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('ZooKeeper did not answer')));
    let received = Buffer.alloc(0);
    const isClosed = (): boolean =>
      received.length > CONNECT_REPLY_BYTES || (received.length === CONNECT_REPLY_BYTES && received.readBigUInt64BE(SESSION_OFFSET_BYTES) === 0n);
    socket.on('connect', () => socket.write(Buffer.concat([connectRequest(session), closeRequest()])));
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      if (isClosed()) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(isClosed()));
  });
}

/** ConnectRequest of ZooKeeper's jute protocol: version, last zxid, time-out, session, password. */
function connectRequest(session: SessionKey): Buffer {
  const body = Buffer.alloc(44);
  body.writeInt32BE(6_000, 12);
  body.writeBigUInt64BE(BigInt(`0x${session.id}`), 16);
  body.writeInt32BE(16, 24);
  Buffer.from(session.password, 'hex').copy(body, 28);
  return framed(body);
}

function closeRequest(): Buffer {
  const body = Buffer.alloc(8);
  body.writeInt32BE(1, 0);
  body.writeInt32BE(CLOSE_SESSION, 4);
  return framed(body);
}

function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length, 0);
  return Buffer.concat([length, body]);
}
