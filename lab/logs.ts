import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../common/errors.ts';
import type { LabHost } from './state.ts';

/** What is shown when no service is named: the project's own. */
const OWN = ['pvcd', 'pvc-api'];

/** Prints the end of a host's logs with tail(1) and returns its exit code. */
export async function showLogs(host: LabHost, service: string | undefined, options: { lines: number; follow: boolean }): Promise<number> {
  const folder = path.join(host.folder, 'log');
  const present = (await readdir(folder)).filter((file) => file.endsWith('.log')).map((file) => file.slice(0, -'.log'.length));
  const wanted = present.filter((name) => (service === undefined ? OWN.includes(name) : name === service));
  if (wanted.length === 0) throw new AppError('not-found', 'no such log', { host: host.name, present });
  const files = wanted.map((name) => path.join(folder, `${name}.log`));
  const child = spawn('tail', ['-n', String(options.lines), ...(options.follow ? ['-F'] : []), '--', ...files], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 0));
  });
}
