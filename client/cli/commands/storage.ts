import { safeText } from '../output/safe-text.ts';
import { textVerb, type Group } from '../verb.ts';
import { OSD_COMMANDS } from './osd.ts';
import { POOL_COMMANDS } from './pool.ts';
import { SNAPSHOT_COMMANDS } from './snapshot.ts';
import { VOLUME_COMMANDS } from './volume.ts';

const shown = ({ ceph_data }: { ceph_data: string }): string => `${safeText(ceph_data)}\n`;

const status = textVerb({
  name: 'status',
  about: 'Show what Ceph says of itself',
  detail: 'As ceph status prints it.',
  watches: true,
  examples: [
    ['pvc storage status', 'health, services, use'],
    ['pvc storage status --watch 5', 'again every five seconds, such as while data moves'],
  ],
  run: async (context) => {
    const storage = await context.storage();
    await context.printText(() => storage.status(), shown);
  },
});

const util = textVerb({
  name: 'util',
  about: 'Show what each pool has and does',
  detail: 'As rados df prints it.',
  watches: true,
  examples: [['pvc storage util', 'objects, space, reads and writes']],
  run: async (context) => {
    const storage = await context.storage();
    await context.printText(() => storage.utilization(), shown);
  },
});

export const STORAGE_COMMANDS: Group = {
  name: 'storage',
  about: 'Ceph: OSDs, pools, volumes, snapshots',
  verbs: [status, util],
  groups: [OSD_COMMANDS, POOL_COMMANDS, VOLUME_COMMANDS, SNAPSHOT_COMMANDS],
};
