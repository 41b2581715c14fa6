import { PassThrough } from 'node:stream';
import type { ExitCode } from '../../client/cli/exit-code.ts';
import { runCli } from '../../client/cli/run-cli.ts';
import type { Terminal } from '../../client/cli/terminal.ts';
import { holdingClock } from '../../common/clock.ts';

export interface Ran {
  code: ExitCode;
  stdout: string;
  stderr: string;
}

/** A terminal of pipes in memory; `interrupt` is Ctrl-C. */
export function memoryTerminal(env: Record<string, string>): { terminal: Terminal; text: { stdout: string; stderr: string }; interrupt(): void } {
  const text = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr'): PassThrough => new PassThrough().on('data', (chunk: Buffer) => (text[name] += chunk.toString('utf8')));
  const listeners = new Set<() => void>();
  const terminal: Terminal = {
    stdin: new PassThrough(),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    env,
    clock: holdingClock,
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  return { terminal, text, interrupt: () => listeners.forEach((listener) => listener()) };
}

/** Runs one command line of `pvc` in this process, with pipes. */
export async function pvc(env: Record<string, string>, ...words: string[]): Promise<Ran> {
  const { terminal, text } = memoryTerminal(env);
  const code = await runCli(words, terminal);
  await new Promise((done) => setImmediate(done));
  return { code, ...text };
}
