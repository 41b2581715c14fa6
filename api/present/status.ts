import { shownVmState } from '../../common/domain/vm-state.ts';
import { MAINTENANCE_ID, PRIMARY_ROLE } from '../../common/schema/resources.ts';
import { PVC_VERSION } from '../../common/version.ts';
import type { StatusView } from '../../common/view/status.ts';
import type { NodeView } from '../../common/view/node.ts';
import type { ApiMirror } from '../cluster.ts';
import type { OsdState, StorageSpace, StorageSummary } from '../storage/storage-cluster.ts';
import { presentNode } from './node.ts';

interface Problem {
  id: string;
  health_delta: number;
  text: string;
  node: string | undefined;
}

const DELTA_NODE_DOWN = 50;
const DELTA_NODE_NOT_READY = 10;
const DELTA_VM_FAILED = 10;
const DELTA_NETWORK_FAULTY = 10;
const DELTA_STORAGE_ERROR = 50;
const DELTA_STORAGE_WARNING = 10;
const HEALTH_MAX = 100;
const BYTES_OF_KIB = 1_024;

/** The node that holds the primary's lease. */
export function primaryNode(mirror: ApiMirror): string | undefined {
  return mirror.get('lease', PRIMARY_ROLE)?.doc.node;
}

/** The storage as it was last seen. */
export interface SeenStorage {
  readonly summary: StorageSummary | undefined;
  /** Why it could not be seen since. */
  readonly fault: string | undefined;
}

export function presentStatus({ mirror, storage, upstreamIp }: { mirror: ApiMirror; storage: SeenStorage | undefined; upstreamIp: string }): StatusView {
  const nodes = [...mirror.all('node').keys()].sort().map((name) => presentNode(mirror, name));
  const vms = shownVms(mirror);
  const problems = [...nodes.flatMap(nodeProblems), ...vms.flatMap(vmProblems), ...networkProblems(mirror), ...storageProblems(storage)];
  const maintenance = mirror.get('maintenance', MAINTENANCE_ID)?.doc.on === true;
  const primary = primaryNode(mirror);
  if (primary === undefined) problems.push({ id: 'NO_PRIMARY', health_delta: HEALTH_MAX, text: 'no node is primary', node: undefined });
  return {
    health: maintenance ? 'Maintenance' : problems.length === 0 ? 'Optimal' : 'Degraded',
    cluster_name: 'pvc',
    cluster_health: { health: healthAfter(problems), messages: problems.map(({ id, health_delta, text }) => ({ id, health_delta, text })) },
    node_health: Object.fromEntries(nodes.map((node) => [node.name, nodeHealth(node.name, problems)])),
    maintenance: maintenance ? 'true' : 'false',
    primary_node: primary ?? null,
    pvc_version: PVC_VERSION,
    upstream_ip: upstreamIp,
    nodes: countsOf(nodes.map((node) => `${node.daemon_state},${node.domain_state}`)),
    vms: countsOf(vms.map((vm) => vm.state)),
    networks: mirror.all('network').size,
    ...storageCounts(storage?.summary),
    resources: resourcesOf(nodes, storage?.summary),
    detail: {
      node: nodes.map(({ name, daemon_state, domain_state }) => ({ name, daemon_state, domain_state })),
      vm: vms,
      osd: (storage?.summary?.osds ?? []).map((osd) => ({ id: String(osd.id), ...statesOf(osd) })),
      faults: [],
    },
  };
}

function storageCounts(summary: StorageSummary | undefined): Pick<StatusView, 'osds' | 'pools' | 'volumes' | 'snapshots'> {
  const osds = (summary?.osds ?? []).map((osd) => Object.values(statesOf(osd)).join(','));
  return { osds: countsOf(osds), pools: summary?.pools ?? 0, volumes: summary?.volumes ?? 0, snapshots: summary?.snapshots ?? 0 };
}

function statesOf(osd: OsdState): { up: 'up' | 'down'; in: 'in' | 'out' } {
  return { up: osd.up ? 'up' : 'down', in: osd.in ? 'in' : 'out' };
}

