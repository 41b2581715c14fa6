import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { z } from 'zod';
import { delay, withTimeout, type Clock } from '../common/clock.ts';
import { AppError, describeError, isAppError } from '../common/errors.ts';
import { run } from '../common/process.ts';
import type { ServicePhase } from './control.ts';

const argv = z.tuple([z.string()], z.string());

const probe = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tcp'), host: z.string(), port: z.int() }),
  z.strictObject({ kind: z.literal('unix'), path: z.string() }),
  /** Asks ZooKeeper's `srvr` and wants a mode: it has a quorum. */
  z.strictObject({ kind: z.literal('zookeeper'), host: z.string(), port: z.int() }),
]);
export type Probe = z.infer<typeof probe>;

/** A service of a host, in the words of systemd.service(5), of which this is the little that the lab needs. */
export const serviceSpec = z.strictObject({
  name: z.string(),
  command: argv,
  env: z.record(z.string(), z.string()).default({}),
  /** `request`: only by labctl. */
  start: z.enum(['boot', 'request']).default('boot'),
  /** RestartSec, in milliseconds, with Restart=always; absent: Restart=no. */
  restartAfterMs: z.int().optional(),
  /** RestartPreventExitStatus. */
  finalExitCodes: z.array(z.int()).default([]),
  /** ExecStopPost: after every end of the process, however it came. */
  afterExit: argv.optional(),
  /** BindsTo: stopped whenever that service ends. */
  boundTo: z.string().optional(),
  /** Tells when the service answers. */
  probe: probe.optional(),
});
export type ServiceSpec = z.infer<typeof serviceSpec>;

/** TimeoutStopSec of the lab: after it SIGKILL. */
const STOP_TIMEOUT_MS = 15_000;
/** TimeoutStartSec. */
const START_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 10;
const AFTER_EXIT_TIMEOUT_MS = 10_000;
const PROBE_TIMEOUT_MS = 2_000;

export interface ServiceDeps {
  clock: Clock;
  logFile: string;
  /** Called after each end of the process, before afterExit is run. */
  ended(name: string): void;
  say(text: string): void;
}

/** Supervises one process as systemd would. */
export class Service {
  readonly spec: ServiceSpec;
  readonly #deps: ServiceDeps;
  #phase: ServicePhase = 'inactive';
  #child: ChildProcess | undefined;
  #restarts = 0;
  /** Settles when the process has ended and its afterExit has run. */
  #end: Promise<void> = Promise.resolve();
  /** Listens since it was started; asked no more, since a connection that says nothing is an error in a log. */
  #listens = false;
  #restart: AbortController | undefined;

  constructor(spec: ServiceSpec, deps: ServiceDeps) {
    this.spec = spec;
    this.#deps = deps;
  }

