import { z } from 'zod';
import {
  addressesCall,
  COMMAND_CALLS,
  type commandArgs,
  type commandReply,
  connectCall,
  fsidCall,
  instanceIdCall,
  latestMapCall,
  poolCreateCall,
  poolDeleteCall,
  poolListCall,
  poolLookupCall,
  poolStatisticsCall,
  settingCall,
  shutdownCall,
  statisticsCall,
  versionCall,
} from './cluster-calls.ts';
import { handle, withIoctx, withRoom, type Context, type Handler } from './handler.ts';
import { Cells, pointersTo, splitTexts } from './memory.ts';
import { addressOf, steadyBytes } from './native-library.ts';

const KIB = 1024;
/** Text of a UUID and its NUL, and some room. */
const FSID_BYTES = 64;
/** errno of a name that is too long for the buffer, as conf_get has it. */
const ENAMETOOLONG = -36;
const ERANGE = -34;
const FIRST_ROOM_BYTES = 4_096;

/** Calls that concern the cluster as a whole. */
export const clusterHandlers: readonly Handler[] = [
  handle(connectCall, (context, { client, configFile, settings }) => {
    const { rados } = context;
    const out = new Cells(1);
    context.check(rados.create2(out.buffer, 'ceph', client, 0));
    const cluster = out.wide(0);
    try {
      if (configFile !== undefined) context.check(rados.confReadFile(cluster, configFile), { configFile });
      for (const [name, value] of settings) context.check(rados.confSet(cluster, name, value), { setting: name });
      context.check(rados.connect(cluster), { client });
      return cluster;
    } catch (error) {
      rados.shutdown(cluster);
      throw error;
    }
  }),
  handle(shutdownCall, ({ rados, cluster }) => rados.shutdown(cluster)),
  handle(versionCall, ({ rados }) => {
    const out = new Cells(3);
    rados.version(out.at(0), out.at(1), out.at(2));
    return [out.int(0), out.int(1), out.int(2)].join('.');
  }),
  handle(fsidCall, (context) => {
    const text = steadyBytes(FSID_BYTES);
    return text.toString('latin1', 0, context.check(context.rados.fsid(context.cluster, text, text.byteLength)));
  }),
  handle(instanceIdCall, ({ rados, cluster }) => rados.instanceId(cluster)),
  handle(latestMapCall, (context) => void context.check(context.rados.waitForLatestMap(context.cluster))),
  handle(addressesCall, (context) => {
    const out = new Cells(1);
    context.check(context.rados.addresses(context.cluster, out.buffer));
    const text = context.memory.cText(out.wide(0));
    context.rados.bufferFree(out.wide(0));
    return text;
  }),
  handle(settingCall, (context, { name }) => {
    const get = (room: Buffer): number => {
      const result = context.rados.confGet(context.cluster, name, room, room.byteLength);
      return result === ENAMETOOLONG ? ERANGE : result;
    };
    return withRoom(context, FIRST_ROOM_BYTES, get, (room) => context.memory.cText(addressOf(room)));
  }),
  handle(statisticsCall, (context) => {
    const out = new Cells(4);
    context.check(context.rados.statistics(context.cluster, out.buffer));
    return { totalBytes: out.number(0) * KIB, usedBytes: out.number(1) * KIB, availableBytes: out.number(2) * KIB, objectCount: out.number(3) };
  }),
  handle(COMMAND_CALLS.mon.read, monCommand),
  handle(COMMAND_CALLS.mon.write, monCommand),
  handle(COMMAND_CALLS.mgr.read, mgrCommand),
  handle(COMMAND_CALLS.mgr.write, mgrCommand),
  handle(COMMAND_CALLS.osd.read, osdCommand),
  handle(COMMAND_CALLS.osd.write, osdCommand),
  handle(poolListCall, (context) => {
    const { rados, cluster } = context;
    const fill = (room: Buffer): number => {
      const needed = rados.poolList(cluster, room, room.byteLength);
      return needed > room.byteLength ? ERANGE : needed;
    };
    // A list ends with an empty name.
    return withRoom(context, FIRST_ROOM_BYTES, fill, (room, length) => splitTexts(room.subarray(0, Math.max(0, length - 1))));
  }),
  handle(poolLookupCall, (context, { name }) => context.check(context.rados.poolLookup(context.cluster, name))),
  handle(poolCreateCall, (context, { name, crushRule }) => {
    const { rados, cluster } = context;
    context.check(crushRule === undefined ? rados.poolCreate(cluster, name) : rados.poolCreateWithRule(cluster, name, crushRule));
    return undefined;
  }),
  handle(poolDeleteCall, (context, { name }) => void context.check(context.rados.poolDelete(context.cluster, name))),
  handle(poolStatisticsCall, (context, { name }) => poolStatistics(context, name)),
];

type CommandArgs = z.infer<typeof commandArgs>;
type CommandReply = z.infer<typeof commandReply>;
/** What librados' three functions for commands have in common: command and input in; output and status out. */
type Send = (command: Buffer, commandCount: number, input: Uint8Array, inputBytes: number, out: Cells) => number;

function monCommand(context: Context, args: CommandArgs): CommandReply {
  const { rados, cluster } = context;
  return command(context, args, (words, count, input, inputBytes, out) =>
    rados.monCommand(cluster, words, count, input, inputBytes, out.at(0), out.at(1), out.at(2), out.at(3)),
  );
}

function mgrCommand(context: Context, args: CommandArgs): CommandReply {
  const { rados, cluster } = context;
  return command(context, args, (words, count, input, inputBytes, out) =>
    rados.mgrCommand(cluster, words, count, input, inputBytes, out.at(0), out.at(1), out.at(2), out.at(3)),
  );
}

function osdCommand(context: Context, args: CommandArgs): CommandReply {
  const { rados, cluster } = context;
  return command(context, args, (words, count, input, inputBytes, out) =>
    rados.osdCommand(cluster, args.osd ?? 0, words, count, input, inputBytes, out.at(0), out.at(1), out.at(2), out.at(3)),
  );
}

function command(context: Context, args: CommandArgs, send: Send): CommandReply {
  const out = new Cells(4);
  const words = pointersTo([Buffer.from(args.command)]);
  const result = send(words.pointers, words.kept.length, args.input, args.input.byteLength, out);
  try {
    const status = context.memory.text(out.wide(2), out.number(3));
    context.check(result, { prefix: prefixOf(args.command), status });
    return { output: context.memory.bytes(out.wide(0), out.number(1)), status };
  } finally {
    for (const at of [0, 2]) context.rados.bufferFree(out.wide(at));
  }
}

const withPrefix = z.object({ prefix: z.string() });

/** What the command is; its other words may be secrets. */
function prefixOf(json: string): string {
  return withPrefix.safeParse(JSON.parse(json)).data?.prefix ?? '';
}

/** struct rados_pool_stat_t of librados.h. */
function poolStatistics(context: Context, pool: string) {
  return withIoctx(context, { pool, namespace: '' }, (ioctx) => {
    const out = new Cells(18);
    context.check(context.rados.ioctxPoolStat(ioctx, out.buffer));
    return {
      storedBytes: out.number(0),
      objectCount: out.number(2),
      cloneCount: out.number(3),
      copyCount: out.number(4),
      missingOnPrimaryCount: out.number(5),
      unfoundCount: out.number(6),
      degradedCount: out.number(7),
      readCount: out.number(8),
      readBytes: out.number(9) * KIB,
      writeCount: out.number(10),
      writtenBytes: out.number(11) * KIB,
    };
  });
}
