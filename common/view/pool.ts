import { z } from 'zod';
import { poolTier } from '../schema/pool.ts';

/** One pool for RBD as clients see it. */
export const poolView = z.object({
  name: z.string(),
  volume_count: z.int().nullable().describe('Null while the OSDs do not answer.'),
  tier: poolTier,
  pgs: z.string(),
  copies: z.int(),
  mincopies: z.int(),
  stats: z.object({
    id: z.int(),
    free_bytes: z.number(),
    used_bytes: z.number(),
    stored_bytes: z.number(),
    used_percent: z.number().describe('From 0 to 1.'),
    num_objects: z.int(),
    num_object_clones: z.int(),
    num_object_copies: z.int(),
    num_objects_missing_on_primary: z.int(),
    num_objects_unfound: z.int(),
    num_objects_degraded: z.int(),
    read_ops: z.int(),
    read_bytes: z.int(),
    write_ops: z.int(),
    write_bytes: z.int(),
  }),
});
export type PoolView = z.infer<typeof poolView>;
