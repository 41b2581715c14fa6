import { z } from 'zod';
import type { Osd } from '../storage/storage-cluster.ts';

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

/** What the existing command lines take for "not known yet". */
const UNKNOWN = '|';

export function presentOsd(osd: Osd): OsdView {
  const node = osd.node ?? UNKNOWN;
  return {
    id: String(osd.id),
    fsid: osd.uuid,
    node,
    device: osd.device,
    is_split: osd.isSplit,
    db_device: osd.dbDevice,
    stats: { uuid: osd.uuid, up: digit(osd.up), in: digit(osd.in), primary_affinity: osd.primaryAffinity, class: osd.deviceClass, node, ...presentStatistics(osd) },
  };
}

type Statistics = Omit<OsdView['stats'], 'uuid' | 'up' | 'in' | 'primary_affinity' | 'class' | 'node'>;

function presentStatistics({ statistics: found, up }: Osd): Statistics {
  return {
    utilization: found?.utilization ?? 0,
    var: found?.variance ?? 0,
    pgs: found?.pgs ?? 0,
    kb: found?.kb ?? 0,
    kb_used: found?.kbUsed ?? 0,
    kb_used_data: found?.kbUsedData ?? 0,
    kb_used_omap: found?.kbUsedOmap ?? 0,
    kb_used_meta: found?.kbUsedMeta ?? 0,
    kb_avail: found?.kbAvail ?? 0,
    weight: found?.weight ?? 0,
    reweight: found?.reweight ?? 0,
    used: found?.used ?? '0',
    avail: found?.avail ?? '0',
    wr_ops: found?.writeOps ?? '0',
    wr_data: found?.writeData ?? '0',
    rd_ops: found?.readOps ?? '0',
    rd_data: found?.readData ?? '0',
    state: found?.state ?? (up ? 'exists,up' : 'exists'),
  };
}

export function digit(value: boolean): 0 | 1 {
  return value ? 1 : 0;
}
