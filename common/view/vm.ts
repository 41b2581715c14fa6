import { z } from 'zod';
import { tag } from '../schema/vm.ts';
import { migrationProgress } from '../schema/vm-status.ts';

const counter = z.number().describe('Since the guest began to run on its node; 0 while it does not run.');

export const vmNetworkView = z.object({
  type: z.string(),
  vni: z.string().describe('Digits, or the name of a well-known network.'),
  mac: z.string(),
  source: z.string(),
  model: z.string(),
  rd_bytes: counter,
  rd_packets: counter,
  rd_errors: counter,
  rd_drops: counter,
  wr_bytes: counter,
  wr_packets: counter,
  wr_errors: counter,
  wr_drops: counter,
});

export const vmDiskView = z.object({
  type: z.string(),
  name: z.string(),
  dev: z.string(),
  bus: z.string(),
  rd_req: counter,
  rd_bytes: counter,
  wr_req: counter,
  wr_bytes: counter,
});

/** What changes with the VM's status, and with what its guest uses. */
export const vmStatusView = z.object({
  name: z.string(),
  uuid: z.string(),
  state: z.string(),
  settled: z.boolean().describe('The state is not on its way to another: what was asked last is done, or has failed.'),
  node: z.string(),
  last_node: z.string().describe('The node it was migrated from; empty when it is at home.'),
  migrated: z.string().describe('"no", or "from" and the node.'),
  failed_reason: z.string(),
  node_limit: z.array(z.string()).nullable(),
  node_selector: z.string().nullable(),
  node_autostart: z.boolean(),
  migration_method: z.string().nullable(),
  migration_max_downtime: z.int().describe('Milliseconds.'),
  migration_target: z.string().nullable().describe('Where it is on its way to.'),
  migration_progress: migrationProgress.nullable(),
  last_migration: z
    .object({ from: z.string(), to: z.string(), outcome: z.string(), error: z.string().nullable(), elapsed_ms: z.int() })
    .nullable()
    .describe('How the last one ended; null while one is under way.'),
  profile: z.string().nullable(),
  tags: z.array(tag.extend({ type: z.literal('user') })),
  memory_stats: z.record(z.string(), z.number()).describe('KiB, as libvirt names them; empty while it does not run.'),
  vcpu_stats: z.object({ cpu_time: z.number(), user_time: z.number(), system_time: z.number() }).partial().describe('Nanoseconds; empty while it does not run.'),
  vnc: z.object({ listen: z.string().nullable(), port: z.int().nullable() }).describe('Where its screen is served.'),
});

/** What follows from its definition alone. */
export const vmDefinitionView = z.object({
  description: z.string(),
  memory: z.int().describe('MiB.'),
  vcpu: z.int(),
  vcpu_topology: z.string(),
  networks: z.array(vmNetworkView),
  type: z.string(),
  arch: z.string(),
  machine: z.string(),
  console: z.string(),
  emulator: z.string(),
  features: z.array(z.string()),
  disks: z.array(vmDiskView),
  controllers: z.array(z.object({ type: z.string(), model: z.string() })),
  snapshots: z.array(z.object({})),
  xml: z.string(),
});

/** One VM as clients see it. */
export const vmView = vmStatusView.extend(vmDefinitionView.shape);
export type VmView = z.infer<typeof vmView>;

export const vmStateView = vmView.pick({ name: true, state: true });
export const vmNodeView = vmView.pick({ name: true, node: true, last_node: true });
export const vmTagsView = vmView.pick({ name: true, tags: true });
export const vmConsoleView = z.object({ name: z.string(), data: z.string() });
export const vmMetaView = vmView.pick({
  name: true,
  node_limit: true,
  node_selector: true,
  node_autostart: true,
  migration_method: true,
  migration_max_downtime: true,
  profile: true,
});
