import { z } from 'zod';

const oneOrZero = z.union([z.literal(0), z.literal(1)]);
const asPrinted = z.string().describe('As Ceph prints it.');

/** One OSD as clients see it. */
export const osdView = z.object({
  id: z.string(),
  fsid: z.string(),
  node: z.string().describe('Host that it is on; "|" while nobody knows.'),
  device: z.string().nullable(),
  is_split: z.boolean().describe('Another OSD of the host is on the same device.'),
  db_device: z.string().nullable(),
  stats: z.object({
    uuid: z.string(),
    up: oneOrZero,
    in: oneOrZero,
    primary_affinity: z.number(),
    utilization: z.number().describe('Percent.'),
    var: z.number(),
    pgs: z.int(),
    kb: z.number(),
    kb_used: z.number(),
    kb_used_data: z.number(),
    kb_used_omap: z.number(),
    kb_used_meta: z.number(),
    kb_avail: z.number(),
    weight: z.number(),
    reweight: z.number(),
    class: z.string(),
    node: z.string(),
    used: asPrinted,
    avail: asPrinted,
    wr_ops: asPrinted,
    wr_data: asPrinted,
    rd_ops: asPrinted,
    rd_data: asPrinted,
    state: asPrinted,
  }),
});
export type OsdView = z.infer<typeof osdView>;

export const osdStateView = z.object({ id: z.string(), in: oneOrZero, up: oneOrZero });
