import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { run } from '../../common/process.ts';
import { Rados } from '../../common/rados/rados.ts';
import { devicePath, osdKey, type DevicePath, type OsdStatus } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { startCephCluster, type CephCluster } from './ceph-cluster.ts';
import { startLoopDevices, type LoopDevices } from './loop-device.ts';
import { startOsdNode, type OsdNode, type OsdNodeOptions } from './osd-node.ts';
import { until } from './until.ts';

const GIB = 1024 ** 3;
/** An adding takes 6 s on an idle machine, a drain 20 s. */
const TASK_LIMIT_MS = 150_000;
const BY = { requestedBy: 'a test' };
/** Of the OSDs that the cluster has from the start. */
const WEIGHT = 0.004;

/** What an OSD leaves its marks on. */
export interface Marks {
  osds: number[];
  keys: string[];
  hosts: string[];
  signatures: string[];
  folders: string[];
  documents: string[];
}

/** A real Ceph of two OSDs, and a node hv1 with an empty disk. */
export class OsdScene {
  readonly zookeeper: MemoryZooKeeper;
  readonly cluster: CephCluster;
  readonly loops: LoopDevices;
  readonly device: DevicePath;
  node: OsdNode;
  readonly #rados: Rados;
  readonly #directory: string;
  readonly #options: Omit<OsdNodeOptions, 'wrap'>;
  readonly #neighbours: { node: OsdNode; directory: string }[] = [];

  private constructor(parts: { cluster: CephCluster; rados: Rados; loops: LoopDevices; device: DevicePath; directory: string; node: OsdNode; zookeeper: MemoryZooKeeper; options: Omit<OsdNodeOptions, 'wrap'> }) {
    this.cluster = parts.cluster;
    this.#rados = parts.rados;
    this.loops = parts.loops;
    this.device = parts.device;
    this.node = parts.node;
    this.zookeeper = parts.zookeeper;
    this.#directory = parts.directory;
    this.#options = parts.options;
  }

  static async start(given: { drainStallS?: number } = {}): Promise<OsdScene> {
    const [cluster, loops] = await Promise.all([startCephCluster({ osds: 2, pools: ['vms'] }), startLoopDevices()]);
    const directory = await mkdtemp(path.join(tmpdir(), 'pvc-osd-test-'));
    const zookeeper = new MemoryZooKeeper({ clock: systemClock });
    const options = { zookeeper, cluster, directory, ...given };
    const device = devicePath.parse(await loops.make(6 * GIB));
    const rados = await Rados.connect({ configFile: cluster.configFile });
    return new OsdScene({ cluster, rados, loops, device, directory, zookeeper, options, node: await startOsdNode(options) });
  }

  async stop(): Promise<void> {
    const ids = Array.from(this.node.mirror.all('osd-status').values(), ({ doc }) => doc.id).filter((id) => id !== null);
    for (const id of ids) await this.node.host.service.stopOsd(id, AbortSignal.timeout(10_000));
    for (const { node } of [this, ...this.#neighbours]) await node.stop();
    await this.#rados.close();
    await this.cluster.stop();
    await this.loops.stop();
    for (const directory of [this.#directory, ...this.#neighbours.map((one) => one.directory)]) {
      await rm(directory, { recursive: true });
      await rm(`${directory}.keyring`);
    }
  }

  /** Another node, which has the devices of the first one in front of it as well. */
  async neighbour(name: string): Promise<OsdNode> {
    const directory = `${this.#directory}-${name}`;
    const node = await startOsdNode({ ...this.#options, directory, name });
    this.#neighbours.push({ node, directory });
    return node;
  }

  /** The daemon is gone as by a kill, and another one starts. */
  async restart(wrap?: OsdNodeOptions['wrap']): Promise<void> {
    this.node.abandon();
    this.node = await startOsdNode({ ...this.#options, ...(wrap === undefined ? {} : { wrap }) });
  }

  get key(): string {
    return osdKey('hv1', this.device);
  }

  get status(): OsdStatus | undefined {
    return this.node.mirror.get('osd-status', this.key)?.doc;
  }

  async add({ zap }: { zap: boolean } = { zap: false }): Promise<Task> {
    return this.node.osds.add({ node: 'hv1', device: this.device, weight: WEIGHT, zap }, BY);
  }

  async remove(force: boolean): Promise<Task> {
    const id = this.status?.id ?? undefined;
    if (id === undefined) throw new Error('there is no OSD to remove');
    return this.node.osds.remove(id, { force, ...BY });
  }

  /** The task as it ended, whichever daemon ended it. */
  async over(task: Task): Promise<Task> {
    const now = (): Task | undefined => this.node.mirror.get('task', task.id)?.doc;
    const isOver = (): boolean => ['done', 'failed', 'cancelled'].includes(now()?.state ?? '');
    await until(isOver, TASK_LIMIT_MS, 'the end of the task').catch((cause: unknown) => {
      throw new Error(`the task does not end: ${JSON.stringify(now())}`, { cause });
    });
    return now() ?? task;
  }

  /** What the monitors answer to a command without arguments. */
  async json(prefix: string): Promise<any> { // eslint-disable-line @typescript-eslint/no-explicit-any -- Ceph's answers of every shape are looked into
    return JSON.parse((await this.#rados.monCommand({ prefix, format: 'json' }, { isRead: true })).output.toString());
  }

  async signatures(device: string = this.device): Promise<string[]> {
    const { stdout } = await run(['wipefs', '--json', device], { timeoutMs: 10_000 });
    return (JSON.parse(stdout) as { signatures: { type: string }[] }).signatures.map((one) => one.type);
  }

  /** Everything that an OSD changes, for a comparison of before and after. */
  async marks(): Promise<Marks> {
    const keys = (await this.json('auth ls')).auth_dump.map((one: { entity: string }) => one.entity) as string[];
    const hosts = (await this.json('osd tree')).nodes as { type: string; name: string }[];
    const { stdout } = await run(['ls', this.#directory], { timeoutMs: 10_000 });
    return {
      osds: (await this.json('osd ls')) as number[],
      keys: keys.filter((name) => name.startsWith('osd.')).sort(),
      hosts: hosts.filter(({ type }) => type === 'host').map(({ name }) => name),
      signatures: await this.signatures(),
      folders: stdout.split('\n').filter((name) => name !== ''),
      documents: [...this.node.mirror.all('osd').keys(), ...this.node.mirror.all('osd-status').keys()],
    };
  }

  get folder(): string {
    return path.join(this.#directory, `ceph-${String(this.status?.id)}`);
  }
}
