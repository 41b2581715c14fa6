import { z } from 'zod';
import { readDomainFacts, type DomainFacts } from '../../common/domain/domain-xml.ts';
import { isMoveUnderWay, shownNode, shownVmState } from '../../common/domain/vm-state.ts';
import { isAppError } from '../../common/errors.ts';
import { tag, type VmSpec } from '../../common/schema/vm.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import { migrationProgress, type VmStatus } from '../../common/schema/vm-status.ts';

const counter = z.number().describe('Since the guest began to run on its node; 0 while it does not run.');

const vmNetwork = z.object({
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

const vmDisk = z.object({
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
const vmStatusView = z.object({
  name: z.string(),
  uuid: z.string(),
  state: z.string(),
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
const vmDefinitionView = z.object({
  description: z.string(),
  memory: z.int().describe('MiB.'),
  vcpu: z.int(),
  vcpu_topology: z.string(),
  networks: z.array(vmNetwork),
  type: z.string(),
  arch: z.string(),
  machine: z.string(),
  console: z.string(),
  emulator: z.string(),
  features: z.array(z.string()),
  disks: z.array(vmDisk),
  controllers: z.array(z.object({ type: z.string(), model: z.string() })),
  snapshots: z.array(z.object({})),
  xml: z.string(),
});

/** One VM as clients see it. */
export const vmView = vmStatusView.extend(vmDefinitionView.shape);

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

/** The part of a VM's view that its status and metadata decide. */
export function presentVmStatus(spec: VmSpec, status: VmStatus | undefined, figures: VmFigures | undefined): z.infer<typeof vmStatusView> {
  const phase = status?.phase;
  const last = isMoveUnderWay(status) ? null : (status?.lastMigration ?? null);
  return {
    name: spec.name,
    uuid: spec.uuid,
    state: shownVmState(spec, status),
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

function presentNetwork(network: DomainFacts['networks'][number]): z.infer<typeof vmNetwork> {
  const { mac, ...rest } = network;
  return { ...rest, vni: vniOf(network), mac, ...NO_COUNTERS };
}

/** As with an interface's MAC, what its counters are found by stands right before them: withCounters relies on it. */
function presentDisk({ dev, ...rest }: DomainFacts['disks'][number]): z.infer<typeof vmDisk> {
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
