import type { Group } from '../verb.ts';

export const TASK_COMMANDS: Group = { name: 'task', about: 'Long jobs', verbs: [] };
