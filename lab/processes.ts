import { spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { systemClock, delay } from '../common/clock.ts';
import { AppError } from '../common/errors.ts';
import type { Command } from '../common/process.ts';

/** A process that cannot be mistaken for a later one with the same pid. */
export const processId = z.strictObject({
  pid: z.int().min(2),
  /** Field 22 of /proc/PID/stat (proc(5)): clock ticks from the machine's boot to the start of the process. */
  startTicks: z.string(),
});
export type ProcessId = z.infer<typeof processId>;

/** How often a condition without an event is looked at. */
const POLL_MS = 20;

/** The process that has `pid` now, or undefined when it has ended (a zombie has ended). */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await readStat(pid);
  return stat === undefined || stat.state === 'Z' ? undefined : { pid, startTicks: stat.startTicks };
}

export async function isAlive(id: ProcessId): Promise<boolean> {
  return (await identify(id.pid))?.startTicks === id.startTicks;
}

/** Sends `signal` if that very process still runs. */
export async function kill(id: ProcessId, signal: NodeJS.Signals): Promise<void> {
  if (await isAlive(id)) sendSignal(id.pid, signal);
}

/** Kills whatever runs under these pids; for processes found by their namespace. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) sendSignal(pid, 'SIGKILL');
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended between the look and the signal.
    if (!hasErrno(error, 'ESRCH')) throw error;
  }
}

/** The children of `pid`, by the parent field of every process: the kernel may be built without /proc/PID/task/TID/children. */
export async function childrenOf(pid: number): Promise<number[]> {
  const entries = await readdir('/proc');
  const pids = entries.filter((entry) => /^\d+$/u.test(entry)).map(Number);
  const stats = await Promise.all(pids.map(async (child) => ({ child, stat: await readStat(child) })));
  return stats.filter(({ stat }) => stat?.parent === pid).map(({ child }) => child);
}

interface Stat {
  state: string;
  parent: number;
  startTicks: string;
}

async function readStat(pid: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  // The command's name stands in parentheses and may hold anything; the numbered fields follow the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields;
  const startTicks = fields[19];
  if (state === undefined || parent === undefined || startTicks === undefined) return undefined;
  return { state, parent: Number(parent), startTicks };
}

export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

export interface Daemon {
  command: Command;
  /** Standard output and error are appended here. */
  logFile: string;
  env?: Record<string, string>;
}

/** Starts a process that outlives this one, in a session of its own, and returns its pid. */
export async function startDaemon(daemon: Daemon): Promise<ProcessId> {
  const [program, ...args] = daemon.command;
  const log = openSync(daemon.logFile, 'a');
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, LC_ALL: 'C', ...daemon.env },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const id = child.pid === undefined ? undefined : await identify(child.pid);
    if (id === undefined) throw new AppError('component', 'a process ended as soon as it was started', { command: daemon.command, log: daemon.logFile });
    return id;
  } finally {
    closeSync(log);
  }
}

export interface Wait {
  what: string;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Looks until `look` returns something other than undefined.
 * @throws AppError 'timeout' naming what was waited for, 'cancelled'.
 */
export async function waitFor<T>(wait: Wait, look: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = systemClock.monotonicMs() + wait.timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new AppError('timeout', 'waited in vain', { what: wait.what, timeoutMs: wait.timeoutMs });
    }
    await delay(systemClock, POLL_MS, wait.signal);
  }
}
