import type { OsdView } from '../../../common/view/osd.ts';
import { ClientError } from '../../client-error.ts';
import type { Context } from '../context.ts';
import { flag, one, oneNumber, oneWord, optional, type Argument, type Option } from '../declare.ts';
import { column, fieldsOf, toneOfState } from '../output/column.ts';
import { showBytes, showKib } from '../output/units.ts';
import { attendTask } from '../progress/attend-task.ts';
import { actVerb, itemVerb, listVerb, type Group, type Reply } from '../verb.ts';
import { showPercent } from './storage-parts.ts';

const OSD_MAX = 10_000;
const OSD: Argument<number> = oneNumber('number of the OSD', { min: 0, max: OSD_MAX }, { completes: 'osd' });

/** Flags of the whole cluster (ceph osd set). */
const OPTIONS = ['full', 'pause', 'noup', 'nodown', 'noout', 'noin', 'nobackfill', 'norebalance', 'norecover', 'noscrub', 'nodeep-scrub', 'notieragent', 'nosnaptrim'] as const;
/** Those that let nothing be written until they are unset. */
const STOPPING: readonly string[] = ['full', 'pause'];
const OPTION = oneWord(OPTIONS, 'the flag');

const upOrDown = ({ stats }: Pick<OsdView, 'stats'>): string => (stats.up === 1 ? 'up' : 'down');
const inOrOut = ({ stats }: Pick<OsdView, 'stats'>): string => (stats.in === 1 ? 'in' : 'out');
/** The API has a line there while nobody knows. */
const nodeOf = ({ node }: OsdView): string | null => (node === '|' ? null : node);

const NEARLY_FULL_PERCENT = 85;

const kib = (name: string, of: (stats: OsdView['stats']) => number, extra?: true) => column<OsdView>(name, (row) => of(row.stats), { show: (row) => showKib(of(row.stats)), extra });

export const OSD_COLUMNS = [
  column<OsdView>('id', (row) => Number(row.id)),
  column<OsdView>('node', nodeOf),
  column<OsdView>('device', (row) => row.device),
  column<OsdView>('up', upOrDown, { tone: (row) => toneOfState(upOrDown(row)) }),
  column<OsdView>('in', inOrOut, { tone: (row) => toneOfState(inOrOut(row)) }),
  column<OsdView>('class', (row) => row.stats.class),
  kib('size', ({ kb }) => kb),
  kib('used', ({ kb_used }) => kb_used),
  kib('free', ({ kb_avail }) => kb_avail),
  column<OsdView>('use', (row) => row.stats.utilization, { show: (row) => showPercent(row.stats.utilization), tone: (row) => (row.stats.utilization >= NEARLY_FULL_PERCENT ? 'bad' : undefined) }),
  column<OsdView>('pgs', (row) => row.stats.pgs),
  column<OsdView>('weight', (row) => row.stats.weight),
  column<OsdView>('reweight', (row) => row.stats.reweight),
  column<OsdView>('var', (row) => row.stats.var, { extra: true }),
  kib('data', ({ kb_used_data }) => kb_used_data, true),
  kib('omap', ({ kb_used_omap }) => kb_used_omap, true),
  kib('meta', ({ kb_used_meta }) => kb_used_meta, true),
  column<OsdView>('read-ops', (row) => row.stats.rd_ops, { extra: true }),
  column<OsdView>('read', (row) => row.stats.rd_data, { extra: true }),
  column<OsdView>('write-ops', (row) => row.stats.wr_ops, { extra: true }),
  column<OsdView>('written', (row) => row.stats.wr_data, { extra: true }),
  column<OsdView>('affinity', (row) => row.stats.primary_affinity, { extra: true }),
  column<OsdView>('db-device', (row) => row.db_device, { extra: true }),
  column<OsdView>('state', (row) => row.stats.state, { extra: true }),
  column<OsdView>('uuid', (row) => row.fsid, { extra: true }),
];

