import { z } from 'zod';

/** One snapshot of a volume as clients see it. */
export const snapshotView = z.object({
  pool: z.string(),
  volume: z.string(),
  snapshot: z.string(),
  stats: z.object({
    id: z.int(),
    name: z.string(),
    size: z.string().describe('Of the volume when the snapshot was made; rounded up, such as 20G.'),
    size_bytes: z.int(),
    protected: z.boolean(),
    timestamp: z.string().describe('In the time zone of the primary, as rbd has it.'),
  }),
});
export type SnapshotView = z.infer<typeof snapshotView>;
