import { z } from 'zod';
import { task } from '../schema/task.ts';

/** One task as clients see it; `state`, `current`, `total`, `status` and `result` are what the existing command line polls. */
export const taskView = z.object({
  id: z.string(),
  task_id: z.string(),
  kind: z.string(),
  target: z.string(),
  executor: z.string(),
  requested_by: z.string(),
  state: z.enum(['PENDING', 'RUNNING', 'SUCCESS', 'FAILURE', 'REVOKED']),
  current: z.int().describe('Steps that are over.'),
  total: z.int(),
  status: z.string(),
  result: z.string(),
  error: z.string().nullable(),
  created: z.iso.datetime(),
  steps: task.shape.steps,
});
export type TaskView = z.infer<typeof taskView>;

/** Lists of the existing command line: what runs and what waits, by the node that does it. */
const byNode = z.record(z.string(), z.array(taskView.extend({ name: z.string(), args: z.string(), kwargs: z.string() })));
export const taskListView = z.object({ active: byNode, reserved: byNode, scheduled: byNode, tasks: z.array(taskView) });
