import type { Group } from '../verb.ts';

export const CLUSTER_COMMANDS: Group = { name: 'cluster', about: 'The cluster as a whole', verbs: [] };
