import type { Group, Verb } from './verb.ts';

export interface Noun {
  readonly name: string;
  readonly about: string;
  /** Its verbs; or the one command that it is. */
  load(): Promise<Group | Verb>;
}

/** What `pvc` can be followed by. Only the module of the one that is used is loaded. */
export const NOUNS: readonly Noun[] = [
  { name: 'cluster', about: 'the cluster as a whole: status, maintenance, events', load: async () => (await import('./commands/cluster.ts')).CLUSTER_COMMANDS },
  { name: 'node', about: 'hypervisors: list, flush, ready, primary, log', load: async () => (await import('./commands/node.ts')).NODE_COMMANDS },
  { name: 'vm', about: 'virtual machines: define, start, migrate, edit, console', load: async () => (await import('./commands/vm.ts')).VM_COMMANDS },
  { name: 'network', about: 'client networks, their rules and leases', load: async () => (await import('./commands/network.ts')).NETWORK_COMMANDS },
  { name: 'storage', about: 'Ceph: OSDs, pools, volumes, snapshots', load: async () => (await import('./commands/storage.ts')).STORAGE_COMMANDS },
  { name: 'task', about: 'long jobs: flushes, and OSDs that come and go', load: async () => (await import('./commands/task.ts')).TASK_COMMANDS },
  { name: 'connection', about: 'the clusters that this command knows', load: async () => (await import('./commands/connection.ts')).CONNECTION_COMMANDS },
  { name: 'completion', about: 'what a shell needs to complete names', load: async () => (await import('./commands/completion.ts')).COMPLETION_COMMAND },
  { name: 'manual', about: 'the manual page', load: async () => (await import('./commands/manual.ts')).MANUAL_COMMAND },
];
