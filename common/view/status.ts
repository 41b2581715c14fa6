import { z } from 'zod';

const counts = z.record(z.string(), z.int()).describe('"total", and each combination of states that occurs.');
const usage = { utilization: z.number().describe('Percent.') };

/** The cluster at a glance: what the v0.6 and the v1 command line read. */
export const statusView = z.object({
  health: z.enum(['Optimal', 'Degraded', 'Maintenance']),
  cluster_name: z.string(),
  cluster_health: z.object({ health: z.int(), messages: z.array(z.object({ id: z.string(), health_delta: z.int(), text: z.string() })) }),
  node_health: z.record(z.string(), z.object({ health: z.int(), messages: z.array(z.string()) })),
  maintenance: z.enum(['true', 'false']),
  primary_node: z.string().nullable(),
  pvc_version: z.string(),
  upstream_ip: z.string(),
  nodes: counts,
  vms: counts,
  osds: counts,
  networks: z.int(),
  pools: z.int(),
  volumes: z.int(),
  snapshots: z.int(),
  resources: z.object({
    memory: z.object({ total: z.int(), free: z.int(), used: z.int(), allocated: z.int(), provisioned: z.int(), ...usage }),
    cpu: z.object({ total: z.int(), load: z.number(), allocated: z.int(), ...usage }),
    disk: z.object({ total: z.int(), used: z.int(), free: z.int(), ...usage }),
  }),
  detail: z.object({
    node: z.array(z.object({ name: z.string(), daemon_state: z.string(), domain_state: z.string() })),
    vm: z.array(z.object({ uuid: z.string(), name: z.string(), state: z.string() })),
    osd: z.array(z.object({ id: z.string(), up: z.enum(['up', 'down']), in: z.enum(['in', 'out']) })),
    faults: z.array(z.object({})),
  }),
});
export type StatusView = z.infer<typeof statusView>;
