import { newVmId, nodeName, vmName, type NodeName, type VmId, type VmName } from '../../common/ids.ts';
import type { ManagedNetwork } from '../../common/schema/network.ts';
import type { NodeSpec, NodeStatistics, NodeStatus, Presence } from '../../common/schema/node.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';

export function aNodeName(name: string): NodeName {
  return nodeName.parse(name);
}

export function aVmName(name: string): VmName {
  return vmName.parse(name);
}

/** A UUID that is the same in each run: `aVmId(1)` ends in 1. */
export function aVmId(number: number): VmId {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}` as VmId;
}

/** The document as the mirror or the store holds it. */
export function versioned<T>(id: string, doc: T, version = 0): Versioned<T> {
  return { id, doc, version, createdZxid: 1, modifiedZxid: 1 + version };
}

/** A VM that is off, of 512 MiB, on hv1. */
export function aVm(given: Partial<VmSpec> = {}): VmSpec {
  const uuid = given.uuid ?? newVmId();
  const name = given.name ?? aVmName('guest');
  const memoryMib = given.memoryMib ?? 512;
  const vcpus = given.vcpus ?? 1;
  return {
    uuid,
    name,
    xml: aDomainXml({ uuid, name, memoryMib, vcpus }),
    memoryMib,
    vcpus,
    interfaces: [],
    node: aNodeName('hv1'),
    homeNode: null,
    placement: { generation: 0, method: 'any', previousHome: null },
    power: { action: 'stop', generation: 0 },
    growth: { sizes: {}, generation: 0 },
    nodeLimit: null,
    selector: null,
    autostart: false,
    migrationMethod: null,
    migrationMaxDowntimeMs: 300,
    onFlushBlocked: 'block',
    profile: null,
    tags: [],
    deletion: null,
    ...given,
  };
}

/** A VM that was asked to run on hv1, as its first request. */
export function aRunningVm(given: Partial<VmSpec> = {}): VmSpec {
  return aVm({ power: { action: 'start', generation: 1 }, ...given });
}

/** A guest that runs on hv1 and answers the first request. */
export function aStatus(given: Partial<VmStatus> = {}): VmStatus {
  return {
    owner: aNodeName('hv1'),
    epoch: 1,
    phase: { kind: 'running' },
    powerGeneration: 1,
    growthGeneration: 0,
    observedVersion: 0,
    startedVersion: 0,
    lastMigration: null,
    ...given,
  };
}

/** A VM that nobody owns, its first request answered. */
export function anOffStatus(given: Partial<VmStatus> = {}): VmStatus {
  return aStatus({ owner: null, epoch: 2, phase: { kind: 'stopped' }, startedVersion: null, ...given });
}

export interface NodeGiven {
  wish?: 'ready' | 'flush';
  state?: NodeStatus['domains']['state'];
  generation?: number;
  daemonState?: NodeStatus['daemonState'];
  coordinatorState?: NodeStatus['coordinatorState'];
  statistics?: Partial<NodeStatistics>;
}

/** A live, ready node of 8,192 MiB, as its three documents. */
export function aNode(name: string, given: NodeGiven = {}): { spec: NodeSpec; status: NodeStatus; presence: Presence } {
  const node = aNodeName(name);
  const wish = given.wish ?? 'ready';
  const generation = given.generation ?? 1;
  return {
    spec: { name: node, domains: { wish, generation } },
    status: {
      name: node,
      daemonState: given.daemonState ?? 'run',
      coordinatorState: given.coordinatorState ?? 'secondary',
      domains: { state: given.state ?? (wish === 'ready' ? 'ready' : 'flushed'), generation, blocked: [] },
      facts: { cpuCount: 8, kernel: '6.12', os: 'Debian', arch: 'x86_64', pvcVersion: '0.1.0', libvirtVersion: '11.3.0', qemuVersion: '10.0.0' },
      statistics: {
        load: 0,
        memoryTotalMib: 8_192,
        memoryUsedMib: 0,
        memoryFreeMib: 8_192,
        memoryAllocatedMib: 0,
        memoryProvisionedMib: 0,
        vcpusAllocated: 0,
        runningDomains: [],
        ...given.statistics,
      },
    },
    presence: { node, instance: `${name}-1`, address: '10.0.0.1', version: '0.1.0' },
  };
}

/** A managed network 5 of 10.5.0.0/24 and 2001:db8:5::/64 with DHCP. */
export function aManagedNetwork(given: Partial<ManagedNetwork> = {}): ManagedNetwork {
  const vni = given.vni ?? 5;
  return {
    type: 'managed',
    vni,
    description: `net${vni}`,
    mtu: null,
    domain: `net${vni}.local`,
    nameServers: [],
    ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: { start: '10.5.0.100', end: '10.5.0.199' } },
    ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::1' },
    nat: false,
    antiSpoofing: true,
    ...given,
  };
}

export interface DomainXmlGiven {
  /** null: the definition has none. */
  uuid?: string | null;
  name?: string;
  memoryMib?: number;
  vcpus?: number;
  /** Further elements of `<devices>`. */
  devices?: string;
  /** Further elements of `<domain>`. */
  extra?: string;
}

/** A definition that libvirt would take. */
export function aDomainXml(given: DomainXmlGiven = {}): string {
  const uuid = given.uuid === null ? '' : `<uuid>${given.uuid ?? newVmId()}</uuid>`;
  return `<domain type='kvm'>
  <name>${given.name ?? 'guest'}</name>
  ${uuid}
  <memory unit='MiB'>${given.memoryMib ?? 512}</memory>
  <vcpu placement='static'>${given.vcpus ?? 1}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  ${given.extra ?? ''}
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><serial type='pty'/>${given.devices ?? ''}</devices>
</domain>`;
}
