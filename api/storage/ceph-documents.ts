import { z } from 'zod';
import { AppError } from '../../common/errors.ts';

/**
 * What Ceph says of itself, as far as it is used here; the fields are those of Ceph 16 (Debian 12) to 18 (Debian 13), found by looking.
 * Ceph adds fields with every release, so unknown ones are passed over.
 */

/** `osd dump`: what exists. Answered by the mons at once, from memory. */
export const osdDump = z.object({
  pools: z.array(
    z.object({
      pool: z.int(),
      pool_name: z.string(),
      size: z.int(),
      min_size: z.int(),
      pg_num: z.int(),
      pg_num_target: z.int().optional(),
      crush_rule: z.int(),
      /** Such as `hashpspool,full`. */
      flags_names: z.string().transform((names) => names.split(',')),
      application_metadata: z.record(z.string(), z.unknown()).default({}),
    }),
  ),
  osds: z.array(z.object({ osd: z.int(), uuid: z.string(), up: z.int(), in: z.int(), weight: z.number(), primary_affinity: z.number(), state: z.array(z.string()) })),
});
export type OsdDump = z.infer<typeof osdDump>;

/** `osd df`: space of each OSD. */
export const osdDf = z.object({
  nodes: z.array(
    z.object({
      id: z.int(),
      device_class: z.string().default(''),
      crush_weight: z.number(),
      reweight: z.number(),
      kb: z.number(),
      kb_used: z.number(),
      kb_used_data: z.number().default(0),
      kb_used_omap: z.number().default(0),
      kb_used_meta: z.number().default(0),
      kb_avail: z.number(),
      utilization: z.number(),
      var: z.number(),
      pgs: z.int(),
    }),
  ),
});
export type OsdDf = z.infer<typeof osdDf>;

/** `osd tree`: buckets and what is in them. */
export const osdTree = z.object({ nodes: z.array(z.object({ id: z.int(), name: z.string(), type: z.string(), children: z.array(z.int()).default([]) })) });
export type OsdTree = z.infer<typeof osdTree>;

/** `osd metadata`: what each OSD told when it last started; nothing but the id of one that never did. */
export const osdMetadata = z.array(
  z.object({
    id: z.int(),
    hostname: z.string().optional(),
    bluestore_bdev_access_mode: z.string().optional(),
    bluestore_bdev_devices: z.string().optional(),
    bluestore_bdev_path: z.string().optional(),
    bluefs_dedicated_db: z.string().optional(),
    bluefs_db_devices: z.string().optional(),
  }),
);
export type OsdMetadata = z.infer<typeof osdMetadata>;

/** `df detail`: space of the cluster and of each pool. */
export const clusterDf = z.object({
  stats: z.object({ total_bytes: z.number(), total_avail_bytes: z.number(), total_used_raw_bytes: z.number() }),
  pools: z.array(
    z.object({ id: z.int(), stats: z.object({ stored: z.number(), bytes_used: z.number(), percent_used: z.number(), max_avail: z.number() }) }),
  ),
});
export type ClusterDf = z.infer<typeof clusterDf>;

/** `health`: what Ceph complains of. */
export const clusterHealth = z.object({
  checks: z.record(z.string(), z.object({ severity: z.string(), summary: z.object({ message: z.string() }), muted: z.boolean().default(false) })).default({}),
});

/** `pg dump pools`: objects of each pool, and what was read and written. */
export const poolDump = z.object({
  pool_stats: z.array(
    z.object({
      poolid: z.int(),
      stat_sum: z.object({
        num_objects: z.int(),
        num_object_clones: z.int(),
        num_object_copies: z.int(),
        num_objects_missing_on_primary: z.int(),
        num_objects_degraded: z.int(),
        num_objects_unfound: z.int(),
        num_read: z.int(),
        num_read_kb: z.int(),
        num_write: z.int(),
        num_write_kb: z.int(),
      }),
    }),
  ),
});
export type PoolDump = z.infer<typeof poolDump>;

/** `osd crush rule dump`: which disks a pool is kept on. */
export const crushRules = z.array(z.object({ rule_id: z.int(), rule_name: z.string(), steps: z.array(z.object({ op: z.string(), item_name: z.string().optional(), type: z.string().optional() })) }));
export type CrushRules = z.infer<typeof crushRules>;

/** A division by nothing, such as of an empty OSD's use, is printed like this, which is no JSON. */
const NO_NUMBER = /":-?(?:nan|inf)(?=[,}\]])/gu;

/** @throws AppError 'component' when it is no JSON, or not what is expected. */
export function parseCephJson<S extends z.ZodType>(schema: S, what: string, text: string): z.output<S> {
  const parsed = schema.safeParse(jsonOf(what, text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AppError('component', 'Ceph answered with something unknown', { command: what, at: issue?.path.join('.'), why: issue?.message });
}

function jsonOf(what: string, text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text.replaceAll(NO_NUMBER, '":0'));
    return parsed;
  } catch (cause) {
    throw new AppError('component', 'Ceph answered with something that is no JSON', { command: what, answer: text.slice(0, 200) }, { cause });
  }
}

/** One row of the table that `osd status` prints; Ceph 16 has no other form of it. Texts as they stand there. */
export interface OsdStatusRow {
  id: number;
  used: string;
  avail: string;
  writeOps: string;
  writeData: string;
  readOps: string;
  readData: string;
  state: string;
}

/** Columns behind the host's name, which may be missing. */
const STATUS_COLUMNS = 7;

/** The rows of that table. What is no row is passed over: the figures are for people to look at. */
export function parseOsdStatus(table: string): OsdStatusRow[] {
  return table.split('\n').flatMap((line) => {
    const cells = line.trim().split(/\s+/u);
    const id = /^\d+$/u.test(cells[0] ?? '') ? Number(cells[0]) : undefined;
    const [used, avail, writeOps, writeData, readOps, readData, state] = cells.slice(-STATUS_COLUMNS);
    if (id === undefined || cells.length <= STATUS_COLUMNS) return [];
    if (used === undefined || avail === undefined || writeOps === undefined || writeData === undefined || readOps === undefined || readData === undefined || state === undefined) return [];
    return [{ id, used, avail, writeOps, writeData, readOps, readData, state }];
  });
}
