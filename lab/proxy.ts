/**
 * Makes the cluster's API reachable from the machine. Runs in the switch's namespace; the listening socket, made in the machine's own
 * namespace, arrives over the IPC channel. Arguments: ADDRESS PORT to connect to.
 */
import { connect, Server, type Socket } from 'node:net';
import { z } from 'zod';
import { systemClock } from '../common/clock.ts';

/** The primary may just be dying: give up soon, so that the client can try again. */
const CONNECT_TIMEOUT_MS = 2_000;

/** Joins a client to the cluster; either end's failure resets the other, as a wire would. */
function forward(client: Socket, host: string, port: number): void {
  const peer = connect({ host, port, allowHalfOpen: true });
  const timer = systemClock.after(CONNECT_TIMEOUT_MS, () => peer.destroy(new Error('no answer')));
  peer.once('connect', () => timer.cancel());
  client.setNoDelay(true);
  peer.setNoDelay(true);
  client.on('error', () => peer.resetAndDestroy());
  peer.on('error', () => client.resetAndDestroy());
  client.on('close', () => peer.destroy());
  peer.on('close', () => client.destroy());
  client.pipe(peer);
  peer.pipe(client);
}

const [host, port] = z.tuple([z.ipv4(), z.coerce.number().int()]).parse(process.argv.slice(2));

process.once('message', (_message: unknown, server: unknown) => {
  if (!(server instanceof Server)) throw new Error('no socket came with the message');
  server.on('connection', (client: Socket) => forward(client, host, port));
  process.send?.('listening');
});
