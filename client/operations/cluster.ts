import { z } from 'zod';
import { statusView } from '../../common/view/status.ts';
import { operation } from '../operation.ts';
import { message, name, nothing } from './values.ts';

export const CLUSTER = {
  status: operation({ method: 'GET', path: '/status', values: nothing, reply: statusView }),
  setMaintenance: operation({ method: 'POST', path: '/status', values: z.strictObject({ state: z.enum(['true', 'false']) }), reply: message }),
  primaryNode: operation({ method: 'GET', path: '/status/primary_node', values: nothing, reply: z.object({ primary_node: z.string() }) }),
  events: operation({
    method: 'GET',
    path: '/events',
    values: z.strictObject({ kinds: z.array(z.enum(['vm', 'node', 'network', 'task'])).optional(), id: name.optional(), last_event_id: z.int().min(0).optional() }),
    reply: z.string(),
  }),
} as const;
