import { z } from 'zod';
import { ERROR_CODES } from '../errors.ts';
import { LANES } from './call.ts';

/** What the parent asks of the child. `handle` is the id of the call that opened it. */
const request = z.object({
  kind: z.literal('call'),
  id: z.int(),
  call: z.string(),
  lane: z.enum(LANES),
  key: z.string().optional(),
  role: z.enum(['open', 'use', 'close']).optional(),
  handle: z.int().optional(),
  args: z.unknown(),
});
export type CallRequest = z.infer<typeof request>;

/** Nobody waits for the call any more: it is not begun, or its thread is left to itself. */
const cancel = z.object({ kind: z.literal('cancel'), id: z.int() });

export const toChild = z.discriminatedUnion('kind', [request, cancel]);
export type ToChild = z.infer<typeof toChild>;

const failure = z.object({ code: z.enum(ERROR_CODES), message: z.string(), details: z.record(z.string(), z.unknown()) });
export type Failure = z.infer<typeof failure>;

const done = z.object({ kind: z.literal('done'), id: z.int(), result: z.unknown() });
const failed = z.object({ kind: z.literal('failed'), id: z.int(), failure });

/** A thread's answer to a job. */
export const fromWorker = z.discriminatedUnion('kind', [done, failed]);
export type FromWorker = z.infer<typeof fromWorker>;

/** So many threads are left to themselves that the process is better begun anew. */
const stuck = z.object({ kind: z.literal('stuck') });

export const fromChild = z.discriminatedUnion('kind', [done, failed, stuck]);
export type FromChild = z.infer<typeof fromChild>;

/** A call as a thread gets it, with the addresses of the things that it works on. */
export const toWorker = z.object({ id: z.int(), call: z.string(), args: z.unknown(), cluster: z.bigint(), handle: z.bigint() });
export type ToWorker = z.infer<typeof toWorker>;
