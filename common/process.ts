import { execa, ExecaError, type Options } from 'execa';
import { AppError } from './errors.ts';

export interface RunOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Given on standard input. */
  input?: string;
  /** Added to the environment; LC_ALL is always C. */
  env?: Record<string, string>;
  cwd?: string;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** A command as an argument vector; the first element is the program. */
export type Command = readonly [string, ...string[]];

/** Runs a command to its end. Passed into drivers, so that a test or a lab host can run it elsewhere. */
export type Run = (command: Command, options: RunOptions) => Promise<RunResult>;

/** Text of a failed command that goes into the error, at most: enough for a message, too little to fill a log. */
const STDERR_MAX_CHARS = 4_000;

/** Bytes of output held in memory, at most. */
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Runs a command without a shell, in the C locale.
 * @throws AppError 'timeout', 'cancelled', or 'component' with command, exit code and standard error.
 */
export const run: Run = async (command, options) => {
  const [program, ...args] = command;
  try {
    const result = await execa(program, args, toExeca(options));
    return { stdout: String(result.stdout ?? ''), stderr: String(result.stderr ?? '') };
  } catch (error) {
    throw toRunError(command, options, error);
  }
};

function toExeca(options: RunOptions): Options {
  return {
    timeout: options.timeoutMs,
    env: { LC_ALL: 'C', ...options.env },
    maxBuffer: OUTPUT_MAX_BYTES,
    stripFinalNewline: true,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  };
}

function toRunError(command: Command, options: RunOptions, error: unknown): AppError {
  if (!(error instanceof ExecaError)) return new AppError('bug', 'command could not be run', { command }, { cause: error });
  if (error.timedOut) return new AppError('timeout', 'command did not end within its limit', { command, timeoutMs: options.timeoutMs });
  if (error.isCanceled) return new AppError('cancelled', 'command was cancelled', { command });
  const stderr = String(error.stderr ?? '').slice(0, STDERR_MAX_CHARS);
  return new AppError('component', 'command failed', { command, exitCode: error.exitCode ?? null, reason: error.code, stderr });
}

export interface FollowOptions {
  /** Ends the command. */
  signal: AbortSignal;
  /** Told each line of standard output as it comes. */
  onLine: (line: string) => void;
}

/** Runs a command that goes on by itself and tells things, such as a monitor. Passed into drivers as `Run` is. */
export type Follow = (command: Command, options: FollowOptions) => Promise<void>;

/**
 * Resolves when the command has ended by itself, or by the signal.
 * @throws AppError 'component' when it could not be run or failed.
 */
export const follow: Follow = async (command, { signal, onLine }) => {
  if (signal.aborted) return;
  const [program, ...args] = command;
  try {
    const running = execa(program, args, { env: { LC_ALL: 'C' }, stdin: 'ignore', buffer: { stdout: false, stderr: true }, maxBuffer: STDERR_MAX_CHARS, cancelSignal: signal });
    for await (const line of running) onLine(line);
    await running;
  } catch (error) {
    const failure = toRunError(command, { timeoutMs: 0 }, error);
    if (failure.code !== 'cancelled') throw failure;
  }
};

/** A command that is told what to do while it runs, as a shell is. */
export interface Conversation {
  say(text: string): void;
  /** Ends the command. */
  end(): void;
  /** Resolves when it was ended. @throws AppError 'component' when it could not be run or ended by itself. */
  readonly ended: Promise<void>;
}

export interface ConverseOptions {
  /** Told what the command says, in pieces as they come. */
  onText: (text: string, from: 'stdout' | 'stderr') => void;
  /** Added to the environment; LC_ALL is always C. */
  env?: Record<string, string>;
}

/** Begins a conversation with a command. Passed into drivers as `Run` is. */
export type Converse = (command: Command, options: ConverseOptions) => Conversation;

export const converse: Converse = (command, { onText, env = {} }) => {
  const [program, ...args] = command;
  const ending = new AbortController();
  const running = execa(program, args, { env: { LC_ALL: 'C', ...env }, stdin: 'pipe', buffer: false, cancelSignal: ending.signal });
  running.stdout.setEncoding('utf8').on('data', (text: string) => onText(text, 'stdout'));
  running.stderr.setEncoding('utf8').on('data', (text: string) => onText(text, 'stderr'));
  // Whoever says something to a command that has ended learns it from `ended`.
  running.stdin.on('error', () => undefined);
  return { say: (text) => void running.stdin.write(text), end: () => ending.abort(), ended: endOf(command, running) };
};

async function endOf(command: Command, running: PromiseLike<unknown>): Promise<void> {
  try {
    await running;
  } catch (error) {
    const failure = toRunError(command, { timeoutMs: 0 }, error);
    if (failure.code === 'cancelled') return;
    throw failure;
  }
  throw new AppError('component', 'command ended by itself', { command });
}
