import { execFileSync, spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until } from './until.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Nothing that the tests start takes longer, unless they say so. */
const LIMIT_MS = 60_000;
/** A screen changes within a second on a machine that has time. */
const SEE_MS = 20_000;

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** What a program has drawn on a terminal so far, and who types there. */
export interface Screen {
  readonly text: string;
  type(keys: string): void;
  /** Waits until the text has this, after what was waited for before. */
  see(what: string | RegExp, limitMs?: number): Promise<void>;
  /** Exit code of the program. */
  ended(): Promise<number>;
}

/** The bundled command in a folder of its own, with a home of its own. */
export interface PvcCommand {
  /** Has `bin/pvc`, and is HOME. */
  readonly folder: string;
  /** With pipes. `input` on its standard input, which is empty otherwise. */
  run(args: readonly string[], options?: { env?: Record<string, string>; input?: string; limitMs?: number }): Promise<Result>;
  /** A script of bash that has pvc in its PATH, with pipes. */
  bash(script: string, env?: Record<string, string>): Promise<Result>;
  /** On a pseudo-terminal. */
  open(command: string, env?: Record<string, string>, limitMs?: number): Screen;
  stop(): void;
}

/** Bundles the command as the build does. */
export function bundledPvc(env: Record<string, string>): PvcCommand {
  const folder = mkdtempSync(join(tmpdir(), 'pvc-command-'));
  const cli = join(folder, 'cli');
  execFileSync(process.execPath, [join(ROOT, 'client/bundle-command.mjs'), cli], { timeout: LIMIT_MS });
  mkdirSync(join(folder, 'bin'));
  symlinkSync(join(cli, 'pvc.cjs'), join(folder, 'bin/pvc'));
  const base = { HOME: folder, TMPDIR: folder, PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`, LANG: 'C.UTF-8', TERM: 'xterm', ...env };
  const children = new Set<ChildProcess>();
  return {
    folder,
    run: (args, { env: more = {}, input = '', limitMs = LIMIT_MS } = {}) => resultOf(spawn(join(folder, 'bin/pvc'), args, { env: { ...base, ...more }, timeout: limitMs }), input),
    bash: (script, more = {}) => resultOf(spawn('bash', ['-c', script], { cwd: folder, env: { ...base, ...more }, timeout: LIMIT_MS }), ''),
    open: (command, more = {}, limitMs = LIMIT_MS) => {
      const { child, screen } = openScreen(command, { ...base, ...more }, limitMs);
      children.add(child);
      return screen;
    },
    stop: () => {
      for (const child of children) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A command of the shell on a pseudo-terminal. */
export function openScreen(command: string, env: NodeJS.ProcessEnv, limitMs: number): { child: ChildProcess; screen: Screen } {
  const child = spawn('script', ['-qefc', `stty rows 40 cols 120; exec ${command}`, '/dev/null'], { env, timeout: limitMs });
  return { child, screen: screenOf(child) };
}

async function resultOf(child: ChildProcessWithoutNullStreams, input: string): Promise<Result> {
  const result = { code: -1, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (result.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (result.stderr += chunk.toString('utf8')));
  child.stdin.on('error', () => undefined).end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { ...result, code: code ?? -1 };
}

function screenOf(child: ReturnType<typeof spawn>): Screen {
  const end = once(child, 'close') as Promise<[number | null]>;
  let [text, seen] = ['', 0];
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  return {
    get text() {
      return text;
    },
    type: (keys) => void child.stdin?.write(keys),
    see: async (what, limitMs = SEE_MS) => {
      const find = (): RegExpExecArray | null => (typeof what === 'string' ? new RegExp(what.replaceAll(/[.*+?^${}()|[\]\\]/gu, '\\$&'), 'u') : what).exec(text.slice(seen));
      await until(() => find() !== null, limitMs, `${String(what)} on the screen`).catch((error: unknown) => {
        throw new Error(`${String(error)}; it has: ${text}`, { cause: error });
      });
      const found = find();
      seen += (found?.index ?? 0) + (found?.[0].length ?? 0);
    },
    ended: async () => (await end)[0] ?? -1,
  };
}
