import { z } from 'zod';
import { shownCoordinatorState, shownDomainsState } from '../../common/domain/node-state.ts';
import type { DaemonState, NodeStatus } from '../../common/schema/node.ts';
import { PRIMARY_WISH_ID } from '../../common/schema/resources.ts';
import type { ApiMirror } from '../cluster.ts';

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

/** The node as its daemon last described it; `dead` when the daemon said that it was at work and its session is gone. */
export function presentNode(mirror: ApiMirror, name: string): NodeView {
  const spec = mirror.get('node', name)?.doc;
  const status = mirror.get('node-status', name)?.doc;
  return {
    name,
    daemon_state: shownDaemonState(mirror, name),
    coordinator_state: shownCoordinatorState(status, mirror.get('primary-wish', PRIMARY_WISH_ID)?.doc, isAlive(mirror, name)),
    domain_state: spec === undefined ? 'flushed' : shownDomainsState(spec, status),
    health: 'N/A',
    health_plugins: [],
    health_details: [],
    ...presentFacts(status),
    ...presentStatistics(mirror, status),
    flush_blocked: status?.domains.blocked ?? [],
    interfaces: {},
  };
}

function shownDaemonState(mirror: ApiMirror, name: string): DaemonState {
  const said = mirror.get('node-status', name)?.doc.daemonState ?? 'stop';
  return !isAlive(mirror, name) && said !== 'stop' ? 'dead' : said;
}

function isAlive(mirror: ApiMirror, name: string): boolean {
  return mirror.get('presence', name) !== undefined;
}

function presentFacts(status: NodeStatus | undefined): Pick<NodeView, 'pvc_version' | 'cpu_count' | 'kernel' | 'os' | 'arch' | 'libvirt_version' | 'qemu_version'> {
  const facts = status?.facts;
  return {
    pvc_version: facts?.pvcVersion ?? '',
    cpu_count: facts?.cpuCount ?? 0,
    kernel: facts?.kernel ?? '',
    os: facts?.os ?? '',
    arch: facts?.arch ?? '',
    libvirt_version: facts?.libvirtVersion ?? '',
    qemu_version: facts?.qemuVersion ?? '',
  };
}

function presentStatistics(mirror: ApiMirror, status: NodeStatus | undefined): Pick<NodeView, 'load' | 'domains_count' | 'running_domains' | 'vcpu' | 'memory'> {
  const statistics = status?.statistics;
  const running = statistics?.runningDomains ?? [];
  return {
    load: statistics?.load ?? 0,
    domains_count: running.length,
    running_domains: running.map((uuid) => mirror.get('vm', uuid)?.doc.name ?? uuid),
    vcpu: { total: status?.facts.cpuCount ?? 0, allocated: statistics?.vcpusAllocated ?? 0 },
    memory: {
      total: statistics?.memoryTotalMib ?? 0,
      allocated: statistics?.memoryAllocatedMib ?? 0,
      provisioned: statistics?.memoryProvisionedMib ?? 0,
      used: statistics?.memoryUsedMib ?? 0,
      free: statistics?.memoryFreeMib ?? 0,
    },
  };
}
