import type { z } from 'zod';
import { readDomainFacts, type DomainFacts } from '../../common/domain/domain-xml.ts';
import { isMoveUnderWay, isSettled, shownNode, shownVmState } from '../../common/domain/vm-state.ts';
import { isAppError } from '../../common/errors.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import type { vmDefinitionView, vmDiskView, vmMetaView, vmNetworkView, vmStatusView, vmTagsView } from '../../common/view/vm.ts';

/** The part of a VM's view that its status and metadata decide. */
export function presentVmStatus(spec: VmSpec, status: VmStatus | undefined, figures: VmFigures | undefined): z.infer<typeof vmStatusView> {
  const phase = status?.phase;
  const last = isMoveUnderWay(status) ? null : (status?.lastMigration ?? null);
  return {
    name: spec.name,
    uuid: spec.uuid,
    state: shownVmState(spec, status),
    settled: isSettled(spec, status),
    node: shownNode(spec, status),
    ...presentHome(spec),
    failed_reason: failedReason(spec, status),
    ...presentVmRules(spec),
    migration_target: phase?.kind === 'migrating' ? phase.target : null,
    migration_progress: phase?.kind === 'migrating' ? phase.progress : null,
    last_migration: last && { from: last.from, to: last.to, outcome: last.outcome, error: last.error, elapsed_ms: last.elapsedMs },
    tags: presentTags(spec),
    memory_stats: figures?.memory ?? {},
    vcpu_stats: presentCpu(figures),
    vnc: figures?.vnc ?? { listen: null, port: null },
  };
}

function presentCpu(figures: VmFigures | undefined): z.infer<typeof vmStatusView>['vcpu_stats'] {
  if (figures === undefined) return {};
  const [cpu_time, user_time, system_time] = figures.cpuNs;
  return { cpu_time, user_time, system_time };
}

/** Why it does not run; a removal that its node has not carried out yet is told here, because no state that clients know says it. */
function failedReason(spec: VmSpec, status: VmStatus | undefined): string {
  if (spec.deletion !== null) return 'the VM is being removed';
  return status?.phase.kind === 'failed' ? status.phase.reason : '';
}

export function presentHome(spec: VmSpec): { last_node: string; migrated: string } {
  return { last_node: spec.homeNode ?? '', migrated: spec.homeNode === null ? 'no' : `from ${spec.homeNode}` };
}

export function presentTags(spec: VmSpec): z.infer<typeof vmTagsView>['tags'] {
  return spec.tags.map((one) => ({ name: one.name, type: 'user', protected: one.protected }));
}

export function presentVmRules(spec: VmSpec): Omit<z.infer<typeof vmMetaView>, 'name'> {
  return {
    node_limit: spec.nodeLimit,
    node_selector: spec.selector,
    node_autostart: spec.autostart,
    migration_method: spec.migrationMethod,
    migration_max_downtime: spec.migrationMaxDowntimeMs,
    profile: spec.profile,
  };
}

/** The part of a VM's view that its definition decides. Parses the XML, which is the dear part. */
export function presentVmDefinition(spec: VmSpec): z.infer<typeof vmDefinitionView> {
  const facts = factsOf(spec);
  return {
    description: facts?.description ?? 'N/A',
    memory: spec.memoryMib,
    vcpu: spec.vcpus,
    vcpu_topology: facts?.vcpuTopology ?? 'N/A',
    networks: (facts?.networks ?? []).map(presentNetwork),
    type: facts?.type ?? '',
    arch: facts?.arch ?? '',
    machine: facts?.machine ?? '',
    console: facts?.console ?? '',
    emulator: facts?.emulator ?? '',
    features: facts?.features ?? [],
    disks: (facts?.disks ?? []).map(presentDisk),
    controllers: facts?.controllers ?? [],
    snapshots: [],
    xml: spec.xml,
  };
}

/** A definition that an older version took and this one refuses must not hide its VM. */
function factsOf(spec: VmSpec): DomainFacts | undefined {
  try {
    return readDomainFacts(spec.xml);
  } catch (error) {
    if (isAppError(error, 'invalid', 'too-large')) return undefined;
    throw error;
  }
}

const NO_COUNTERS = { rd_bytes: 0, rd_packets: 0, rd_errors: 0, rd_drops: 0, wr_bytes: 0, wr_packets: 0, wr_errors: 0, wr_drops: 0 };

function presentNetwork(network: DomainFacts['networks'][number]): z.infer<typeof vmNetworkView> {
  const { mac, ...rest } = network;
  return { ...rest, vni: vniOf(network), mac, ...NO_COUNTERS };
}

/** As with an interface's MAC, what its counters are found by stands right before them: withCounters relies on it. */
function presentDisk({ dev, ...rest }: DomainFacts['disks'][number]): z.infer<typeof vmDiskView> {
  return { ...rest, dev, rd_req: 0, rd_bytes: 0, wr_req: 0, wr_bytes: 0 };
}

const DISK_COUNTERS = /"dev":("(?:[^"\\]|\\.)*"),"rd_req":[\d.e+]+,"rd_bytes":[\d.e+]+,"wr_req":[\d.e+]+,"wr_bytes":[\d.e+]+/gu;
const INTERFACE_COUNTERS = /"mac":("(?:[^"\\]|\\.)*"),"rd_bytes":[\d.e+]+,"rd_packets":[\d.e+]+,"rd_errors":[\d.e+]+,"rd_drops":[\d.e+]+,"wr_bytes":[\d.e+]+,"wr_packets":[\d.e+]+,"wr_errors":[\d.e+]+,"wr_drops":[\d.e+]+/gu;

/**
 * The JSON text of presentVmDefinition, up to its XML, with these counters in the place of those that it has. The text is patched
 * because the counters of each running VM change every few seconds, and reading its definition again takes several times as long.
 * Nothing within a string can look like a counter: there each quote is escaped.
 */
export function withCounters(text: string, figures: VmFigures | undefined): string {
  return text
    .replace(DISK_COUNTERS, (_all, dev: string) => {
      const [rd_req, rd_bytes, wr_req, wr_bytes] = own(figures?.disks, unquoted(dev)) ?? NO_DISK_COUNTERS;
      return `"dev":${dev},"rd_req":${rd_req},"rd_bytes":${rd_bytes},"wr_req":${wr_req},"wr_bytes":${wr_bytes}`;
    })
    .replace(INTERFACE_COUNTERS, (_all, mac: string) => {
      const [rdBytes, rdPackets, rdErrors, rdDrops, wrBytes, wrPackets, wrErrors, wrDrops] = own(figures?.interfaces, unquoted(mac).toLowerCase()) ?? NO_INTERFACE_COUNTERS;
      const read = `"rd_bytes":${rdBytes},"rd_packets":${rdPackets},"rd_errors":${rdErrors},"rd_drops":${rdDrops}`;
      return `"mac":${mac},${read},"wr_bytes":${wrBytes},"wr_packets":${wrPackets},"wr_errors":${wrErrors},"wr_drops":${wrDrops}`;
    });
}

const NO_DISK_COUNTERS = [0, 0, 0, 0] as const;
const NO_INTERFACE_COUNTERS = [0, 0, 0, 0, 0, 0, 0, 0] as const;

/** The key is a user's text, which may be `constructor`. */
function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

function unquoted(json: string): string {
  return json.includes('\\') ? String(JSON.parse(json)) : json.slice(1, -1);
}

/** The network's number from its bridge's name; the peer's form for interfaces without one. */
function vniOf(network: { type: string; source: string }): string {
  return network.type === 'bridge' ? network.source.replace(/^(vmbr|br)/u, '') : `${network.type}:${network.source}`;
}
