import { delay } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import type { Context } from '../context.ts';
import { safeText } from '../output/safe-text.ts';

/** What a node keeps, at most. */
export const LINES_MAX = 5_000;
const LINES = 10;
/** Nodes tell what is new every few seconds. */
const POLL_MS = 1_000;

export interface Followed {
  /** The last lines. */
  readonly read: (lines: number) => Promise<string>;
  readonly lines: number | undefined;
  readonly follow: boolean;
}

/** Writes the last lines; with `follow` goes on with what is new, until Ctrl-C. On a terminal control characters are shown, not obeyed. */
export async function followLines(context: Context, { read, lines, follow }: Followed): Promise<void> {
  const write = writerOf(context);
  const first = linesOf(await read(lines ?? LINES));
  write(first);
  if (follow) await goOn(context, { read, write, first });
}

function writerOf(context: Context): (lines: readonly string[]) => void {
  const shown = context.terminal.stdout.isTTY === true ? safeText : (text: string): string => text;
  return (lines) => lines.forEach((line) => context.write(`${shown(line)}\n`));
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/u, '').split('\n');
}

async function goOn(context: Context, { read, write, first }: { read: Followed['read']; write: (lines: readonly string[]) => void; first: readonly string[] }): Promise<void> {
  const over = new AbortController();
  const restore = context.terminal.onInterrupt(() => over.abort());
  let before = first;
  try {
    for (;;) {
      await delay(context.terminal.clock, POLL_MS, over.signal);
      const now = linesOf(await read(LINES_MAX));
      write(newLines(before, now));
      before = now;
    }
  } catch (error) {
    if (!isAppError(error, 'cancelled')) throw error;
  } finally {
    restore();
  }
}

/**
 * The lines at the end of `now` that `before` does not have, when both are ends of one text that only grows. All of `now` when they have
 * nothing in common, or nothing was known.
 */
export function newLines(before: readonly string[], now: readonly string[]): readonly string[] {
  if (before.length === 0) return now;
  for (let end = now.length; end > 0; end -= 1) {
    if (endsWith(now, end, before)) return now.slice(end);
  }
  return now;
}

/** Whether the first `end` lines of `now` end as `before` does, as far as both go back. */
function endsWith(now: readonly string[], end: number, before: readonly string[]): boolean {
  const common = Math.min(end, before.length);
  for (let back = 1; back <= common; back += 1) {
    if (now[end - back] !== before[before.length - back]) return false;
  }
  return true;
}
