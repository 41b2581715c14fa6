import { createConnection, createServer, type Socket } from 'node:net';

export interface ChoppingProxy {
  /** Address for a client. */
  readonly host: string;
  /** Pieces sent to clients so far. */
  readonly pieces: () => number;
  stop(): Promise<void>;
}

/** Forwards TCP connections, and hands what the server sends to the client in small pieces, each in its own turn of the event loop. */
export async function startChoppingProxy(target: { port: number; pieceBytes: number }): Promise<ChoppingProxy> {
  const sockets = new Set<Socket>();
  let pieces = 0;
  const chop = async (data: Buffer, client: Socket): Promise<void> => {
    for (let offset = 0; offset < data.length && !client.destroyed; offset += target.pieceBytes) {
      client.write(data.subarray(offset, offset + target.pieceBytes));
      pieces += 1;
      // Two turns: one in which the piece is sent, one in which the client reads it alone.
      for (let turn = 0; turn < 2; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    }
  };
  const server = createServer((client) => {
    const upstream = createConnection({ host: '127.0.0.1', port: target.port });
    client.setNoDelay(true);
    let sending = Promise.resolve();
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (data) => upstream.write(data));
    upstream.on('data', (data) => {
      sending = sending.then(() => chop(data, client));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('proxy has no port');
  return {
    host: `127.0.0.1:${address.port}`,
    pieces: () => pieces,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
