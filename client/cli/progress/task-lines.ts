import picocolors from 'picocolors';
import type { TaskView } from '../../../common/view/task.ts';
import { safeLine } from '../output/safe-text.ts';
import { canRedraw, hasColours, type Terminal } from '../terminal.ts';
import { topOf } from '../watch.ts';
import type { Display } from './attend.ts';

type Step = TaskView['steps'][number];
type Colours = ReturnType<typeof picocolors.createColors>;

function markOf(colours: Colours, state: Step['state']): string {
  switch (state) {
    case 'waiting':
      return colours.dim('·');
    case 'running':
      return colours.yellow('…');
    case 'done':
      return colours.green('✔');
    case 'failed':
      return colours.red('✘');
    case 'skipped':
      return colours.dim('-');
  }
}

/** One step of a task: for a flush one VM. */
export function stepLine(step: Step, coloured: boolean): string {
  const colours = picocolors.createColors(coloured);
  const said = step.message === null || step.message === '' ? step.state : `${step.state}: ${step.message}`;
  return `${markOf(colours, step.state)} ${safeLine(step.name)} ${colours.dim(safeLine(said))}`;
}

/** The steps of a task on standard error: drawn over on a terminal, else a line for each that changes. */
export async function taskLines(terminal: Terminal): Promise<Display<TaskView>> {
  const { stderr, env } = terminal;
  const coloured = hasColours(stderr, env);
  if (!canRedraw(stderr, env)) return changedLines((line) => void stderr.write(`${line}\n`), coloured);
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(stderr);
  return {
    show: (task) => update(topOf(task.steps.map((step) => stepLine(step, coloured)).join('\n'), (stderr.rows ?? 24) - 2)),
    rest: () => update.done(),
  };
}

/** Steps that wait are not told: they are told when they begin. */
export function changedLines(write: (line: string) => void, coloured: boolean): Display<TaskView> {
  const told = new Map<string, string>();
  return {
    show: (task) => {
      for (const step of task.steps.filter(({ state }) => state !== 'waiting')) {
        const line = stepLine(step, coloured);
        if (told.get(step.name) !== line) write(line);
        told.set(step.name, line);
      }
    },
    rest: () => undefined,
  };
}
