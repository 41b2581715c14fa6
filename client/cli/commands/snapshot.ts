import type { SnapshotView } from '../../../common/view/snapshot.ts';
import { one, optional, text } from '../declare.ts';
import { column, fieldsOf } from '../output/column.ts';
import { showBytes } from '../output/units.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { downloadSnapshot } from './image.ts';
import { POOL, SNAPSHOT, VOLUME } from './storage-parts.ts';

const PLACE = { pool: POOL, volume: VOLUME, snapshot: SNAPSHOT };

export const SNAPSHOT_COLUMNS = [
  column<SnapshotView>('pool', (row) => row.pool),
  column<SnapshotView>('volume', (row) => row.volume),
  column<SnapshotView>('name', (row) => row.snapshot),
  column<SnapshotView>('size', (row) => row.stats.size_bytes, { show: (row) => showBytes(row.stats.size_bytes) }),
  column<SnapshotView>('created', (row) => row.stats.timestamp),
  column<SnapshotView>('protected', (row) => row.stats.protected, { extra: true }),
  column<SnapshotView>('id', (row) => row.stats.id, { extra: true }),
];

const list = listVerb({
  name: 'list',
  about: 'List the snapshots of volumes',
  detail: 'When a snapshot was made is told only in a list of one volume: --pool and --volume.',
  arguments: { limit: optional('only snapshots whose name matches this regular expression, anywhere in it') },
  options: { pool: text('-p, --pool <pool>', 'only of volumes of this pool', { completes: 'pool' }), volume: text('-o, --volume <volume>', 'only of volumes with this name') },
  columns: SNAPSHOT_COLUMNS,
  examples: [
    ['pvc storage snapshot list', 'of all volumes'],
    ['pvc storage snapshot list --pool vms --volume web1_root', 'of one volume, with their times'],
  ],
  rows: async (context, { limit, pool, volume }) => (await context.storage()).listSnapshots({ limit, pool, volume }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a snapshot',
  arguments: PLACE,
  fields: fieldsOf(SNAPSHOT_COLUMNS),
  examples: [['pvc storage snapshot info vms web1_root before-upgrade', 'when it was made, and how large the volume was']],
  item: async (context, { pool, volume, snapshot }) => (await context.storage()).getSnapshot(pool, volume, snapshot),
});

const add = actVerb({
  name: 'add',
  about: 'Make a snapshot of a volume',
  detail: 'What the guest has not written out is not in it.',
  arguments: { pool: POOL, volume: VOLUME, name: one('what to call it: letters, digits, dots, dashes and underscores') },
  examples: [['pvc storage snapshot add vms web1_root before-upgrade', 'to come back to with rollback']],
  run: async (context, { pool, volume, name }) => (await context.storage()).createSnapshot(pool, volume, name),
});

const rename = actVerb({
  name: 'rename',
  about: 'Rename a snapshot',
  arguments: { ...PLACE, name: one('its new name') },
  examples: [['pvc storage snapshot rename vms web1_root before-upgrade before-12', 'of the same volume']],
  run: async (context, { name, ...snapshot }) => (await context.storage()).renameSnapshot(snapshot, name),
});

const rollback = actVerb({
  name: 'rollback',
  about: 'Make a volume what it was when a snapshot was made',
  detail: 'It is refused while a VM that has the volume as a disk runs. The snapshots of the volume stay.',
  arguments: PLACE,
  examples: [['pvc storage snapshot rollback vms web1_root before-upgrade', 'says what will be lost, and asks']],
  loses: async (context, { pool, volume, snapshot }) => {
    const storage = await context.storage();
    const [then, now] = await Promise.all([storage.getSnapshot(pool, volume, snapshot), storage.getVolume(pool, volume)]);
    const [before, after] = [now.stats.size_bytes, then.stats.size_bytes];
    const sized = before === after ? [] : [`its size becomes ${showBytes(after)} again, from ${showBytes(before)}`];
    return [`all that was written to volume ${pool}/${volume} since ${then.stats.timestamp ?? `snapshot ${snapshot}`} is lost`, ...sized];
  },
  run: async (context, { pool, volume, snapshot }) => (await context.storage()).rollBackSnapshot(pool, volume, snapshot),
});

const remove = actVerb({
  name: 'remove',
  about: 'Remove a snapshot',
  detail: 'The volume stays as it is. It is refused while others are clones of the snapshot.',
  arguments: PLACE,
  examples: [['pvc storage snapshot remove vms web1_root before-upgrade', 'asks first']],
  loses: async (context, { pool, volume, snapshot }) => {
    const { stats } = await (await context.storage()).getSnapshot(pool, volume, snapshot);
    return [`what volume ${pool}/${volume} was${stats.timestamp === null ? '' : ` on ${stats.timestamp}`} (snapshot ${snapshot}, ${showBytes(stats.size_bytes)}) is lost`];
  },
  run: async (context, { pool, volume, snapshot }) => (await context.storage()).removeSnapshot(pool, volume, snapshot),
});

export const SNAPSHOT_COMMANDS: Group = { name: 'snapshot', about: 'Snapshots of volumes', verbs: [list, info, add, rename, rollback, downloadSnapshot, remove] };
