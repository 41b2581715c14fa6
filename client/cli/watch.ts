import { isAppError } from '../../common/errors.ts';
import { canRedraw, type Terminal } from './terminal.ts';

export interface Watch {
  readonly terminal: Terminal;
  readonly text: () => Promise<string>;
  /** Until the next look; rejects when the signal aborts. */
  readonly pause: (signal: AbortSignal) => Promise<void>;
}

/** Shows the text again and again until Ctrl-C: over the last one on a terminal, below it in a pipe. */
export async function watch({ terminal, text, pause }: Watch): Promise<void> {
  const over = new AbortController();
  const restore = terminal.onInterrupt(() => over.abort());
  const drawing = await drawingOn(terminal);
  try {
    while (!over.signal.aborted) {
      drawing.show(await text());
      await pause(over.signal);
    }
  } catch (error) {
    if (!isAppError(error, 'cancelled')) throw error;
  } finally {
    drawing.end();
    restore();
  }
}

/** Height of a terminal that does not tell it. */
const ROWS = 24;

async function drawingOn({ stdout, env }: Terminal): Promise<{ show(text: string): void; end(): void }> {
  if (!canRedraw(stdout, env)) return { show: (text) => void stdout.write(text), end: () => undefined };
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(stdout);
  return { show: (text) => update(topOf(text, (stdout.rows ?? ROWS) - 1)), end: () => update.done() };
}

/** What fits on the screen, from the top, and how much does not. */
export function topOf(text: string, rowsMax: number): string {
  const lines = text.trimEnd().split('\n');
  if (lines.length <= rowsMax) return lines.join('\n');
  return [...lines.slice(0, rowsMax - 1), `… ${lines.length - rowsMax + 1} more`].join('\n');
}
