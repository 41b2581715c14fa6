import type { SnapshotView } from '../../../common/view/snapshot.ts';
import type { VolumeView } from '../../../common/view/volume.ts';
import type { Context } from '../context.ts';
import { one, optional, text } from '../declare.ts';
import { column, fieldsOf } from '../output/column.ts';
import { counted, named } from '../output/counted.ts';
import { section } from '../output/render.ts';
import { showBytes } from '../output/units.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { downloadVolume, uploadVolume } from './image.ts';
import { SNAPSHOT_COLUMNS } from './snapshot.ts';
import { POOL, SIZE, usersLine, VOLUME } from './storage-parts.ts';

type Stats = VolumeView['stats'];
const joined = (name: string, of: (stats: Stats) => readonly string[]) => column<VolumeView>(name, (row) => of(row.stats).join(','), { extra: true });
const time = (name: string, of: (stats: Stats) => string) => column<VolumeView>(name, (row) => of(row.stats), { extra: true });

export const VOLUME_COLUMNS = [
  column<VolumeView>('pool', (row) => row.pool),
  column<VolumeView>('name', (row) => row.name),
  column<VolumeView>('size', (row) => row.stats.size_bytes, { show: (row) => showBytes(row.stats.size_bytes) }),
  column<VolumeView>('objects', (row) => row.stats.objects),
  column<VolumeView>('snapshots', (row) => row.stats.snapshot_count),
  column<VolumeView>('object-size', (row) => row.stats.object_size, { show: (row) => showBytes(row.stats.object_size), extra: true }),
  column<VolumeView>('format', (row) => row.stats.format, { extra: true }),
  joined('features', ({ features }) => features),
  joined('flags', ({ flags }) => flags),
  time('created', ({ create_timestamp }) => create_timestamp),
  time('modified', ({ modify_timestamp }) => modify_timestamp),
  time('accessed', ({ access_timestamp }) => access_timestamp),
  column<VolumeView>('id', (row) => row.stats.id, { extra: true }),
];

const list = listVerb({
  name: 'list',
  about: 'List the volumes',
  arguments: { limit: optional('only volumes whose name matches this regular expression, anywhere in it') },
  options: { pool: text('-p, --pool <pool>', 'only volumes of this pool', { completes: 'pool' }) },
  columns: VOLUME_COLUMNS,
  examples: [
    ['pvc storage volume list', 'of all pools'],
    ['pvc storage volume list ^web --pool vms', 'of one pool, whose name begins with web'],
    ['pvc storage volume list --sort -size --columns pool,name,size', 'the largest first'],
  ],
  rows: async (context, { limit, pool }) => (await context.storage()).listVolumes({ limit, pool }),
});

interface WholeVolume extends VolumeView {
  snapshots: SnapshotView[];
}

const SNAPSHOTS = section<WholeVolume, SnapshotView>('Snapshots', SNAPSHOT_COLUMNS.filter(({ name }) => name !== 'pool' && name !== 'volume'), (row) => row.snapshots);

const info = itemVerb({
  name: 'info',
  about: 'Show a volume and its snapshots',
  arguments: { pool: POOL, volume: VOLUME },
  fields: fieldsOf(VOLUME_COLUMNS),
  sections: [SNAPSHOTS],
  examples: [
    ['pvc storage volume info vms web1_root', 'its size, times and snapshots'],
    ['pvc storage volume info vms web1_root --columns size --format raw', 'its size in bytes'],
  ],
  item: async (context, { pool, volume }): Promise<WholeVolume> => {
    const storage = await context.storage();
    const [found, snapshots] = await Promise.all([storage.getVolume(pool, volume), storage.listSnapshots({ pool, volume })]);
    return { ...found, snapshots };
  },
});

const add = actVerb({
  name: 'add',
  about: 'Add a volume',
  detail: 'It takes space only as it is written to.',
  arguments: { pool: POOL, name: one('what to call it: letters, digits, dots, dashes and underscores'), size: SIZE },
  examples: [['pvc storage volume add vms web1_root 20G', 'for a disk of a VM']],
  run: async (context, { pool, name, size }) => (await context.storage()).createVolume({ pool, volume: name, size }),
});

const resize = actVerb({
  name: 'resize',
  about: 'Make a volume larger',
  detail: 'A guest that runs sees the new size at once; its partitions and file systems are its own business. A volume does not become smaller.',
  arguments: { pool: POOL, volume: VOLUME, size: SIZE },
  examples: [['pvc storage volume resize vms web1_root 40G', '40 GiB from then on']],
  run: async (context, { pool, volume, size }) => (await context.storage()).modifyVolume(pool, volume, { size }),
});

const rename = actVerb({
  name: 'rename',
  about: 'Rename a volume that no VM has as a disk',
  arguments: { pool: POOL, volume: VOLUME, name: one('its new name') },
  examples: [['pvc storage volume rename vms web1_root web-old_root', 'within its pool']],
  run: async (context, { pool, volume, name }) => (await context.storage()).modifyVolume(pool, volume, { name }),
});

const clone = actVerb({
  name: 'clone',
  about: 'Copy a volume within its pool',
  detail: 'The copy is whole and has none of its snapshots.',
  arguments: { pool: POOL, volume: VOLUME, name: one('what to call the copy') },
  examples: [['pvc storage volume clone vms debian web2_root', 'for a new VM']],
  run: async (context, { pool, volume, name }) => (await context.storage()).cloneVolume(pool, volume, name),
});

const scan = actVerb({
  name: 'scan',
  about: 'Look at a volume again and say its size',
  arguments: { pool: POOL, volume: VOLUME },
  examples: [['pvc storage volume scan vms web1_root', 'after a change that was made with rbd']],
  run: async (context, { pool, volume }) => (await context.storage()).scanVolume(pool, volume),
});

async function lossOf(context: Context, pool: string, volume: string): Promise<string[]> {
  const storage = await context.storage();
  const shown = `${pool}/${volume}`;
  const [found, snapshots, users] = await Promise.all([storage.getVolume(pool, volume), storage.listSnapshots({ pool, volume }), usersLine(context, 'it is a disk', (name) => name === shown)]);
  const kept = snapshots.length === 0 ? [] : [`lost with it: ${counted(snapshots.length, 'snapshot')} (${named(snapshots.map((one) => one.snapshot))})`];
  return [`volume ${shown} (${showBytes(found.stats.size_bytes)}) is removed with all that is on it`, ...kept, ...users];
}

const remove = actVerb({
  name: 'remove',
  about: 'Remove a volume with its snapshots',
  detail: 'It is refused while it is a disk of a VM, open, or others are clones of it.',
  arguments: { pool: POOL, volume: VOLUME },
  examples: [
    ['pvc storage volume remove vms web1_root', 'says what will be lost, and asks'],
    ['pvc storage volume remove vms web1_root --yes', 'does not ask'],
  ],
  loses: (context, { pool, volume }) => lossOf(context, pool, volume),
  run: async (context, { pool, volume }) => (await context.storage()).removeVolume(pool, volume),
});

export const VOLUME_COMMANDS: Group = { name: 'volume', about: 'Volumes: the disks of VMs', verbs: [list, info, add, resize, rename, clone, uploadVolume, downloadVolume, scan, remove] };
