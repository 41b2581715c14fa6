import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { AppError } from '../errors.ts';

/**
 * Opens a byte stream to a libvirt daemon.
 * @throws AppError 'unavailable' when nobody answers there, 'cancelled' when `signal` aborts.
 */
export type Dial = (signal: AbortSignal) => Promise<Duplex>;

/** A stream to a Unix socket of this host. */
export function unixDial(path: string): Dial {
  return (signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(new AppError('cancelled', 'the connection was cancelled', { path }));
        return;
      }
      const socket = createConnection({ path });
      const onAbort = (): void => {
        socket.destroy();
        reject(new AppError('cancelled', 'the connection was cancelled', { path }));
      };
      const onError = (error: Error): void => {
        signal.removeEventListener('abort', onAbort);
        reject(new AppError('unavailable', 'the socket cannot be connected', { path, reason: error.message }, { cause: error }));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', onError);
      socket.once('connect', () => {
        signal.removeEventListener('abort', onAbort);
        // A socket without an 'error' listener would end the process: this one stays until the owner has added its own.
        socket.on('error', () => undefined);
        socket.removeListener('error', onError);
        resolve(socket);
      });
    });
}
