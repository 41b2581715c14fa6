import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { watch } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { delay, withTimeout, type Clock, type Timer } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Command } from '../../common/process.ts';
import { readOptional, unlinkOptional } from './atomic-file.ts';
import { hasErrno } from './errno.ts';
import { parseStartTicks } from './pid-lock.ts';

/** From the start to the process id in its file, which servers write when their sockets are open. */
const START_LIMIT_MS = 10_000;

/** From the request to end to the end, before it is forced. */
const END_LIMIT_MS = 2_000;

/** How often the end of a process is looked for that is not our child, in milliseconds. */
const LOOK_MS = 1_000;
const END_LOOK_MS = 20;

/** How often the whole process table is looked through for processes of ours that nobody knows of, in milliseconds. */
const SCAN_MS = 60_000;

const STDERR_MAX_CHARS = 2_000;

/** What a command line says of a process that is ours. */
export interface ServiceMark {
  /** Which of the services it is. */
  readonly key: string;
  /** Which configuration it was started with. */
  readonly digest: string;
}

export interface RunningService extends ServiceMark {
  readonly pid: number;
  /** Clock ticks between the host's boot and the process's start: with the pid it names one process for ever. */
  readonly startTicks: number;
}

export interface LaunchOptions {
  readonly mark: ServiceMark;
  readonly command: Command;
  /** The server writes its process id here when it is at work. */
  readonly pidFile: string;
  /** Takes what it prints. */
  readonly stderrFile: string;
}

/** The mark of a process that is ours, by its arguments and the number of its user; undefined for any other process. */
export type MarkOf = (argv: readonly string[], uid: number) => ServiceMark | undefined;

export interface ServiceProcessesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly markOf: MarkOf;
  /** The same program elsewhere, such as in a network namespace; it must become the program (execve). */
  readonly wrap?: ((command: Command) => Command) | undefined;
}

/**
 * Servers that run for this daemon and outlive it: each is found again by its command line, which names its configuration's file, and is ended by process id.
 * They are in a session of their own, so that no signal to the daemon's group reaches them.
 */
export class ServiceProcesses {
  readonly #deps: ServiceProcessesDeps;
  readonly #known = new Map<number, RunningService>();
  readonly #children = new Map<number, ChildProcess>();
  readonly #listeners = new Set<(key: string) => void>();
  #look: Timer | undefined;
  #scan: Timer | undefined;
  #started = false;

  constructor(deps: ServiceProcessesDeps) {
    this.#deps = deps;
  }

