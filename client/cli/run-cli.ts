import { ClientError, toClientError } from '../client-error.ts';
import { errorLine, EXIT, exitCodeOf, type ExitCode } from './exit-code.ts';
import { NOUNS, type Noun } from './nouns.ts';
import { buildProgram, isHelp, isHelpInstead, usageError, type Found } from './program.ts';
import type { Terminal } from './terminal.ts';

/** Runs one command line. @returns the exit code; whatever goes wrong is told on standard error, in one line. */
export async function runCli(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  return words[0] === COMPLETE ? printCandidates(words.slice(1), terminal) : runCommand(words, terminal);
}

/** What the scripts of shells ask; not for people. */
const COMPLETE = 'complete';

/** A line for each candidate, its description behind a tab. @returns 1, and nothing else, when they cannot be found out. */
async function printCandidates(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    const { clusterNames, complete } = await import('./complete.ts');
    const found = await complete(words, clusterNames(terminal, words));
    terminal.stdout.write(found.map(({ word, about }) => (about === '' ? `${word}\n` : `${word}\t${about}\n`)).join(''));
    return EXIT.done;
  } catch (error) {
    return exitCodeOf(toClientError(error));
  }
}

async function runCommand(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let found: Found | undefined;
  try {
    const used = usedNouns(words);
    const loaded = await Promise.all(used.map((noun) => noun.load()));
    await buildProgram(terminal, NOUNS, loaded, (one) => (found = one)).parseAsync([...words], { from: 'user' });
    if (found !== undefined) await found.verb.run(found.context, found.values);
    return EXIT.done;
  } catch (error) {
    if (isHelp(error)) return EXIT.done;
    if (isHelpInstead(error)) return EXIT.usage;
    const known = usageError(error) ?? toClientError(error);
    terminal.stderr.write(`${errorLine(known, { command: found?.command ?? commandSoFar(words), url: found?.context.url })}\n`);
    return exitCodeOf(known);
  } finally {
    found?.context.close();
  }
}

/** The nouns whose commands must be known to understand the words: at most one, wherever it stands (`pvc help vm`). */
function usedNouns(words: readonly string[]): Noun[] {
  const name = words.find((one, at) => NOUNS.some((noun) => noun.name === one) && !TAKES_NAME.includes(words[at - 1] ?? ''));
  return NOUNS.filter((noun) => noun.name === name);
}

/** Options before a noun that are followed by a name, which may be that of a noun. */
const TAKES_NAME = ['-c', '--connection'];

function commandSoFar(words: readonly string[]): string {
  return ['pvc', ...usedNouns(words).map((noun) => noun.name)].join(' ');
}

/** The end of a pipe that nobody reads any more, such as `pvc vm list | head -1`, is no fault. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof ClientError ? isBrokenPipe(error.cause) : error instanceof Error && 'code' in error && error.code === 'EPIPE';
}
