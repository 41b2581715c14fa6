import { spawn } from 'node:child_process';
import { ClientError } from '../../client-error.ts';
import type { Terminal } from '../terminal.ts';

/** What Debian calls the editor of the machine's choice. */
const EDITOR = 'editor';

/** The words of VISUAL or EDITOR; a quoted word may have spaces, as in `EDITOR='code --wait'` and `EDITOR="sed -i 's/a b/c/'"`. */
export function editorCommand(env: Terminal['env']): readonly [string, ...string[]] {
  const given = [env['VISUAL'], env['EDITOR']].find((one) => (one ?? '').trim() !== '') ?? EDITOR;
  const words = Array.from(given.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/gu), ([, single, double, plain]) => single ?? double ?? plain ?? '');
  return [words[0] ?? EDITOR, ...words.slice(1)];
}

/** Runs the editor on this terminal. @throws ClientError 'arguments' when it cannot be run, 'aborted' when it fails. */
export function runEditor({ env }: Terminal, file: string): Promise<void> {
  const [program, ...args] = editorCommand(env);
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, file], { stdio: 'inherit' });
    child.once('error', (cause) => reject(new ClientError('arguments', `the editor ${program} cannot be run: set EDITOR`, { cause })));
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new ClientError('aborted', `the editor ${program} has failed, nothing was written`))));
  });
}
