import { z } from 'zod';

/** One node as clients see it. */
export const nodeView = z.object({
  name: z.string(),
  daemon_state: z.string(),
  coordinator_state: z.string(),
  domain_state: z.string(),
  pvc_version: z.string(),
  health: z.union([z.int(), z.literal('N/A')]),
  health_plugins: z.array(z.string()),
  health_details: z.array(z.object({})),
  cpu_count: z.int(),
  kernel: z.string(),
  os: z.string(),
  arch: z.string(),
  libvirt_version: z.string(),
  qemu_version: z.string(),
  load: z.number(),
  domains_count: z.int(),
  running_domains: z.array(z.string()).describe('Names.'),
  flush_blocked: z.array(z.object({ uuid: z.string(), name: z.string(), why: z.string() })).describe('VMs that the last flush could not move.'),
  vcpu: z.object({ total: z.int(), allocated: z.int() }),
  memory: z
    .object({ total: z.int(), allocated: z.int(), provisioned: z.int(), used: z.int(), free: z.int() })
    .describe('MiB.'),
  interfaces: z.object({}),
});
export type NodeView = z.infer<typeof nodeView>;

export const nodeDaemonStateView = nodeView.pick({ name: true, daemon_state: true });
export const nodeCoordinatorStateView = nodeView.pick({ name: true, coordinator_state: true });
export const nodeDomainStateView = nodeView.pick({ name: true, domain_state: true });
