import type { Task, TaskStep } from '../../common/schema/task.ts';
import { hasFailed, type OsdNext } from './osd.ts';

/** Steps that are left out when they are not needed. */
const OPTIONAL = ['zap', 'out', 'clean-up', 'restore'];

/** The task as it stands when this comes next: what is before it is over. */
export function withNext(task: Task, next: OsdNext): Task {
  if (next.kind === 'end') return ended(task);
  const at = task.steps.findIndex((step) => step.name === next.step);
  const isUndone = hasFailed(task);
  const steps = task.steps.map((step, index) => (index < at ? over(step, isUndone) : index === at ? current(step, next) : later(step)));
  const error = next.kind === 'fail' ? next.why : task.error;
  return { ...task, state: 'running', steps, error };
}

/** Nothing is left to do: done, or failed and undone. */
function ended(task: Task): Task {
  const isUndone = hasFailed(task);
  return { ...task, state: isUndone ? 'failed' : 'done', steps: task.steps.map((step) => over(step, isUndone)) };
}

/** The task of a request that is over without it: another came, or the OSD is gone. */
export function closed(task: Task, isReached: boolean): Task {
  if (hasFailed(task) || isReached) return ended(task);
  return { ...task, state: 'cancelled' };
}

export function isOpen(task: Task): boolean {
  return task.state === 'pending' || task.state === 'running';
}

/** What was waiting has been found done already, unless the work turned back before it. */
function over(step: TaskStep, isUndone: boolean): TaskStep {
  if (step.state === 'running') return { ...step, state: 'done', message: null };
  if (step.state !== 'waiting') return step;
  return { ...step, state: isUndone || OPTIONAL.includes(step.name) ? 'skipped' : 'done' };
}

/** It was reached before, and something in front of it is no longer so. */
function later(step: TaskStep): TaskStep {
  return step.state === 'running' ? { ...step, state: 'waiting', message: null } : step;
}

function current(step: TaskStep, next: Exclude<OsdNext, { kind: 'end' }>): TaskStep {
  if (next.kind === 'fail') return { ...step, state: 'failed', message: next.why };
  if (step.state === 'failed') return step;
  return { ...step, state: 'running', message: next.kind === 'wait' ? next.why : null };
}
