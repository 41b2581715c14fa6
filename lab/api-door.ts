import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../common/errors.ts';
import type { App } from './app.ts';
import { API_PORT_INSIDE } from './config-files.ts';
import { FLOATING_ADDRESS } from './network.ts';
import { identify, isAlive, kill, processId } from './processes.ts';
import { readOptional, switchNamespace, writeWhole, type LabPlace, type LabState } from './state.ts';

const doorFile = (place: LabPlace): string => path.join(place.directory, 'proxy.json');

/**
 * Opens http://127.0.0.1:PORT on the machine: a socket made here, served by a process that lives on the lab's switch. Open already is fine.
 * @throws AppError 'exists' when something else has the port.
 */
export async function openDoor(place: LabPlace, state: LabState, app: App): Promise<void> {
  if (await isOpen(place)) return;
  const server = await listen(state.apiPort);
  const log = openSync(path.join(place.directory, 'proxy.log'), 'a');
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${switchNamespace(place)}`, '--', process.execPath, app.file('dist/lab/proxy.js'), FLOATING_ADDRESS, String(API_PORT_INSIDE)],
    { detached: true, stdio: ['ignore', log, log, 'ipc'] },
  );
  closeSync(log);
  await handOver(child, server);
  const id = child.pid === undefined ? undefined : await identify(child.pid);
  await writeWhole(doorFile(place), JSON.stringify(id), 0o600);
}

export async function isOpen(place: LabPlace): Promise<boolean> {
  const text = await readOptional(doorFile(place));
  return text !== undefined && (await isAlive(processId.parse(JSON.parse(text))));
}

export async function closeDoor(place: LabPlace): Promise<void> {
  const text = await readOptional(doorFile(place));
  if (text !== undefined) await kill(processId.parse(JSON.parse(text)), 'SIGKILL');
  await rm(doorFile(place), { force: true });
}

function listen(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new AppError('exists', 'the API port is taken: choose another with --port', { port, text: error.message })));
    server.listen({ host: '127.0.0.1', port }, () => resolve(server));
  });
}

/** Gives the socket to the child and lets go of both. */
async function handOver(child: ChildProcess, server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('error', reject);
    child.once('exit', (code) => reject(new AppError('component', 'the API proxy ended at once', { code })));
    child.send('server', server);
  });
  child.removeAllListeners();
  child.disconnect();
  child.unref();
  server.close();
}
