import { createHash } from 'node:crypto';
import { nodeName, vmId, vmName, type NodeName, type VmId, type VmName } from '../../common/ids.ts';
import { pathOf, type Doc, type Kind } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';

/** Writes in flight: enough to keep ZooKeeper busy. */
const IN_FLIGHT = 200;

/** Enough for hosts that never fill up, so that the figures do not depend on who has room. */
const NODE_MEMORY_MIB = 64_000_000;
const VM_MEMORY_MIB = 512;

export const NODES: readonly NodeName[] = ['hv1', 'hv2', 'hv3', 'hv4', 'hv5', 'hv6', 'hv7', 'hv8'].map((name) => nodeName.parse(name));

export interface SeededVm {
  uuid: VmId;
  name: VmName;
  /** Every second VM runs, the others are off. */
  runs: boolean;
}

/** The VM of this number: the same in every run. */
export function seededVm(number: number): SeededVm {
  const hex = createHash('sha256').update(`vm ${number}`).digest('hex');
  const uuid = vmId.parse(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`);
  return { uuid, name: vmName.parse(`vm-${number}`), runs: number % 2 === 0 };
}

type Document = { [K in Kind]: { kind: K; id: string; doc: Doc<K> } }[Kind];

/** Nodes that are alive and ready. Their presence ends with the store's session. */
export async function seedNodes(store: Store): Promise<void> {
  await writeAll(store, NODES.flatMap(nodeDocuments));
}

/** The VMs numbered from `from` up to and without `to`. */
export async function seedVms(store: Store, from: number, to: number): Promise<void> {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index);
  await writeAll(store, numbers.flatMap(vmDocuments));
}

async function writeAll(store: Store, documents: readonly Document[]): Promise<void> {
  // The first of each kind alone, so that parallel writers need not create its folder together.
  const kinds = new Set<Kind>();
  const first = documents.filter(({ kind }) => !kinds.has(kind) && kinds.add(kind));
  for (const document of first) await write(store, document);
  const rest = documents.filter((document) => !first.includes(document)).values();
  const worker = async (): Promise<void> => {
    for (const document of rest) await write(store, document);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

async function write(store: Store, document: Document): Promise<void> {
  await store.create(pathOf(document.kind, document.id), document.doc, { ephemeral: document.kind === 'presence' });
}

function nodeDocuments(name: NodeName): Document[] {
  const facts = { cpuCount: 64, kernel: '6.1.0', os: 'Debian GNU/Linux 12', arch: 'x86_64', pvcVersion: '0.1.0', libvirtVersion: '9.0.0', qemuVersion: '7.2.0' };
  const statistics = {
    load: 1,
    memoryTotalMib: NODE_MEMORY_MIB,
    memoryUsedMib: 1_000,
    memoryFreeMib: NODE_MEMORY_MIB - 1_000,
    memoryAllocatedMib: 0,
    memoryProvisionedMib: 0,
    vcpusAllocated: 0,
    runningDomains: [],
  };
  return [
    { kind: 'node', id: name, doc: { name, domains: { wish: 'ready', generation: 1 } } },
    {
      kind: 'node-status',
      id: name,
      doc: { name, daemonState: 'run', coordinatorState: 'client', domains: { state: 'ready', generation: 1, blocked: [] }, facts, statistics },
    },
    { kind: 'presence', id: name, doc: { node: name, instance: `${name}-bench`, address: '127.0.0.1', version: '0.1.0' } },
  ];
}

/** Pairs of VMs, one running and one off, go round the nodes. */
export function isSeededAt(node: NodeName, number: number): boolean {
  return NODES[Math.floor(number / 2) % NODES.length] === node;
}

/** Of the VM's first or second network card. */
export function macOf(uuid: VmId, card: 1 | 2): string {
  return `52:54:00:${uuid.slice(0, 2)}:${uuid.slice(2, 4)}:0${card}`;
}

function vmDocuments(number: number): Document[] {
  const { uuid, name, runs } = seededVm(number);
  const node = NODES.find((one) => isSeededAt(one, number)) ?? nodeName.parse('hv1');
  return [
    { kind: 'vm-name', id: name, doc: { uuid } },
    { kind: 'vm', id: uuid, doc: vmSpec(uuid, name, { node, runs }) },
    {
      kind: 'vm-status',
      id: uuid,
      doc: {
        owner: runs ? node : null,
        epoch: 1,
        phase: { kind: runs ? 'running' : 'stopped' },
        powerGeneration: 1,
        growthGeneration: 0,
        observedVersion: 0,
        startedVersion: runs ? 0 : null,
        lastMigration: null,
      },
    },
  ];
}

function vmSpec(uuid: VmId, name: VmName, { node, runs }: { node: NodeName; runs: boolean }): Doc<'vm'> {
  return {
    uuid,
    name,
    xml: domainXml(uuid, name),
    memoryMib: VM_MEMORY_MIB,
    vcpus: 1,
    interfaces: [],
    node,
    homeNode: null,
    placement: { generation: 0, method: 'any', previousHome: null },
    power: { action: runs ? 'start' : 'stop', generation: 1 },
    growth: { sizes: {}, generation: 0 },
    nodeLimit: null,
    selector: null,
    autostart: true,
    migrationMethod: null,
    migrationMaxDowntimeMs: 300,
    onFlushBlocked: 'block',
    profile: null,
    tags: [{ name: 'bench', protected: false }],
    deletion: null,
  };
}

/** Two disks, two network cards and the usual controllers: about 3 kB, what such clusters hold per VM. */
function domainXml(uuid: VmId, name: VmName): string {
  const disk = (letter: string): string => `    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap'/>
      <auth username='libvirt'><secret type='ceph' uuid='5f0c2b1e-9a37-4d0e-8a6b-3f1d7c9e4b20'/></auth>
      <source protocol='rbd' name='vms/${name}_sd${letter}'>
        <host name='ceph-mon-1.storage.example.net' port='6789'/>
        <host name='ceph-mon-2.storage.example.net' port='6789'/>
        <host name='ceph-mon-3.storage.example.net' port='6789'/>
      </source>
      <target dev='sd${letter}' bus='scsi'/>
      <address type='drive' controller='0' bus='0' target='0' unit='${letter === 'a' ? 0 : 1}'/>
    </disk>
`;
  const card = (at: 1 | 2): string => `    <interface type='bridge'>
      <mac address='${macOf(uuid, at)}'/>
      <source bridge='vmbr100${at}'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x0${at + 3}' function='0x0'/>
    </interface>
`;
  return `<domain type='kvm'>
  <name>${name}</name>
  <uuid>${uuid}</uuid>
  <description>Benchmark guest; its definition has the size and the parts that a production guest has</description>
  <memory unit='MiB'>${VM_MEMORY_MIB}</memory>
  <currentMemory unit='MiB'>${VM_MEMORY_MIB}</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <cpu mode='custom' match='exact'><topology sockets='1' cores='1' threads='1'/></cpu>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><bootmenu enable='yes'/><boot dev='hd'/></os>
  <features><acpi/><apic/><pae/></features>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <devices>
    <emulator>/usr/bin/kvm</emulator>
${disk('a')}${disk('b')}${card(1)}${card(2)}    <controller type='usb' index='0' model='none'/>
    <controller type='pci' index='0' model='pci-root'/>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <serial type='pty'><log file='/var/log/libvirt/pvc/${name}.log' append='on'/><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0'/>
    <video><model type='vga' vram='16384' heads='1' primary='yes'/></video>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
`;
}
