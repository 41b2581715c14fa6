import { z } from 'zod';
import { nodeName, taskId } from '../ids.ts';

const taskStep = z.strictObject({
  name: z.string(),
  state: z.enum(['waiting', 'running', 'done', 'failed', 'skipped']),
  message: z.string().nullable(),
});
export type TaskStep = z.infer<typeof taskStep>;

/** A long job. Its creator writes it once, then its executor alone; it survives both. */
export const task = z.strictObject({
  id: taskId,
  kind: z.enum(['flush', 'ready', 'osd-add', 'osd-remove']),
  /** What it works on: a node's name, or the id of an OSD's document. */
  target: z.string(),
  /** Generation of the request it carries out, so that a newer request ends it. */
  generation: z.int().min(0),
  executor: nodeName,
  /** Description of the token, or 'anonymous'. */
  requestedBy: z.string(),
  state: z.enum(['pending', 'running', 'done', 'failed', 'cancelled']),
  steps: z.array(taskStep),
  error: z.string().nullable(),
  createdMs: z.int(),
});
export type Task = z.infer<typeof task>;
