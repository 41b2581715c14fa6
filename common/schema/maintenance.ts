import { z } from 'zod';

/** While it is on, nothing acts by itself against a node: a later fencing must look here first. */
export const maintenance = z.strictObject({ on: z.boolean() });
export type Maintenance = z.infer<typeof maintenance>;
