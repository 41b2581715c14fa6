import { link, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import { hasErrno } from './errno.ts';

const record = z.strictObject({
  pid: z.int().min(1),
  /** Clock ticks between the host's boot and the process's start: with the pid it names one process for ever. */
  startTicks: z.int().min(0),
});
type PidRecord = z.infer<typeof record>;

/** A lock is contended only while two daemons start at once; one of them is done after two rounds. */
const ATTEMPTS_MAX = 5;

/**
 * Start time from the text of /proc/PID/stat, in clock ticks since boot; undefined for anything else.
 * Field 22 (proc(5)); the second field is the program's name in brackets and may itself hold spaces and brackets.
 */
export function parseStartTicks(stat: string): number | undefined {
  const afterName = stat.slice(stat.lastIndexOf(')') + 1).trim().split(/\s+/u);
  const ticks = z.coerce.number().int().min(0).safeParse(afterName[19]);
  return stat.includes(')') && ticks.success ? ticks.data : undefined;
}

async function startTicksOf(pid: number): Promise<number | undefined> {
  const stat = await readOptional(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseStartTicks(stat);
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

function parseRecord(text: string): PidRecord | undefined {
  return record.safeParse(parseJson(text)).data;
}

/**
 * One daemon per run directory: `<directory>/<name>` names the process that holds it, by pid and start time, so that a
 * record left by a dead process, also one whose pid was given to another, is taken over. Whoever holds it knows
 * that its predecessor on this host is dead.
 */
export class PidLock {
  readonly #directory: string;
  readonly #file: string;
  /** What this process wrote: unique by pid and start time. */
  #held: string | undefined;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#file = join(directory, name);
  }

  /**
   * Safe to call twice.
   * @throws AppError 'state' while another live process holds it.
   */
  async acquire(): Promise<void> {
    if (this.#held !== undefined) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o755 });
    const draft = `${this.#file}.${process.pid}`;
    const startTicks = (await startTicksOf(process.pid)) ?? 0;
    const text = JSON.stringify({ pid: process.pid, startTicks } satisfies PidRecord);
    await writeFile(draft, text, { mode: 0o644 });
    try {
      await this.#claim(draft);
      this.#held = text;
    } finally {
      await unlink(draft);
    }
  }

  /** Gives the lock back. Safe to call twice. */
  async release(): Promise<void> {
    if (this.#held === undefined) return;
    if ((await readOptional(this.#file)) === this.#held) await unlink(this.#file);
    this.#held = undefined;
  }

  async #claim(draft: string): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      if (await tryLink(draft, this.#file)) return;
      await this.#removeDead();
    }
    throw new AppError('state', 'another daemon is starting on this host', { file: this.#file });
  }

  /** link(2) never replaces, so only the removal of a dead record can race; its text tells whether a living one was taken away. */
  async #removeDead(): Promise<void> {
    const text = await readOptional(this.#file);
    if (text === undefined) return;
    const holder = parseRecord(text);
    if (holder !== undefined && (await startTicksOf(holder.pid)) === holder.startTicks) {
      throw new AppError('state', 'another daemon runs on this host', { file: this.#file, pid: holder.pid });
    }
    const aside = `${this.#file}.dead.${process.pid}`;
    if (!(await tryRename(this.#file, aside))) return;
    if ((await readOptional(aside)) !== text) await tryLink(aside, this.#file);
    await unlink(aside);
  }
}

/** @returns false when `to` exists. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/** @returns false when `from` is gone. */
async function tryRename(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
