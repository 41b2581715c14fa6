import { canRedraw, type Terminal } from '../terminal.ts';
import type { Display } from './attend.ts';
import { amountOf, type Amount } from './migration-display.ts';

export interface Transfer {
  /** Such as `vms/web1_root → web1.raw`. */
  readonly title: string;
  readonly totalBytes: number;
}

const BAR_TOTAL = 1_000;
const TENTHS = 10;

/** Shows how many bytes have gone, on standard error: a bar on a terminal, else a line for each tenth. */
export async function transferDisplay(terminal: Terminal, transfer: Transfer): Promise<Display<number>> {
  const { stderr, env, clock } = terminal;
  const beganMs = clock.monotonicMs();
  const amount = (doneBytes: number): Amount =>
    amountOf({ bytesTotal: transfer.totalBytes, bytesProcessed: doneBytes, bytesRemaining: transfer.totalBytes - doneBytes, pass: 1, elapsedMs: clock.monotonicMs() - beganMs });
  if (!canRedraw(stderr, env)) return tenths(transfer.title, amount, (line) => void stderr.write(`${line}\n`));
  const { default: cliProgress } = await import('cli-progress');
  const bar = new cliProgress.SingleBar({ stream: stderr, hideCursor: true, gracefulExit: false, format: '{title} {bar} {percentage}% {text}' }, cliProgress.Presets.shades_classic);
  bar.start(BAR_TOTAL, 0, { title: transfer.title, text: 'begins' });
  return {
    show: (doneBytes) => {
      const { part, text } = amount(doneBytes);
      bar.update(Math.floor(part * BAR_TOTAL), { title: transfer.title, text });
    },
    rest: () => bar.stop(),
  };
}

export function tenths(title: string, amount: (doneBytes: number) => Amount, write: (line: string) => void): Display<number> {
  let told = 0;
  return {
    show: (doneBytes) => {
      const { part, text } = amount(doneBytes);
      const tenth = Math.floor(part * TENTHS);
      if (tenth <= told) return;
      told = tenth;
      write(`${title} ${Math.floor(part * 100)}% ${text}`);
    },
    rest: () => undefined,
  };
}
