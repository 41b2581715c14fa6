import type { Clock } from '../../common/clock.ts';

export type Sink = NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number };

/** What the command talks to: the terminal, or pipes, that it was started with. */
export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean; destroy(): unknown };
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Calls the listener for each Ctrl-C instead of ending the program. @returns what takes that back. */
  onInterrupt(listener: () => void): () => void;
}

/** The one that this process was started with. */
export function processTerminal(clock: Clock): Terminal {
  return {
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock,
    onInterrupt: (listener) => {
      process.on('SIGINT', listener);
      return () => void process.off('SIGINT', listener);
    },
  };
}

/** Whether somebody can be asked: questions go to standard error, so that standard output may be a pipe. */
export function canAsk({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/**
 * Whether to write colours there. FORCE_COLOR says yes (or no, with `0`), as Node has it, then NO_COLOR no, as https://no-color.org has it;
 * else a terminal gets them, unless it calls itself dumb.
 */
export function hasColours(sink: Sink, env: Terminal['env']): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  return sink.isTTY === true && env['TERM'] !== 'dumb';
}

/** Whether lines can be drawn over there: on a terminal that has a size. */
export function canRedraw(sink: Sink, env: Terminal['env']): boolean {
  return sink.isTTY === true && env['TERM'] !== 'dumb' && sink.rows !== 0;
}