  /** Adopts what is there. Safe to call twice. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#started) return;
    this.#started = true;
    await this.#adopt();
    this.#scheduleLook();
    this.#scheduleScan();
  }

  /** Forgets the processes; they go on. Safe to call twice. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#look?.cancel();
    this.#scan?.cancel();
    this.#known.clear();
    this.#children.clear();
  }

  /** Told, by key, that a process has ended, or that one was found. */
  listen(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  keys(): readonly string[] {
    return [...new Set([...this.#known.values()].map((service) => service.key))];
  }

  /** The processes of this key that live now: one, unless a daemon was killed in the middle of a start. */
  async running(key: string): Promise<readonly RunningService[]> {
    const alive: RunningService[] = [];
    for (const service of this.#of(key)) {
      if (await this.#lives(service)) alive.push(service);
      else this.#forget(service);
    }
    return alive;
  }

  /**
   * Starts the server; resolves when it is at work.
   * @throws AppError 'component' with what it printed when it ends instead, 'timeout', 'cancelled'; then it does not run.
   */
  async launch(options: LaunchOptions, signal?: AbortSignal): Promise<RunningService> {
    signal?.throwIfAborted();
    await unlinkOptional(options.pidFile);
    const { child, service } = await this.#spawn(options);
    try {
      await withTimeout(this.#deps.clock, { timeoutMs: START_LIMIT_MS, what: options.command[0], signal }, (inner) => untilReady({ child, pid: service.pid, options }, inner));
      return service;
    } catch (error) {
      await this.#end(service);
      throw error;
    }
  }

  /** Ends every process of this key but this one, by force if need be. None is fine. */
  async end(key: string, except?: RunningService): Promise<void> {
    await Promise.all(this.#of(key).filter((service) => service !== except).map((service) => this.#end(service)));
  }

  /** Sends SIGHUP to the process if it is still this very one. */
  async hangUp(service: RunningService): Promise<void> {
    if (await this.#lives(service)) signalProcess(service.pid, 'SIGHUP');
  }

  #of(key: string): readonly RunningService[] {
    return [...this.#known.values()].filter((service) => service.key === key);
  }

  async #spawn({ mark, command, stderrFile }: LaunchOptions): Promise<{ child: ChildProcess; service: RunningService }> {
    const [program, ...args] = this.#deps.wrap?.(command) ?? command;
    const stderr = await open(stderrFile, 'w', 0o600);
    try {
      const child = spawnWithMask(program, args, { detached: true, cwd: '/', stdio: ['ignore', stderr.fd, stderr.fd], env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } });
      // Without a listener a failure to start would be thrown at nobody.
      const failed = new Promise<Error>((resolve) => child.once('error', resolve));
      const { pid } = child;
      if (pid === undefined) throw new AppError('component', 'the program cannot be run', { program, why: String(await failed) });
      const service = { ...mark, pid, startTicks: (await startTicksOf(pid)) ?? 0 };
      this.#known.set(pid, service);
      this.#children.set(pid, child);
      child.once('exit', () => this.#forget(service));
      child.unref();
      return { child, service };
    } finally {
      await stderr.close();
    }
  }

  async #end(service: RunningService): Promise<void> {
    if (!(await this.#lives(service))) return this.#forget(service);
    const { clock } = this.#deps;
    signalProcess(service.pid, 'SIGTERM');
    try {
      await withTimeout(clock, { timeoutMs: END_LIMIT_MS, what: 'a server to end' }, (signal) => this.#untilGone(service, signal));
    } catch (error) {
      if (!isAppError(error, 'timeout')) throw error;
      this.#deps.log.warn({ pid: service.pid, key: service.key }, 'a server did not end and is killed');
      signalProcess(service.pid, 'SIGKILL');
      await withTimeout(clock, { timeoutMs: END_LIMIT_MS, what: 'a killed server to end' }, (signal) => this.#untilGone(service, signal));
    }
    this.#forget(service);
  }

  async #untilGone(service: RunningService, signal: AbortSignal): Promise<void> {
    while (await this.#lives(service)) await delay(this.#deps.clock, END_LOOK_MS, signal);
  }

  /** Whether the very process lives: not a dead one that nobody has waited for, and not another one with its number. */
  async #lives(service: RunningService): Promise<boolean> {
    const child = this.#children.get(service.pid);
    if (child !== undefined) return child.exitCode === null && child.signalCode === null;
    return (await findService(service.pid, this.#deps.markOf))?.startTicks === service.startTicks;
  }

  #forget(service: RunningService): void {
    if (this.#known.get(service.pid)?.startTicks !== service.startTicks) return;
    this.#known.delete(service.pid);
    this.#children.delete(service.pid);
    this.#tell(service.key);
  }

  #tell(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }

  async #adopt(): Promise<void> {
    for (const service of await findServices(this.#deps.markOf)) {
      if (this.#known.has(service.pid)) continue;
      this.#known.set(service.pid, service);
      this.#deps.log.info({ ...service }, 'a server was found running');
      this.#tell(service.key);
    }
  }

  /** Only for what is not our child; a child's end is told by the kernel. */
  #scheduleLook(): void {
    this.#look = this.#deps.clock.after(LOOK_MS, () => void this.#guarded(() => this.#lookAtAdopted(), () => this.#scheduleLook()));
  }

  async #lookAtAdopted(): Promise<void> {
    for (const service of this.#known.values()) {
      if (!this.#children.has(service.pid) && !(await this.#lives(service))) this.#forget(service);
    }
  }

  #scheduleScan(): void {
    this.#scan = this.#deps.clock.after(SCAN_MS, () => void this.#guarded(() => this.#adopt(), () => this.#scheduleScan()));
  }

  async #guarded(work: () => Promise<void>, again: () => void): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#deps.log.warn({ why: describeError(error) }, 'the process table could not be read');
    }
    if (this.#started) again();
  }
}

/**
 * The server's own files are for everybody to read: it gives its process id's file to its own user, and a root with few capabilities
 * reads only what others may read. A child is forked before spawn returns, so the mask is another for that moment only.
 */
function spawnWithMask(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const own = process.umask(0o022);
  try {
    return spawn(program, args, options);
  } finally {
    process.umask(own);
  }
}

async function untilReady(launch: { child: ChildProcess; pid: number; options: LaunchOptions }, signal: AbortSignal): Promise<void> {
  const { child, pid, options } = launch;
  const isWritten = async (): Promise<boolean> => (await readOptional(options.pidFile))?.trim() === String(pid);
  const turns = new Turns();
  const watcher = watch(dirname(options.pidFile), { persistent: false }, () => turns.next());
  // Losing the folder means losing the file, which the time limit tells.
  watcher.on('error', () => turns.next());
  child.once('exit', () => turns.next());
  signal.addEventListener('abort', () => turns.next(), { once: true });
  try {
    for (;;) {
      const turn = turns.turn();
      if (await isWritten()) return;
      signal.throwIfAborted();
      if (child.exitCode !== null || child.signalCode !== null) throw await startFailure(child, options);
      await turn;
    }
  } finally {
    watcher.close();
  }
}

/** Something that happens again and again, to be waited for once at a time without missing one. */
class Turns {
  #resolve: () => void = () => undefined;
  #turn: Promise<void>;

  constructor() {
    this.#turn = Promise.resolve();
    this.next();
  }

  /** Resolves at the next event from now. */
  turn(): Promise<void> {
    return this.#turn;
  }

  next(): void {
    this.#resolve();
    this.#turn = new Promise((resolve) => (this.#resolve = resolve));
  }
}

async function startFailure(child: ChildProcess, { command, stderrFile }: LaunchOptions): Promise<AppError> {
  const printed = ((await readOptional(stderrFile)) ?? '').trim().slice(-STDERR_MAX_CHARS);
  return new AppError('component', 'the server could not start', { program: command[0], exitCode: child.exitCode, signal: child.signalCode, stderr: printed });
}

/** Every process that is ours, in no order. */
export async function findServices(markOf: MarkOf): Promise<readonly RunningService[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => findService(pid, markOf)));
  return found.flatMap((service) => service ?? []);
}

/** Arguments end with a NUL each (proc(5)); a process that is dead and not waited for has none. */
async function findService(pid: number, markOf: MarkOf): Promise<RunningService | undefined> {
  const text = await readOptional(`/proc/${pid}/cmdline`);
  const uid = await ownerOf(pid);
  const mark = text === undefined || text === '' || uid === undefined ? undefined : markOf(text.split('\0').slice(0, -1), uid);
  const startTicks = mark === undefined ? undefined : await startTicksOf(pid);
  return mark === undefined || startTicks === undefined ? undefined : { ...mark, pid, startTicks };
}

async function ownerOf(pid: number): Promise<number | undefined> {
  try {
    return (await stat(`/proc/${pid}`)).uid;
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

async function startTicksOf(pid: number): Promise<number | undefined> {
  const stat = await readOptional(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseStartTicks(stat);
}

/** Ends all of these at once and waits until they are gone; for a process that owns none of them. */
export async function endServices(markOf: MarkOf, deps: { clock: Clock; log: Logger }): Promise<number> {
  const processes = new ServiceProcesses({ ...deps, markOf });
  await processes.start(new AbortController().signal);
  const keys = processes.keys();
  await Promise.all(keys.map((key) => processes.end(key)));
  await processes.stop();
  return keys.length;
}

/** A process that is gone has what it was sent. */
function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error;
  }
}
