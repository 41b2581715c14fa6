import type { Group } from '../verb.ts';

export const NETWORK_COMMANDS: Group = { name: 'network', about: 'Client networks, their rules and leases', verbs: [] };
