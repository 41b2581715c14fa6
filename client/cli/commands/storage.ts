import type { Group } from '../verb.ts';

export const STORAGE_COMMANDS: Group = { name: 'storage', about: 'Ceph: OSDs, pools, volumes, snapshots', verbs: [] };
