import { shownCoordinatorState, shownDomainsState } from '../../common/domain/node-state.ts';
import type { DaemonState, NodeStatus } from '../../common/schema/node.ts';
import { PRIMARY_WISH_ID } from '../../common/schema/resources.ts';
import type { NodeView } from '../../common/view/node.ts';
import type { ApiMirror } from '../cluster.ts';

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
