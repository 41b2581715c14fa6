import type { PoolView } from '../../../common/view/pool.ts';
import type { Context } from '../context.ts';
import { one, oneNumber, optional, text, word } from '../declare.ts';
import { column, fieldsOf, type Tone } from '../output/column.ts';
import { counted, named } from '../output/counted.ts';
import { showBytes } from '../output/units.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { POOL, showPercent, usersLine } from './storage-parts.ts';

type Stats = PoolView['stats'];

const bytes = (name: string, of: (stats: Stats) => number, extra?: true) => column<PoolView>(name, (row) => of(row.stats), { show: (row) => showBytes(of(row.stats)), extra });
const count = (name: string, of: (stats: Stats) => number) => column<PoolView>(name, (row) => of(row.stats), { extra: true });

const NEARLY_FULL_PERCENT = 85;
/** The API has a part of one. */
const percentOf = ({ stats }: PoolView): number => Math.round(stats.used_percent * 10_000) / 100;
const toneOfLack = (lacking: number): Tone | undefined => (lacking > 0 ? 'bad' : undefined);

export const POOL_COLUMNS = [
  column<PoolView>('name', (row) => row.name),
  column<PoolView>('tier', (row) => row.tier),
  column<PoolView>('pgs', (row) => Number(row.pgs)),
  column<PoolView>('copies', (row) => row.copies),
  column<PoolView>('mincopies', (row) => row.mincopies),
  column<PoolView>('volumes', (row) => row.volume_count),
  bytes('stored', ({ stored_bytes }) => stored_bytes),
  bytes('used', ({ used_bytes }) => used_bytes),
  bytes('free', ({ free_bytes }) => free_bytes),
  column<PoolView>('use', percentOf, { show: (row) => showPercent(percentOf(row)), tone: (row) => (percentOf(row) >= NEARLY_FULL_PERCENT ? 'bad' : undefined) }),
  column<PoolView>('degraded', (row) => row.stats.num_objects_degraded, { tone: (row) => toneOfLack(row.stats.num_objects_degraded) }),
  column<PoolView>('unfound', (row) => row.stats.num_objects_unfound, { tone: (row) => toneOfLack(row.stats.num_objects_unfound), extra: true }),
  count('id', ({ id }) => id),
  count('objects', ({ num_objects }) => num_objects),
  count('clones', ({ num_object_clones }) => num_object_clones),
  count('object-copies', ({ num_object_copies }) => num_object_copies),
  count('read-ops', ({ read_ops }) => read_ops),
  bytes('read', ({ read_bytes }) => read_bytes, true),
  count('write-ops', ({ write_ops }) => write_ops),
  bytes('written', ({ write_bytes }) => write_bytes, true),
];

const list = listVerb({
  name: 'list',
  about: 'List the pools for volumes',
  arguments: { limit: optional('only pools whose name matches this regular expression, anywhere in it', { completes: 'pool' }) },
  columns: POOL_COLUMNS,
  examples: [
    ['pvc storage pool list', 'what they hold, and how much is free'],
    ['pvc storage pool list --columns name,free --format raw', 'in bytes, for a script'],
  ],
  rows: async (context, { limit }) => (await context.storage()).listPools({ limit }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a pool',
  arguments: { pool: POOL },
  fields: fieldsOf(POOL_COLUMNS),
  examples: [['pvc storage pool info vms', 'with its objects, reads and writes']],
  item: async (context, { pool }) => (await context.storage()).getPool(pool),
});

const PGS_MAX = 65_536;
const PGS = oneNumber('number of its placement groups, best a power of 2, such as 32 or 128', { min: 1, max: PGS_MAX });

const add = actVerb({
  name: 'add',
  about: 'Add a pool for volumes',
  arguments: { name: one('what to call it: letters, digits, dots, dashes and underscores'), pgs: PGS },
  options: {
    replcfg: text('--replcfg <copies>', "copies of each object, and the least for a write, such as copies=3,mincopies=2; Ceph's defaults when missing"),
    tier: word('-t, --tier <tier>', ['default', 'hdd', 'ssd', 'nvme'], 'the disks to keep it on'),
  },
  examples: [
    ['pvc storage pool add vms 128', 'with as many copies as is usual'],
    ['pvc storage pool add fast 32 --tier nvme --replcfg copies=3,mincopies=2', 'on NVMe disks only'],
  ],
  run: async (context, { name, ...settings }) => (await context.storage()).createPool({ pool: name, ...settings }),
});

const setPgs = actVerb({
  name: 'set-pgs',
  about: 'Change the number of placement groups of a pool',
  detail: 'Data moves meanwhile.',
  arguments: { pool: POOL, pgs: PGS },
  examples: [['pvc storage pool set-pgs vms 256', 'pvc storage status shows how far it is']],
  run: async (context, { pool, pgs }) => (await context.storage()).modifyPool(pool, { pgs }),
});

/** Ceph does not permit it without mon_allow_pool_delete; that is told when it refuses. */
async function lossOf(context: Context, name: string): Promise<string[]> {
  const storage = await context.storage();
  const [pool, volumes, users] = await Promise.all([storage.getPool(name), storage.listVolumes({ pool: name }), usersLine(context, 'volumes of it are disks', (volume) => volume.startsWith(`${name}/`))]);
  const snapshots = volumes.reduce((sum, { stats }) => sum + stats.snapshot_count, 0);
  const kept = volumes.length === 0 ? [] : [`lost with it: ${[`${counted(volumes.length, 'volume')} (${named(volumes.map((one) => one.name))})`, ...(snapshots === 0 ? [] : [counted(snapshots, 'snapshot')])].join(', ')}`];
  return [`pool ${name} is removed with everything in it: ${showBytes(pool.stats.stored_bytes)}`, ...kept, ...users];
}

const remove = actVerb({
  name: 'remove',
  about: 'Remove a pool with everything in it',
  detail: 'It is refused while a VM has a disk there, and where Ceph does not permit it (mon_allow_pool_delete).',
  arguments: { pool: POOL },
  examples: [['pvc storage pool remove old', 'says which volumes will be lost, and asks']],
  loses: (context, { pool }) => lossOf(context, pool),
  run: async (context, { pool }) => (await context.storage()).removePool(pool, { yes_i_really_mean_it: true }),
});

export const POOL_COMMANDS: Group = { name: 'pool', about: 'Pools of volumes', verbs: [list, info, add, setPgs, remove] };