const list = listVerb({
  name: 'list',
  about: 'List the OSDs',
  arguments: { limit: optional('only OSDs whose number, or name such as osd.0, matches this regular expression, anywhere in it') },
  columns: OSD_COLUMNS,
  examples: [
    ['pvc storage osd list', 'all of them'],
    ['pvc storage osd list --filter up=down', 'those that do not run'],
    ['pvc storage osd list --sort -use --columns id,node,use', 'the fullest first'],
  ],
  rows: async (context, { limit }) => (await context.storage()).listOsds({ limit }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show an OSD',
  arguments: { osd: OSD },
  fields: fieldsOf(OSD_COLUMNS),
  examples: [['pvc storage osd info 3', 'with its rates and its UUID']],
  item: async (context, { osd }) => (await context.storage()).getOsd(osd),
});

interface State {
  id: string;
  up: string;
  in: string;
}

const state = itemVerb({
  name: 'state',
  about: 'Show whether an OSD is up, and in',
  arguments: { osd: OSD },
  fields: [
    column<State>('id', (row) => row.id),
    column<State>('up', (row) => row.up, { tone: (row) => toneOfState(row.up) }),
    column<State>('in', (row) => row.in, { tone: (row) => toneOfState(row.in) }),
  ],
  examples: [['pvc storage osd state 3 --columns up --format raw', 'one word for a script']],
  item: async (context, { osd }): Promise<State> => {
    const seen = await (await context.storage()).osdState(osd);
    return { id: seen.id, up: seen.up === 1 ? 'up' : 'down', in: seen.in === 1 ? 'in' : 'out' };
  },
});

const WEIGHT: Option<number | undefined> = {
  flags: '--weight <weight>',
  about: 'its share of the data in CRUSH; 1.0 for each TiB is the custom; 1.0 when missing',
  isRepeated: false,
  isNeeded: false,
  read: (raw) => {
    if (raw === undefined) return undefined;
    if (typeof raw === 'string' && /^\d+(\.\d+)?$/u.test(raw)) return Number(raw);
    throw new ClientError('arguments', '--weight: must be a number, such as 1.0', { details: [`given: ${String(raw)}`] });
  },
};
const WEIGHT_USUAL = 1;

interface Started {
  reply: { message: string; task_id?: string | undefined };
  what: string;
  done: string;
}

/** The API answers this command at once; the node goes on by itself, and cannot be told to stop. */
async function steps(context: Context, { reply, what, done }: Started): Promise<Reply> {
  if (!context.settings.wait || reply.task_id === undefined) return { message: reply.message };
  return attendTask(context, { task: reply.task_id, what, done });
}

const add = actVerb({
  name: 'add',
  about: 'Make an OSD of a whole disk of a node',
  detail: 'A disk with a file system, a partition table or another OSD is refused, unless --zap is given. One that is in use, or holds an OSD of this cluster, always is. What fails leaves nothing behind.',
  arguments: { node: one('name of the node', { completes: 'node' }), device: one('path of the disk on the node, such as /dev/sdb') },
  options: { weight: WEIGHT, zap: flag('--zap', 'destroy first what is on the disk') },
  waits: true,
  examples: [
    ['pvc storage osd add hv1 /dev/sdb', 'with a line for each step'],
    ['pvc storage osd add hv1 /dev/sdb --zap', 'a disk that was used before'],
    ['pvc storage osd add hv1 /dev/disk/by-id/nvme-X --weight 3.6 --no-wait', 'come back at once; see pvc task list'],
  ],
  loses: async (_context, { node, device, zap }) => (zap === true ? [`everything on ${device} of node ${node} is destroyed`] : []),
  run: async (context, { node, device, weight, zap }) => {
    const reply = await (await context.storage()).addOsd({ node, device, weight: weight ?? WEIGHT_USUAL, ...(zap === true ? { zap, yes_i_really_mean_it: true } : {}) });
    return steps(context, { reply, what: `the new OSD on ${device} of node ${node}`, done: `${device} of node ${node} is an OSD` });
  },
});

const remove = actVerb({
  name: 'remove',
  about: 'Remove an OSD and empty its disk',
  detail: 'Its data moves to other OSDs first. Where that cannot be, the OSD stays, unless --force is given.',
  arguments: { osd: OSD },
  options: { force: flag('--force', 'do not move its data: what only it holds is lost') },
  waits: true,
  examples: [
    ['pvc storage osd remove 3', 'says what is on it, and asks'],
    ['pvc storage osd remove 3 --force', 'when its disk has failed'],
  ],
  loses: async (context, { osd, force }) => {
    const seen = await (await context.storage()).getOsd(osd);
    const place = `${seen.device === null ? '' : ` on ${seen.device}`}${nodeOf(seen) === null ? '' : ` of node ${seen.node}`}`;
    const data = `${showBytes(seen.stats.kb_used_data * 1_024)} in ${seen.stats.pgs} placement groups`;
    return [`OSD ${osd}${place} is removed, and its disk is emptied`, force === true ? `its data (${data}) does not move away first: what only it holds is lost` : `its data (${data}) moves to other OSDs first`];
  },
  run: async (context, { osd, force }) => {
    const reply = await (await context.storage()).removeOsd(osd, { yes_i_really_mean_it: true, force });
    return steps(context, { reply, what: `the removal of OSD ${osd}`, done: `OSD ${osd} is removed` });
  },
});

const takeIn = actVerb({
  name: 'in',
  about: 'Take an OSD in: data moves to it',
  arguments: { osd: OSD },
  examples: [['pvc storage osd in 3', 'it takes its share again']],
  run: async (context, { osd }) => (await context.storage()).setOsdState(osd, 'in'),
});

const takeOut = actVerb({
  name: 'out',
  about: 'Take an OSD out: its data moves to others',
  arguments: { osd: OSD },
  examples: [['pvc storage osd out 3', 'pvc storage status shows how far it is']],
  run: async (context, { osd }) => (await context.storage()).setOsdState(osd, 'out'),
});

const set = actVerb({
  name: 'set',
  about: 'Set a flag of the whole Ceph cluster',
  arguments: { option: OPTION },
  examples: [
    ['pvc storage osd set noout', 'before a node restarts: its OSDs stay in'],
    ['pvc storage osd set norebalance', 'data does not move for now'],
  ],
  loses: async (_context, { option }) => (STOPPING.includes(option) ? [`no guest can write to its volumes until ${option} is unset`] : []),
  run: async (context, { option }) => (await context.storage()).setOption('set', option),
});

const unset = actVerb({
  name: 'unset',
  about: 'Unset a flag of the whole Ceph cluster',
  arguments: { option: OPTION },
  examples: [['pvc storage osd unset noout', 'when the node is back']],
  run: async (context, { option }) => (await context.storage()).setOption('unset', option),
});

export const OSD_COMMANDS: Group = { name: 'osd', about: 'OSDs: the disks that hold the data', verbs: [list, info, state, add, remove, takeIn, takeOut, set, unset] };
