import { isAppError } from '../../common/errors.ts';
import { ClientError } from '../client-error.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { canRedraw, type Terminal } from './terminal.ts';

export interface Watch {
  readonly terminal: Terminal;
  readonly text: () => Promise<string>;
  /** Until the next look; rejects when the signal aborts. */
  readonly pause: (signal: AbortSignal) => Promise<void>;
}

/**
 * Shows the text again and again until Ctrl-C: over the last one on a terminal, below it in a pipe. While the cluster cannot be reached, as when
 * its primary has died, that is told, and looked again.
 */
export async function watch({ terminal, text, pause }: Watch): Promise<void> {
  const over = new AbortController();
  const restore = terminal.onInterrupt(() => over.abort());
  const drawing = await drawingOn(terminal);
  try {
    while (!over.signal.aborted) {
      await text().then(drawing.show, (error: unknown) => drawing.lost(lostLine(error)));
      await pause(over.signal);
    }
  } catch (error) {
    if (!isAppError(error, 'cancelled')) throw error;
  } finally {
    drawing.end();
    restore();
  }
}

/** @throws what it is given, unless that comes from a cluster that may be back with the next look. */
function lostLine(error: unknown): string {
  if (!(error instanceof ClientError) || error.kind === 'malformed' || exitCodeOf(error) !== EXIT.unreachable) throw error;
  return `pvc: ${error.message} - looking again`;
}

/** Height of a terminal that does not tell it. */
const ROWS = 24;

interface Drawing {
  show(this: void, text: string): void;
  /** With what was shown last above it, where that can still be seen. */
  lost(line: string): void;
  end(): void;
}

async function drawingOn({ stdout, stderr, env }: Terminal): Promise<Drawing> {
  if (!canRedraw(stdout, env)) return { show: (text) => void stdout.write(text), lost: (line) => void stderr.write(`${line}\n`), end: () => undefined };
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(stdout);
  let last = '';
  const draw = (text: string, rest: string): void => update([topOf(text, (stdout.rows ?? ROWS) - (rest === '' ? 1 : 3)), ...(rest === '' ? [] : ['', rest])].join('\n'));
  return {
    show: (text) => {
      last = text;
      draw(text, '');
    },
    lost: (line) => draw(last, line),
    end: () => update.done(),
  };
}

/** What fits on the screen, from the top, and how much does not. */
export function topOf(text: string, rowsMax: number): string {
  const lines = text.trimEnd().split('\n');
  if (lines.length <= rowsMax) return lines.join('\n');
  return [...lines.slice(0, rowsMax - 1), `… ${lines.length - rowsMax + 1} more`].join('\n');
}
