import { z } from 'zod';
import { bytes, cName, cText, nothing, type Call } from './call.ts';

export const clusterStatistics = z.object({ totalBytes: z.number(), usedBytes: z.number(), availableBytes: z.number(), objectCount: z.number() });
/** Of all OSDs together, as `ceph df` has them. */
export type ClusterStatistics = z.infer<typeof clusterStatistics>;

export const poolStatistics = z.object({
  storedBytes: z.number(),
  objectCount: z.number(),
  cloneCount: z.number(),
  copyCount: z.number(),
  degradedCount: z.number(),
  unfoundCount: z.number(),
  missingOnPrimaryCount: z.number(),
  readCount: z.number(),
  readBytes: z.number(),
  writeCount: z.number(),
  writtenBytes: z.number(),
});
/** Counters since the pool was made; counts of objects, clones and copies as of now. */
export type PoolStatistics = z.infer<typeof poolStatistics>;

export const commandArgs = z.object({
  /** The command as JSON, such as `{"prefix":"status","format":"json"}`. */
  command: cName,
  input: bytes,
  /** OSD's number, for commands to one. */
  osd: z.int().nonnegative().optional(),
});
type CommandArgs = z.infer<typeof commandArgs>;

export const commandReply = z.object({ output: bytes, status: z.string() });
type CommandReply = z.infer<typeof commandReply>;

function command(target: 'mon' | 'mgr' | 'osd', effect: 'read' | 'write'): Call<CommandArgs, CommandReply> {
  return { name: `${target}-command-${effect}`, lane: target === 'mon' ? 'mon' : 'command', effect, args: commandArgs, result: commandReply };
}

export const COMMAND_CALLS = {
  mon: { read: command('mon', 'read'), write: command('mon', 'write') },
  mgr: { read: command('mgr', 'read'), write: command('mgr', 'write') },
  osd: { read: command('osd', 'read'), write: command('osd', 'write') },
};

const none = z.object({});
const oneName = z.object({ name: cName });
type OneName = z.infer<typeof oneName>;
const newPool = oneName.extend({ crushRule: z.int().min(0).max(255).optional() });

const connectArgs = z.object({
  client: cName,
  configFile: cName.optional(),
  /** Set in this order, after the file. */
  settings: z.array(z.tuple([cName, cText])),
});

export const connectCall: Call<z.infer<typeof connectArgs>, bigint> = { name: 'connect', lane: 'mon', effect: 'read', args: connectArgs, result: z.bigint() };
export const shutdownCall: Call<object, undefined> = { name: 'shutdown', lane: 'mon', effect: 'read', args: none, result: nothing };
export const versionCall: Call<object, string> = { name: 'version', lane: 'mon', effect: 'read', args: none, result: z.string() };
export const fsidCall: Call<object, string> = { name: 'fsid', lane: 'mon', effect: 'read', args: none, result: z.string() };
export const instanceIdCall: Call<object, bigint> = { name: 'instance-id', lane: 'mon', effect: 'read', args: none, result: z.bigint() };
export const addressesCall: Call<object, string> = { name: 'addresses', lane: 'mon', effect: 'read', args: none, result: z.string() };
export const statisticsCall: Call<object, ClusterStatistics> = { name: 'cluster-statistics', lane: 'mon', effect: 'read', args: none, result: clusterStatistics };
export const latestMapCall: Call<object, undefined> = { name: 'latest-map', lane: 'mon', effect: 'read', args: none, result: nothing };
export const settingCall: Call<OneName, string> = { name: 'setting', lane: 'mon', effect: 'read', args: oneName, result: z.string() };
export const poolListCall: Call<object, string[]> = { name: 'pool-list', lane: 'mon', effect: 'read', args: none, result: z.array(z.string()) };
export const poolLookupCall: Call<OneName, number> = { name: 'pool-lookup', lane: 'mon', effect: 'read', args: oneName, result: z.int() };
export const poolCreateCall: Call<z.infer<typeof newPool>, undefined> = { name: 'pool-create', lane: 'mon', effect: 'write', args: newPool, result: nothing };
export const poolDeleteCall: Call<OneName, undefined> = { name: 'pool-delete', lane: 'mon', effect: 'write', args: oneName, result: nothing };
export const poolStatisticsCall: Call<OneName, PoolStatistics> = { name: 'pool-statistics', lane: 'mon', effect: 'read', args: oneName, result: poolStatistics };
