import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../common/process.ts';
import { labNamespaces } from '../../lab/network.ts';
import { identify } from '../../lab/processes.ts';
import { labEnv, placeOf } from './lab.ts';

export const LAB_MAIN = path.resolve(import.meta.dirname, '../../dist/lab/main.js');

const COMMAND_LIMIT_MS = 180_000;

/** The lab's command line, for a lab in this folder; its standard output. */
export async function labCommand(directory: string, ...args: string[]): Promise<string> {
  return (await run([process.execPath, LAB_MAIN, ...args], { timeoutMs: COMMAND_LIMIT_MS, env: labEnv(directory) })).stdout;
}

export interface Remains {
  namespaces: string[];
  processes: string[];
  mounts: string[];
}

export const NOTHING: Remains = { namespaces: [], processes: [], mounts: [] };

/** What a lab in this folder has left on the machine, or has there now. */
export async function remainsOf(directory: string): Promise<Remains> {
  const namespaces = await labNamespaces(placeOf(directory));
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(directory) || line.includes(placeOf(directory).prefix));
  const processes: string[] = [];
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/u.test(entry))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(directory) && (await identify(Number(pid))) !== undefined) processes.push(command.replaceAll('\0', ' '));
  }
  return { namespaces, processes, mounts };
}
