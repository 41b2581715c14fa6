import { fork, type ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';
import { AppError } from '../errors.ts';
import type { Call } from './call.ts';
import { fromChild, type FromChild, type ToChild } from './message.ts';

/** From sources, as in tests, the child is the built one: its Node may be too old to run TypeScript. */
const CHILD_FILE = import.meta.filename.endsWith('.ts')
  ? resolve(import.meta.dirname, '../../dist/common/rados/rados-child.js')
  : resolve(import.meta.dirname, 'rados-child.js');

/** The end of what the child said before it died, for the log. */
const STDERR_MAX_CHARS = 2_000;

interface Pending {
  effect: 'read' | 'write';
  name: string;
  resolve: (result: unknown) => void;
  reject: (error: AppError) => void;
}

/** Why a child is no more. */
export interface ChildEnd {
  exitCode: number | null;
  signal: string | null;
  stderr: string;
}

/** One child process and the calls that it owes an answer to. */
export class ChildLink {
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #onStuck: () => void;
  #stderr = '';
  #end: ChildEnd | undefined;
  #isKilled = false;
  /** Resolves when the process is gone. */
  readonly ended: Promise<ChildEnd>;

  /** Starts the process. `onStuck` is told when it asks to be replaced. */
  constructor(onStuck: () => void) {
    this.#onStuck = onStuck;
    this.#process = fork(CHILD_FILE, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // It only passes messages on; the usual size would let it grow by 50 MiB before it collects.
      execArgv: ['--max-semi-space-size=4'],
      // Nothing of the environment is for it, and settings of Ceph or Node in it would be.
      env: { LC_ALL: 'C', PATH: process.env['PATH'] ?? '' },
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = `${this.#stderr}${text}`.slice(-STDERR_MAX_CHARS);
    });
    this.#process.on('message', (message) => this.#receive(fromChild.parse(message)));
    this.ended = new Promise((resolveEnd) => {
      this.#process.once('error', (error) => this.#finish({ exitCode: null, signal: null, stderr: String(error) }, resolveEnd));
      this.#process.once('exit', (exitCode, signal) => this.#finish({ exitCode, signal, stderr: this.#stderr }, resolveEnd));
    });
  }

  get isAlive(): boolean {
    return this.#end === undefined && !this.#isKilled;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** @throws AppError of the call, or 'unavailable' or 'unknown-outcome' when the process ends first. */
  async request<Args, Result>(id: number, call: Call<Args, Result>, args: Args, options: { handle: number | undefined; signal: AbortSignal }): Promise<unknown> {
    const { handle, signal } = options;
    if (!this.isAlive) throw new AppError('unavailable', 'the process that speaks to Ceph has ended', { call: call.name });
    signal.throwIfAborted();
    return new Promise((resolveCall, reject) => {
      const onAbort = (): void => {
        this.#pending.delete(id);
        this.#send({ kind: 'cancel', id });
        reject(new AppError('cancelled', 'the call was cancelled', { call: call.name }));
      };
      const settled = (): void => signal.removeEventListener('abort', onAbort);
      this.#pending.set(id, {
        effect: call.effect,
        name: call.name,
        resolve: (result) => (settled(), resolveCall(result)),
        reject: (error) => (settled(), reject(error)),
      });
      signal.addEventListener('abort', onAbort, { once: true });
      this.#send({ kind: 'call', id, call: call.name, lane: call.lane, key: call.key?.(args), role: call.handle, handle, args });
    });
  }

  /** Ends the process at once, with whatever it does. */
  kill(): void {
    this.#isKilled = true;
    if (this.#end === undefined) this.#process.kill('SIGKILL');
  }

  #send(message: ToChild): void {
    // A process that is gone is told by its exit, which answers all calls.
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  #receive(message: FromChild): void {
    if (message.kind === 'stuck') {
      this.#onStuck();
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === 'done') pending?.resolve(message.result);
    else pending?.reject(new AppError(message.failure.code, message.failure.message, message.failure.details));
  }

  #finish(end: ChildEnd, resolveEnd: (end: ChildEnd) => void): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const { effect, name, reject } of this.#pending.values()) {
      reject(new AppError(effect === 'write' ? 'unknown-outcome' : 'unavailable', 'the process that speaks to Ceph has ended', { call: name, signal: end.signal }));
    }
    this.#pending.clear();
    resolveEnd(end);
  }
}
