import { createConnection } from 'node:net';
import type { SessionKey } from '../../common/store/zookeeper-client.ts';

const LIMIT_MS = 5_000;

/** Operation code of ZooKeeper's closeSession (ZooDefs.OpCode). */
const CLOSE_SESSION = -11;

/**
 * Ends another client's session at the server, as an expiry does: takes it over with its id and password, and closes it.
 * The owner loses its connection and learns at its next one that the session is over.
 */
export async function expireSession(port: number, session: SessionKey): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('ZooKeeper did not answer')));
    let replies = 0;
    socket.on('connect', () => socket.write(connectRequest(session)));
    socket.on('data', () => {
      replies += 1;
      if (replies === 1) socket.write(closeRequest());
      else socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve());
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
