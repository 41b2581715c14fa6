import type { Group } from '../verb.ts';

export const VM_COMMANDS: Group = { name: 'vm', about: 'Virtual machines', verbs: [] };
