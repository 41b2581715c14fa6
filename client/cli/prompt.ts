import { ClientError } from '../client-error.ts';
import type { Terminal } from './terminal.ts';

/** Where questions are asked: not on standard output, which may be a pipe. */
function placeOf(terminal: Terminal, signal: AbortSignal | undefined): { input: NodeJS.ReadableStream; output: NodeJS.WritableStream; signal?: AbortSignal } {
  return { input: terminal.stdin, output: terminal.stderr, ...(signal === undefined ? {} : { signal }) };
}

/** Names of the errors that a question ends with when nobody wants to answer it any more. */
const LEFT = ['ExitPromptError', 'AbortPromptError', 'CancelPromptError'];

async function answered<T>(question: Promise<T>): Promise<T> {
  try {
    return await question;
  } catch (cause) {
    if (cause instanceof Error && LEFT.includes(cause.name)) throw new ClientError('aborted', 'the question was not answered', { cause });
    throw cause;
  }
}

/** @throws ClientError 'aborted' after Ctrl-C. */
export async function askYes(terminal: Terminal, question: string, signal?: AbortSignal): Promise<boolean> {
  const { default: confirm } = await import('@inquirer/confirm');
  return answered(confirm({ message: question, default: false }, placeOf(terminal, signal)));
}

/** What is typed is not shown. @throws ClientError 'aborted' after Ctrl-C. */
export async function askSecret(terminal: Terminal, question: string): Promise<string> {
  const { default: password } = await import('@inquirer/password');
  return answered(password({ message: question }, placeOf(terminal, undefined)));
}

/** @throws ClientError 'aborted' after Ctrl-C, and by the signal. */
export async function askWhich<const W extends string>(terminal: Terminal, question: string, choices: readonly { value: W; name: string }[], signal?: AbortSignal): Promise<W> {
  const { default: select } = await import('@inquirer/select');
  return answered(select<W>({ message: question, choices }, placeOf(terminal, signal)));
}
