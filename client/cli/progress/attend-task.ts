import type { Context } from '../context.ts';
import type { Reply } from '../verb.ts';
import { attend, type Work } from './attend.ts';
import { taskLines } from './task-lines.ts';

export interface AttendedTask {
  /** Its id. */
  readonly task: string;
  readonly what: string;
  readonly cancel?: Work<unknown>['cancel'];
  /** What to say when it has succeeded. */
  readonly done: string;
}

/** Waits for a task and shows its steps. @throws ClientError as attend does. */
export async function attendTask(context: Context, { task, what, cancel, done }: AttendedTask): Promise<Reply> {
  const tasks = await context.tasks();
  const ended = await attend(context, {
    what,
    cancel,
    seeLater: `pvc task info ${task}`,
    display: await taskLines(context.terminal),
    wait: (options) => tasks.waitTask(task, options),
  });
  return { message: ended === undefined ? `task ${task}` : done };
}