  get status(): { name: string; phase: ServicePhase; pid: number | null; restarts: number } {
    return { name: this.spec.name, phase: this.#phase, pid: this.#child?.pid ?? null, restarts: this.#restarts };
  }

  /** Starts the process unless it runs; waits for an end that is under way. */
  async start(): Promise<void> {
    if (this.#phase === 'active') return;
    this.#restart?.abort();
    await this.#end;
    if (this.#child === undefined) await this.#spawn();
  }

  /** SIGTERM, later SIGKILL; returns when the process has ended and afterExit has run. */
  async stop(): Promise<void> {
    this.#restart?.abort();
    const child = this.#child;
    if (child !== undefined) {
      this.#phase = 'stopping';
      child.kill('SIGTERM');
      await this.#killLate(child);
    }
    await this.#end;
    // The end may have asked for a restart while this waited for it.
    this.#restart?.abort();
    this.#phase = 'inactive';
  }

  async #killLate(child: ChildProcess): Promise<void> {
    try {
      await withTimeout(this.#deps.clock, { timeoutMs: STOP_TIMEOUT_MS, what: this.spec.name }, () => this.#end);
    } catch (error) {
      if (!isAppError(error, 'timeout')) throw error;
      this.#deps.say(`${this.spec.name} did not stop within ${STOP_TIMEOUT_MS} ms and is killed`);
      child.kill('SIGKILL');
    }
  }

  async #spawn(): Promise<void> {
    const [program, ...args] = this.spec.command;
    const log = openSync(this.#deps.logFile, 'a');
    // Where systemd starts services: Ceph of Debian 13 looks for its object classes from there.
    const child = spawn(program, args, { detached: true, cwd: '/', stdio: ['ignore', log, log], env: { ...process.env, ...this.spec.env } });
    closeSync(log);
    const exited = new Promise<number | null>((resolve) => {
      child.once('exit', (code) => resolve(code));
      child.once('error', () => resolve(null));
    });
    const started = new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new AppError('component', 'service cannot be started', { service: this.spec.name, text: error.message })));
    });
    this.#child = child;
    this.#listens = false;
    this.#phase = 'active';
    this.#end = exited.then((code) => this.#afterExit(child, code));
    await started;
  }

  async #afterExit(child: ChildProcess, code: number | null): Promise<void> {
    const wanted = this.#phase === 'stopping';
    this.#child = undefined;
    // KillMode=control-group, as near as process groups come to it.
    if (child.pid !== undefined) killGroup(child.pid);
    this.#deps.say(`${this.spec.name} ended (${child.signalCode ?? `status ${code ?? 'unknown'}`})`);
    this.#deps.ended(this.spec.name);
    await this.#runAfterExit();
    if (wanted) return;
    const final = this.spec.restartAfterMs === undefined || (code !== null && this.spec.finalExitCodes.includes(code));
    if (final) this.#phase = code === 0 ? 'inactive' : 'failed';
    else this.#scheduleRestart(this.spec.restartAfterMs ?? 0);
  }

  async #runAfterExit(): Promise<void> {
    if (this.spec.afterExit === undefined) return;
    try {
      await run(this.spec.afterExit, { timeoutMs: AFTER_EXIT_TIMEOUT_MS, env: this.spec.env });
    } catch (error) {
      this.#deps.say(`${this.spec.name}: the command after its end failed: ${describeError(error)}`);
    }
  }

  #scheduleRestart(afterMs: number): void {
    this.#phase = 'waiting-to-restart';
    const restart = new AbortController();
    this.#restart = restart;
    delay(this.#deps.clock, afterMs, restart.signal)
      .then(async () => {
        this.#restarts += 1;
        await this.#spawn();
      })
      .catch((error: unknown) => {
        if (!isAppError(error, 'cancelled')) this.#deps.say(describeError(error));
      });
  }

  /**
   * Waits until the service answers, as `systemctl start` of a Type=notify unit does.
   * @throws AppError 'component' when it ends instead, 'timeout'.
   */
  async untilReady(): Promise<void> {
    const { clock } = this.#deps;
    const deadlineMs = clock.monotonicMs() + START_TIMEOUT_MS;
    while (!(await this.ready())) {
      if (this.#phase !== 'active') throw new AppError('component', 'the service ended while it was starting', { service: this.spec.name });
      if (clock.monotonicMs() > deadlineMs) throw new AppError('timeout', 'the service does not answer', { service: this.spec.name });
      await delay(clock, READY_POLL_MS);
    }
  }

  /** Whether the service answers; one without a probe answers while it runs. */
  async ready(): Promise<boolean> {
    if (this.#phase !== 'active') return false;
    if (this.spec.probe === undefined || this.#listens) return true;
    try {
      const ready = await answers(this.#deps.clock, this.spec.probe);
      this.#listens = ready && this.spec.probe.kind !== 'zookeeper';
      return ready;
    } catch (error) {
      if (isAppError(error, 'unavailable', 'timeout')) return false;
      throw error;
    }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

async function answers(clock: Clock, wanted: Probe): Promise<boolean> {
  switch (wanted.kind) {
    case 'tcp':
      await talk(clock, { host: wanted.host, port: wanted.port });
      return true;
    case 'unix':
      await talk(clock, { path: wanted.path });
      return true;
    case 'zookeeper':
      return /^Mode: /mu.test(await talk(clock, { host: wanted.host, port: wanted.port }, 'srvr'));
  }
}

/**
 * Connects, sends `question` if there is one, and returns what the peer says until it closes.
 * @throws AppError 'unavailable' when nobody listens, 'timeout'.
 */
async function talk(clock: Clock, to: NetConnectOpts, question?: string): Promise<string> {
  return withTimeout(clock, { timeoutMs: PROBE_TIMEOUT_MS, what: 'probe' }, (signal) => {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect(to);
      signal.addEventListener('abort', () => socket.destroy(), { once: true });
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.once('connect', () => {
        if (question === undefined) socket.destroy();
        else socket.write(question);
      });
      socket.once('close', () => resolve(Buffer.concat(chunks).toString('utf8')));
      socket.once('error', (error) => reject(new AppError('unavailable', 'nobody listens', { text: error.message })));
    });
  });
}
