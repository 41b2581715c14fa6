import { poolTier, type PoolTier } from '../../common/schema/pool.ts';
import type { ClusterDf, CrushRules, OsdDump, PoolDump } from './ceph-documents.ts';
import type { Pool, PoolStatistics } from './storage-cluster.ts';

type PoolEntry = OsdDump['pools'][number];

/** What Ceph tells of its pools beside what exists. */
export interface PoolFigures {
  df: ClusterDf;
  objects: PoolDump;
  rules: CrushRules;
}

const RBD_APPLICATION = 'rbd';
const BYTES_OF_KB = 1_024;

/** The pools that are for RBD, by name: those that have this application (`ceph osd pool application`). */
export function rbdPools(dump: OsdDump): PoolEntry[] {
  return dump.pools.filter((one) => Object.hasOwn(one.application_metadata, RBD_APPLICATION)).sort((a, b) => (a.pool_name < b.pool_name ? -1 : 1));
}

/** @param volumeCounts of pools, by name, as far as they are known. */
export function poolsOf(dump: OsdDump, figures: PoolFigures, volumeCounts: ReadonlyMap<string, number>): Pool[] {
  const tiers = new Map(figures.rules.map((rule) => [rule.rule_id, tierOf(rule)]));
  return rbdPools(dump).map((one) => ({
    id: one.pool,
    name: one.pool_name,
    copies: one.size,
    minCopies: one.min_size,
    pgs: one.pg_num_target ?? one.pg_num,
    tier: tiers.get(one.crush_rule) ?? 'default',
    volumeCount: volumeCounts.get(one.pool_name) ?? null,
    statistics: statisticsOf(one.pool, figures),
  }));
}

/** What no two copies share, such as a host: as the first rule of the cluster has it. */
export function failureDomainOf(rules: CrushRules): string {
  const [first] = rules.toSorted((a, b) => a.rule_id - b.rule_id);
  return first?.steps.find(({ op, type }) => op.startsWith('choose') && type !== undefined)?.type ?? 'host';
}

/** A rule that takes its disks from `default~ssd` is of the device class ssd. */
function tierOf(rule: CrushRules[number]): PoolTier {
  const taken = rule.steps.find(({ op }) => op === 'take')?.item_name ?? '';
  return poolTier.safeParse(taken.split('~')[1]).data ?? 'default';
}

function statisticsOf(id: number, { df, objects }: PoolFigures): PoolStatistics {
  const space = df.pools.find((one) => one.id === id)?.stats;
  const sum = objects.pool_stats.find((one) => one.poolid === id)?.stat_sum;
  return {
    freeBytes: space?.max_avail ?? 0,
    usedBytes: space?.bytes_used ?? 0,
    storedBytes: space?.stored ?? 0,
    usedShare: space?.percent_used ?? 0,
    objects: sum?.num_objects ?? 0,
    objectClones: sum?.num_object_clones ?? 0,
    objectCopies: sum?.num_object_copies ?? 0,
    objectsMissingOnPrimary: sum?.num_objects_missing_on_primary ?? 0,
    objectsUnfound: sum?.num_objects_unfound ?? 0,
    objectsDegraded: sum?.num_objects_degraded ?? 0,
    readOps: sum?.num_read ?? 0,
    readBytes: (sum?.num_read_kb ?? 0) * BYTES_OF_KB,
    writeOps: sum?.num_write ?? 0,
    writeBytes: (sum?.num_write_kb ?? 0) * BYTES_OF_KB,
  };
}
