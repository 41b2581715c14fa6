import { z } from 'zod';
import { taskView } from '../../common/view/task.ts';
import { operation } from '../operation.ts';
import { name, nothing } from './values.ts';

export const TASK = {
  list: operation({ method: 'GET', path: '/task', values: nothing, reply: z.array(taskView) }),
  get: operation({ method: 'GET', path: '/task/:task', values: z.strictObject({ task: name }), reply: taskView }),
} as const;
