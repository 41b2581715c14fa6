import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import { wantsToRun } from '../../common/domain/placement.ts';
import { vmId, type VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { createMirror, type Mirror } from '../../common/mirror/mirror.ts';
import type { OperationContext } from '../../common/operations/context.ts';
import { dhcpReservationOperations, type DhcpReservationOperations } from '../../common/operations/dhcp-reservation.ts';
import { networkAclOperations, type NetworkAclOperations } from '../../common/operations/network-acl.ts';
import { networkOperations, type NetworkOperations } from '../../common/operations/network.ts';
import { nodeOperations, type NodeOperations } from '../../common/operations/node.ts';
import { OccupancyLedger } from '../../common/operations/occupancy-ledger.ts';
import { vmOperations, type VmOperations } from '../../common/operations/vm.ts';
import { MIRRORED, RESOURCES } from '../../common/schema/resources.ts';
import { migrationMethod, selector, type VmSpec } from '../../common/schema/vm.ts';
import { volumeText } from '../../common/schema/volume.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import type { Store } from '../../common/store/store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { SimulatedHosts } from './simulated-hosts.ts';
import { macOf, networkFaults, networkPlan } from './simulated-networks.ts';
import { SimulatedNode } from './simulated-node.ts';
import { runs, simulationEvent, SimulationRecord, type SimulationEvent } from './simulated-record.ts';
import { SimulatedVolumes } from './simulated-volumes.ts';
import { VirtualClock } from './virtual-clock.ts';

export const guestBehaviour = z.strictObject({
  powerButton: z.enum(['obeys', 'ignores']).optional(),
  powerOffMs: z.number().optional(),
  destroyedAs: z.enum(['destroyed', 'crashed']).optional(),
  startMs: z.number().optional(),
  startRefusal: z.string().nullable().optional(),
  passMs: z.number().optional(),
  needsDowntimeMs: z.number().optional(),
  switchOverMs: z.number().optional(),
  migrationFailure: z.enum(['none', 'begin', 'pass', 'switch-over']).optional(),
  brokenSwitchOver: z.enum(['source-runs', 'source-paused', 'target-runs']).optional(),
});

export const vmPlan = z.strictObject({
  name: z.string(),
  memoryMib: z.number().default(512),
  vcpus: z.number().default(1),
  /** Defined here. */
  on: z.string().optional(),
  running: z.boolean().default(true),
  nodeLimit: z.array(z.string()).optional(),
  selector: selector.optional(),
  migrationMethod: migrationMethod.optional(),
  autostart: z.boolean().optional(),
  onFlushBlocked: z.enum(['block', 'shutdown']).optional(),
  guest: guestBehaviour.optional(),
  /** VNIs that it has an interface in. */
  networks: z.array(z.number()).default([]),
  /** Volumes of the pool vms that are its disks, in a cluster with storage. */
  volumes: z.array(z.string()).default([]),
});
export type VmPlan = z.infer<typeof vmPlan>;

/** Which coordinator wins an election is chance: scenarios of the primary follow it, with two coordinators. */
const FOLLOWED_UNLESS_TOLD: readonly SimulationEvent['event'][] = ['guest', 'owner', 'phase', 'place', 'domains', 'answer', 'migration', 'vm', 'name', 'power'];

/** cluster.json of a scenario. */
export const clusterPlan = z.strictObject({
  seed: z.number().default(1),
  nodes: z.record(
    z.string(),
    z.strictObject({ memoryMib: z.number().default(8_192), load: z.number().default(0), coordinator: z.boolean().default(true), initial: z.enum(['ready', 'flushed']).default('ready') }),
  ),
  vms: z.array(vmPlan).default([]),
  networks: z.array(networkPlan).default([]),
  /** The cluster has Ceph. */
  storage: z.boolean().default(false),
  /** Moves at once in a flush. */
  parallel: z.number().default(4),
  /** Kinds of events that expected.jsonl has. */
  follow: z.array(simulationEvent.shape.event).default([...FOLLOWED_UNLESS_TOLD]),
});
export type ClusterPlan = z.infer<typeof clusterPlan>;

/** A process that asks: the API, or another one like it. */
export interface SimulatedClient {
  context: OperationContext;
  mirror: Mirror<typeof RESOURCES, (typeof MIRRORED)[number]>;
  vm: VmOperations;
  node: NodeOperations;
  network: NetworkOperations;
  acl: NetworkAclOperations;
  reservation: DhcpReservationOperations;
}

const START_LIMIT_MS = 60_000;

/** Of volumes that nobody has resized. */
const VOLUME_BYTES = 1_048_576;

/** A whole cluster in one process and in virtual time. The same plan and script always run the same way. */
export class SimulatedCluster {
  readonly clock = new VirtualClock();
  readonly zookeeper: MemoryZooKeeper;
  readonly hosts: SimulatedHosts;
  /** Of the pool vms; in a cluster with storage. */
  readonly volumes = new SimulatedVolumes();
  readonly record: SimulationRecord;
  readonly nodes = new Map<string, SimulatedNode>();
  readonly errors: string[] = [];
  readonly random: () => number;
  readonly #plan: ClusterPlan;
  readonly #clients = new Map<string, SimulatedClient>();

  constructor(plan: ClusterPlan) {
    this.#plan = plan;
    this.random = seeded(plan.seed);
    const latency = seeded(plan.seed + 1);
    this.zookeeper = new MemoryZooKeeper({ clock: this.clock, latencyMs: () => 0.2 + latency() * 1.8 });
    this.hosts = new SimulatedHosts({ clock: this.clock });
    this.record = new SimulationRecord({ zookeeper: this.zookeeper, hosts: this.hosts, nowMs: () => this.clock.monotonicMs() });
    const coordinators = Object.entries(plan.nodes).flatMap(([name, { coordinator }]) => (coordinator ? [name] : []));
    for (const [name, { memoryMib, load, initial }] of Object.entries(plan.nodes)) {
      const host = this.hosts.add(name, { memoryMib, load });
      const deps = { host, clock: this.clock, zookeeper: this.zookeeper, log: this.#logger(name), random: this.random, initial, coordinators, parallel: plan.parallel, volumes: plan.storage ? this.volumes : undefined };
      this.nodes.set(name, new SimulatedNode(deps));
    }
  }

  /** Daemons run, the first coordinator is primary, VMs are defined and, where planned, running; the record begins afterwards. */
  async start(): Promise<void> {
    const nodes = Object.entries(this.#plan.nodes);
    const first = nodes.find(([, { coordinator }]) => coordinator)?.[0];
    if (first !== undefined) {
      this.node(first).boot();
      await this.until(() => this.record.doc('node-status', first)?.coordinatorState === 'primary', START_LIMIT_MS, 'the first coordinator is primary');
    }
    for (const node of this.nodes.values()) node.boot();
    const isUp = ([name, { initial }]: (typeof nodes)[number]): boolean =>
      this.record.doc('presence', name) !== undefined && this.record.doc('node-status', name)?.domains.state === (initial === 'ready' ? 'ready' : 'flushed');
    await this.until(() => nodes.every(isUp), START_LIMIT_MS, 'all nodes are up');
    const api = await this.client('api');
    for (const { vni, type, ...settings } of this.#plan.networks) await this.done(api.network.create({ type, vni }, { description: `net${vni}`, ...settings }));
    for (const vm of this.#plan.vms) await this.done(this.prepare(api, vm));
    const running = this.#plan.vms.filter((vm) => vm.running);
    await this.until(() => running.every((vm) => this.nodeRunning(vm.name) !== undefined && this.phaseOf(vm.name) === 'running'), START_LIMIT_MS, 'all VMs run');
    this.record.begin();
  }

  async prepare(api: SimulatedClient, vm: VmPlan): Promise<void> {
    const uuid = uuidOf(vm.name);
    for (const volume of vm.volumes) this.resizeVolume(volume, VOLUME_BYTES);
    if (vm.guest !== undefined) this.hosts.behave(uuid, definedOnly(vm.guest));
    const { migrationMethod: method, selector: by, autostart } = vm;
    const nodeLimit = vm.nodeLimit as VmSpec['nodeLimit'];
    await api.vm.define({ xml: domainXml(vm), node: vm.on, nodeLimit: nodeLimit ?? undefined, selector: by, migrationMethod: method, autostart });
    this.record.defined.add(uuid);
    if (vm.onFlushBlocked !== undefined) await api.vm.setMeta(uuid, { onFlushBlocked: vm.onFlushBlocked });
    if (vm.running) await api.vm.setPower(uuid, 'start');
  }

  /** Also makes it. Guests are not told. */
  resizeVolume(volume: string, sizeBytes: number): void {
    const ref = { pool: 'vms', volume };
    this.volumes.put(ref, sizeBytes);
    this.hosts.resizeDisk(volumeText(ref), sizeBytes);
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** A process with operations of its own, started on first use. */
  async client(name: string): Promise<SimulatedClient> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const client = await this.done(this.startClient(name));
    this.#clients.set(name, client);
    return client;
  }

  /** One life of a process with operations, on its own clock and store. Resolves when it is up; somebody else lets the time pass. */
  async startClient(name: string, life: { clock: Clock; wrap: (store: Store) => Store } = { clock: this.clock, wrap: (store) => store }): Promise<SimulatedClient> {
    const { clock, wrap } = life;
    const store = wrap(new MemoryStore({ zookeeper: this.zookeeper, clock, name }));
    const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock, log: this.#logger(name) });
    const occupancy = new OccupancyLedger(mirror);
    occupancy.start();
    const context = { store, mirror, occupancy, clock, placement: { selector: 'mem', reserveMib: 0 } } as const;
    const never = new AbortController().signal;
    await store.start(never);
    await mirror.start(never);
    return { context, mirror, vm: vmOperations(context), node: nodeOperations(context), network: networkOperations(context), acl: networkAclOperations(context), reservation: dhcpReservationOperations(context) };
  }

  /** Virtual time passes until `work` has ended. */
  async done<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    work.then(
      () => (ended = true),
      () => (ended = true),
    );
    await this.until(() => ended, 120_000, 'the call has ended');
    return work;
  }

  async advance(durationMs: number): Promise<void> {
    let over = false;
    this.clock.after(durationMs, () => (over = true));
    await this.until(() => over, durationMs + 1, 'the time');
  }

  /** Everything that must never be is checked after every event. */
  async until(condition: () => boolean, limitMs: number, what: string): Promise<void> {
    try {
      await this.clock.advanceUntil(
        () => {
          this.record.observe();
          return condition();
        },
        limitMs,
        what,
      );
    } catch (error) {
      if (error instanceof Error && !error.message.includes('\n')) error.message += `\n${this.record.tail()}\n${this.errors.slice(-20).join('\n')}`;
      throw error;
    }
  }

  /** Names of the hosts on which the guest's processors run. */
  nodesRunning(vmName: string): string[] {
    return this.hosts.all().filter((host) => runs(host, uuidOf(vmName))).map((host) => host.name);
  }

  nodeRunning(vmName: string): string | undefined {
    return this.nodesRunning(vmName)[0];
  }

  phaseOf(vmName: string): string | undefined {
    return this.record.doc('vm-status', uuidOf(vmName))?.phase.kind;
  }

  /** What keeps the cluster from being settled: documents and hosts do not agree; empty when all is well. */
  unsettled(): string[] {
    const faults: string[] = [];
    const complain = (name: string, what: string): void => void faults.push(`${name}: ${what}`);
    for (const spec of this.record.all('vm')) {
      const status = this.record.doc('vm-status', spec.uuid);
      const on = this.hosts.all().filter((host) => runs(host, spec.uuid)).map((host) => host.name);
      const owner = status?.owner ?? null;
      const kind = status?.phase.kind ?? 'stopped';
      if (owner === null && on.length > 0) complain(spec.name, `nobody owns it and it runs on ${on.join()}`);
      if (owner !== null && on[0] !== owner) complain(spec.name, `${owner} owns it and it runs on ${on.join() || 'no host'}`);
      if (owner !== null && kind !== 'running') complain(spec.name, `it is ${kind}`);
      if (owner !== null && spec.node !== owner) complain(spec.name, `its place is ${spec.node} and ${owner} owns it`);
      if (kind === 'failed' && !wantsToRun(spec)) complain(spec.name, 'it was asked to be off and has failed');
      if (kind === 'relocating') complain(spec.name, 'it is on its way');
      if (spec.deletion !== null) complain(spec.name, 'it is being removed');
    }
    for (const host of this.hosts.all()) {
      for (const domain of host.domains.values()) {
        if (!domain.ours) continue;
        const status = this.record.doc('vm-status', domain.uuid);
        if (domain.incoming || domain.state === 'paused') complain(host.name, `${domain.name} is ${domain.incoming ? 'incoming' : 'paused'}`);
        else if (domain.state === 'running' && status?.owner !== host.name) complain(host.name, `${domain.name} is a stray`);
      }
    }
    const hosts = this.hosts.all().filter((host) => this.node(host.name).runs);
    const coordinators = Object.entries(this.#plan.nodes).flatMap(([name, { coordinator }]) => (coordinator ? [name] : []));
    return [...faults, ...networkFaults({ record: this.record, hosts, coordinators })];
  }

  async settled(limitMs: number): Promise<void> {
    try {
      await this.until(() => this.unsettled().length === 0, limitMs, 'the cluster settles');
    } catch (error) {
      if (error instanceof Error) error.message += `\n${this.unsettled().join('\n')}`;
      throw error;
    }
  }

  /** Errors and bugs are kept; a daemon that says 'bug' fails the simulation. */
  #logger(who: string): Logger {
    const note = (level: string) => (fields: object, message: string) => {
      this.errors.push(`${Math.round(this.clock.monotonicMs())} ${who} ${level}: ${message} ${JSON.stringify(fields)}`);
      if ('code' in fields && fields.code === 'bug') this.record.violate(`${who}: ${message} ${JSON.stringify(fields)} ${String('cause' in fields ? (fields.cause as Error)?.stack : '')}`);
    };
    const quiet = (): void => undefined;
    const logger: Logger = { error: note('error'), warn: note('warn'), info: quiet, debug: quiet, child: () => logger };
    return logger;
  }
}

/** The same name has the same UUID in every run. */
export function uuidOf(vmName: string): VmId {
  const hex = createHash('sha256').update(vmName).digest('hex');
  return vmId.parse(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`);
}

export function domainXml(vm: Pick<VmPlan, 'name' | 'memoryMib' | 'vcpus'> & { networks?: readonly number[]; volumes?: readonly string[] }, uuid = uuidOf(vm.name)): string {
  const interfaces = (vm.networks ?? []).map((vni, at) => `<interface type='bridge'><mac address='${macOf(vm.name, at)}'/><source bridge='vmbr${vni}'/><model type='virtio'/></interface>`);
  const disks = (vm.volumes ?? []).map((name, at) => `<disk type='network' device='disk'><source protocol='rbd' name='vms/${name}'/><target dev='vd${'abcdef'[at] ?? ''}' bus='virtio'/></disk>`);
  const devices = interfaces.length + disks.length === 0 ? '' : `<devices>${disks.join('')}${interfaces.join('')}</devices>`;
  return `<domain type='kvm'><name>${vm.name}</name><uuid>${uuid}</uuid><memory unit='MiB'>${vm.memoryMib}</memory><vcpu>${vm.vcpus}</vcpu><os><type>hvm</type></os>${devices}</domain>`;
}

/** Mulberry32: small, good enough, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function definedOnly<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
}
