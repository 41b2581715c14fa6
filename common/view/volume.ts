import { z } from 'zod';

/** One volume as clients see it; `stats` is what `rbd info` tells, with the size for people. */
export const volumeView = z.object({
  name: z.string(),
  pool: z.string(),
  stats: z.object({
    name: z.string(),
    id: z.string(),
    size: z.string().describe('Rounded up, such as 20G.'),
    size_bytes: z.int(),
    objects: z.int(),
    order: z.int(),
    object_size: z.int(),
    snapshot_count: z.int(),
    block_name_prefix: z.string(),
    format: z.int(),
    features: z.array(z.string()),
    op_features: z.array(z.string()).describe('What the feature `operations` stands for, such as clone-parent.'),
    flags: z.array(z.string()),
    create_timestamp: z.string().describe('In the time zone of the primary, as rbd has it.'),
    access_timestamp: z.string(),
    modify_timestamp: z.string(),
  }),
});
export type VolumeView = z.infer<typeof volumeView>;
