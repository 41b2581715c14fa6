import type { VmView } from '../../../common/view/vm.ts';
import { showBytes, showSeconds } from '../output/units.ts';
import { canRedraw, type Terminal } from '../terminal.ts';
import type { Display } from './attend.ts';

type Progress = NonNullable<VmView['migration_progress']>;

export interface Amount {
  /** From 0 to 1. */
  readonly part: number;
  /** Bytes, rate and remaining time. */
  readonly text: string;
}

/** How far a migration is, as text. A guest that writes makes the rest grow: the part may fall. */
export function amountOf(progress: Progress | null): Amount {
  if (progress === null || progress.bytesTotal === 0) return { part: 0, text: 'begins' };
  const { bytesTotal, bytesProcessed, bytesRemaining, elapsedMs } = progress;
  const moved = Math.max(0, bytesTotal - bytesRemaining);
  const bytesPerS = elapsedMs === 0 ? 0 : (bytesProcessed / elapsedMs) * 1_000;
  const rate = bytesPerS === 0 ? '' : `, ${showBytes(bytesPerS)}/s, ${showSeconds(bytesRemaining / bytesPerS)} left`;
  return { part: Math.min(1, moved / bytesTotal), text: `${showBytes(moved)} of ${showBytes(bytesTotal)}${rate}` };
}

/** Undefined until the node that the VM leaves has begun, or the VM has gone already. */
const targetOf = (vm: VmView, from: string): string | undefined => vm.migration_target ?? (vm.node === from ? undefined : vm.node);

function titleOf(vm: VmView, from: string): string {
  const target = targetOf(vm, from);
  return target === undefined ? `${vm.name} leaves ${from}` : `${vm.name} ${from} → ${target}`;
}

/** A bar on a terminal; else a line for each tenth. @param from the node that the VM leaves. */
export async function migrationDisplay(terminal: Terminal, from: string): Promise<Display<VmView>> {
  const { stderr, env } = terminal;
  if (!canRedraw(stderr, env)) return tenths((line) => void stderr.write(`${line}\n`), from);
  const { default: cliProgress } = await import('cli-progress');
  let bar: InstanceType<typeof cliProgress.SingleBar> | undefined;
  const draw = (vm: VmView): void => {
    const { part, text } = amountOf(vm.settled ? null : vm.migration_progress);
    bar ??= start(new cliProgress.SingleBar({ stream: stderr, hideCursor: true, gracefulExit: false, format: '{title} {bar} {percentage}% {text}' }, cliProgress.Presets.shades_classic), titleOf(vm, from));
    bar.update(Math.round(part * BAR_TOTAL), { title: titleOf(vm, from), text });
  };
  const end = (vm: VmView): void => bar?.update(BAR_TOTAL, { title: titleOf(vm, from), text: vm.node === from ? 'stayed' : 'done' });
  return {
    show: (vm) => (vm.settled ? end(vm) : draw(vm)),
    rest: () => {
      bar?.stop();
      bar = undefined;
    },
  };
}

const BAR_TOTAL = 1_000;

function start<B extends { start(total: number, value: number, payload: object): void }>(bar: B, title: string): B {
  bar.start(BAR_TOTAL, 0, { title, text: 'begins' });
  return bar;
}

const TENTHS = 10;

/** Told as soon as the target is known, at each tenth, and not again. */
export function tenths(write: (line: string) => void, from: string): Display<VmView> {
  let told = -1;
  return {
    show: (vm) => {
      if (vm.settled || targetOf(vm, from) === undefined) return;
      const { part, text } = amountOf(vm.migration_progress);
      const tenth = Math.floor(part * TENTHS);
      if (tenth <= told) return;
      told = tenth;
      write(`${titleOf(vm, from)} ${Math.floor(part * 100)}% ${text}`);
    },
    rest: () => undefined,
  };
}