/** Ceph's own complaints, and that it cannot be asked. */
function storageProblems(storage: SeenStorage | undefined): Problem[] {
  if (storage === undefined) return [];
  if (storage.fault !== undefined) return [{ id: 'STORAGE_NOT_SEEN', health_delta: DELTA_STORAGE_ERROR, text: `the storage cannot be looked at: ${storage.fault}`, node: undefined }];
  return (storage.summary?.checks ?? []).map(({ id, isError, message }) => ({ id: `CEPH_${id}`, health_delta: isError ? DELTA_STORAGE_ERROR : DELTA_STORAGE_WARNING, text: `Ceph: ${message}`, node: undefined }));
}

function shownVms(mirror: ApiMirror): StatusView['detail']['vm'] {
  return Array.from(mirror.all('vm').values(), ({ doc }) => ({
    uuid: doc.uuid,
    name: doc.name,
    state: shownVmState(doc, mirror.get('vm-status', doc.uuid)?.doc),
  }));
}

function countsOf(states: readonly string[]): Record<string, number> {
  const found: Record<string, number> = { total: states.length };
  for (const state of states) found[state] = (found[state] ?? 0) + 1;
  return found;
}

function nodeProblems(node: NodeView): Problem[] {
  if (node.daemon_state !== 'run') {
    return [{ id: `NODE_${node.name}_DOWN`, health_delta: DELTA_NODE_DOWN, text: `node ${node.name} is ${node.daemon_state}`, node: node.name }];
  }
  if (node.domain_state === 'ready') return [];
  return [{ id: `NODE_${node.name}_NOT_READY`, health_delta: DELTA_NODE_NOT_READY, text: `node ${node.name} is ${node.domain_state}`, node: node.name }];
}

function vmProblems(vm: { name: string; state: string }): Problem[] {
  return vm.state === 'fail' ? [{ id: `VM_${vm.name}_FAILED`, health_delta: DELTA_VM_FAILED, text: `VM ${vm.name} has failed`, node: undefined }] : [];
}

/** What live nodes complain of; a dead one has another problem. */
function networkProblems(mirror: ApiMirror): Problem[] {
  const complaints = [...mirror.all('network-status').values()].filter(({ doc }) => mirror.get('presence', doc.node) !== undefined);
  return complaints.flatMap(({ doc: { node, networks } }) =>
    networks.flatMap(({ vni, error }) =>
      error === null ? [] : [{ id: `NETWORK_${vni}_${node}`, health_delta: DELTA_NETWORK_FAULTY, text: `network ${vni} on node ${node}: ${error}`, node }],
    ),
  );
}

function healthAfter(problems: readonly Problem[]): number {
  return Math.max(0, HEALTH_MAX - problems.reduce((sum, problem) => sum + problem.health_delta, 0));
}

function nodeHealth(name: string, problems: readonly Problem[]): StatusView['node_health'][string] {
  const own = problems.filter((problem) => problem.node === name);
  return { health: healthAfter(own), messages: own.map((problem) => problem.text) };
}

function resourcesOf(nodes: readonly NodeView[], storage: StorageSummary | undefined): StatusView['resources'] {
  const sum = (of: (node: NodeView) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  const memory = {
    total: sum((node) => node.memory.total),
    free: sum((node) => node.memory.free),
    used: sum((node) => node.memory.used),
    allocated: sum((node) => node.memory.allocated),
    provisioned: sum((node) => node.memory.provisioned),
  };
  const cpu = { total: sum((node) => node.cpu_count), load: Math.round(sum((node) => node.load) * 100) / 100, allocated: sum((node) => node.vcpu.allocated) };
  return {
    memory: { ...memory, utilization: percent(memory.used, memory.total) },
    cpu: { ...cpu, utilization: percent(cpu.load, cpu.total) },
    disk: diskOf(storage?.space),
  };
}

/** In KiB. */
function diskOf(space: StorageSpace | undefined): StatusView['resources']['disk'] {
  const { totalBytes, usedBytes, freeBytes } = space ?? { totalBytes: 0, usedBytes: 0, freeBytes: 0 };
  const kib = (bytes: number): number => Math.round(bytes / BYTES_OF_KIB);
  return { total: kib(totalBytes), used: kib(usedBytes), free: kib(freeBytes), utilization: percent(usedBytes, totalBytes) };
}

/** Two decimals. */
function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((part / whole) * 10_000) / 100;
}
