import { systemClock } from '../../common/clock.ts';
import { bridgeName, tapName } from '../../common/domain/network.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror, type Mirror } from '../../common/mirror/mirror.ts';
import type { Command, Follow, Run } from '../../common/process.ts';
import { MIRRORED, pathOf, RESOURCES, type Doc, type Kind, type MirroredKind } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { Controller, type KeySource } from '../../common/reconcile/controller.ts';
import { IpLinkDriver } from '../../node-daemon/drivers/ip-link-driver.ts';
import { mirrorChanges, whenFresh } from '../../node-daemon/reconcilers/key-sources.ts';
import { NetworkIndex } from '../../node-daemon/reconcilers/network-index.ts';
import { NetworkStatusReporter } from '../../node-daemon/reconcilers/network-status.ts';
import { NetworkReconciler } from '../../node-daemon/reconcilers/network.ts';
import { aNode, aNodeName } from './builders.ts';
import { startNetworkNamespace, type NetworkNamespace } from './network-namespace.ts';

const LIMIT_MS = 20_000;

/** One host of the network: a namespace with eth0 (cluster) and eth1 (trunk), and its daemon's networks when they were started. */
export interface VxlanHost {
  readonly name: string;
  readonly address: string;
  readonly run: Run;
  readonly follow: Follow;
}

/** What a node daemon has of the links of client networks, on a store in memory and real links. */
export interface RunningNetworks {
  readonly controller: Controller;
  readonly store: MemoryStore;
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
  readonly driver: IpLinkDriver;
  stop(): Promise<void>;
}

/** Hosts hv1, hv2, … on one switch, in namespaces of their own, with guests that are namespaces too. */
export class VxlanHosts {
  readonly zookeeper = new MemoryZooKeeper({ clock: systemClock });
  readonly hosts: readonly VxlanHost[];
  readonly #switch: NetworkNamespace;
  readonly #running: RunningNetworks[] = [];
  readonly #writer: MemoryStore;
  #sessions = 0;

  constructor(namespace: NetworkNamespace, count: number) {
    this.#switch = namespace;
    this.#writer = new MemoryStore({ zookeeper: this.zookeeper, clock: systemClock, name: 'writer' });
    this.hosts = Array.from({ length: count }, (_, index) => ({
      name: `hv${index + 1}`,
      address: `10.77.0.${index + 1}`,
      run: (command, options) => namespace.run(within(`hv${index + 1}`, command), options),
      follow: (command, options) => namespace.follow(within(`hv${index + 1}`, command), options),
    }));
  }

  /** @param mtu of the hosts' devices and of the switch, in bytes. */
  static async start(count: number, mtu: number): Promise<VxlanHosts> {
    const namespace = await startNetworkNamespace();
    const made = new VxlanHosts(namespace, count);
    await made.#writer.start(new AbortController().signal);
    for (const name of ['lan', 'trunk']) await namespace.commands(`ip link add ${name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`, `ip link set ${name} mtu ${mtu} up`);
    for (const host of made.hosts) await made.#plug(host, mtu);
    return made;
  }

  async #plug({ name, address }: VxlanHost, mtu: number): Promise<void> {
    const commands = (...lines: string[]): Promise<void> => this.#switch.commands(...lines);
    await commands(`ip netns add ${name}`, `ip -n ${name} link set lo up`);
    for (const [index, bridge] of ['lan', 'trunk'].entries()) {
      const port = `${name}p${index}`;
      await commands(`ip link add ${port} mtu ${mtu} type veth peer name eth${index} mtu ${mtu} netns ${name}`, `ip link set ${port} master ${bridge} up`, `ip -n ${name} link set eth${index} up`);
    }
    await commands(`ip -n ${name} address add ${address}/24 dev eth0`);
  }

  host(name: string): VxlanHost {
    const host = this.hosts.find((one) => one.name === name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  /** One line, on a host or in a guest. */
  async on(namespace: string, line: string, limitMs = LIMIT_MS): Promise<string> {
    const [program = '', ...args] = line.split(' ');
    return (await this.#switch.run(within(namespace, [program, ...args]), { timeoutMs: limitMs })).stdout;
  }

  /** In the namespace of the switch. */
  async onSwitch(line: string): Promise<void> {
    await this.#switch.commands(line);
  }

  readonly runIn = (namespace: string): Run => (command, options) => this.#switch.run(within(namespace, command), options);

  async put<K extends Kind>(kind: K, id: string, doc: Doc<K>): Promise<void> {
    const path = pathOf(kind, id);
    const held = await this.#writer.read(path);
    if (held === undefined) await this.#writer.create(path, doc);
    else await this.#writer.update(path, doc, held.version);
  }

  async remove(kind: Kind, id: string): Promise<void> {
    const held = await this.#writer.read(pathOf(kind, id));
    if (held !== undefined) await this.#writer.remove(pathOf(kind, id), held.version);
  }

  async announce(): Promise<void> {
    for (const { name, address } of this.hosts) await this.put('presence', name, { ...aNode(name).presence, address });
  }

  /** The links of a host's daemon; the first `coordinators` hosts are coordinators. */
  async daemon(name: string, coordinators = this.hosts.length): Promise<RunningNetworks> {
    const host = this.host(name);
    this.#sessions += 1;
    const [clock, log] = [systemClock, silentLogger];
    const store = new MemoryStore({ zookeeper: this.zookeeper, clock, name: `${name}-${this.#sessions}` });
    const mirror = createMirror({ store, clock, log, table: RESOURCES, kinds: MIRRORED });
    const driver = new IpLinkDriver({ run: host.run, follow: host.follow, clock, log });
    const me = aNodeName(name);
    const index = new NetworkIndex({ me, coordinators: this.hosts.slice(0, coordinators).map((one) => aNodeName(one.name)), mirror });
    const status = new NetworkStatusReporter({ me, store, clock, log, parts: ['links'] });
    const node = { name, address: host.address, clusterDevice: 'eth0', bridgeDevice: 'eth1' };
    const reconciler = new NetworkReconciler({ node, mirror, links: driver, index, status, clock, log, enqueue: (key) => controller.enqueue(key) });
    const keys = (): string[] => reconciler.keys();
    const events: KeySource = (enqueue) =>
      driver.listen({ link: (link) => reconciler.keysOfLink(link).forEach(enqueue), missed: () => keys().forEach(enqueue) });
    const sources = [mirrorChanges(mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(mirror, keys), events];
    const controller = new Controller({ clock, log, jitter: () => 0.5, name: 'network', reconciler, sources, keys, workers: 256, resyncMs: 30_000 });
    const never = new AbortController().signal;
    await store.start(never);
    await mirror.start(never);
    await status.start();
    await driver.start();
    index.rebuild();
    controller.start();
    const stop = async (): Promise<void> => {
      await controller.stop();
      await driver.stop();
      await status.stop();
      await mirror.stop();
      await store.stop();
    };
    const running: RunningNetworks = { controller, store, mirror, driver, stop };
    this.#running.push(running);
    return running;
  }

  /** A guest on a host: a namespace whose eth0 has its tap device's name outside. It may be plugged in elsewhere later. */
  async addGuest(guest: string, given: { host: string; vni: number; mac: string; address: string; mtu?: number }): Promise<void> {
    const tap = tapName(given.mac);
    const mtu = given.mtu ?? 1_450;
    await this.#switch.commands(`ip netns add ${guest}`, `ip -n ${guest} link set lo up`);
    await this.on(given.host, `ip link add ${tap} mtu ${mtu} type veth peer name eth0 address ${given.mac} mtu ${mtu} netns ${guest}`);
    await this.on(given.host, `ip link set ${tap} master ${bridgeName(given.vni)} up`);
    await this.on(guest, `ip address add ${given.address} dev eth0`);
    await this.on(guest, 'ip link set eth0 up');
  }

  async status(name: string): Promise<Doc<'network-status'> | undefined> {
    const entry = await this.#writer.read(pathOf('network-status', name));
    return entry === undefined ? undefined : RESOURCES['network-status'].schema.parse(entry.value);
  }

  async stop(): Promise<void> {
    for (const running of this.#running) await running.stop();
    await this.#switch.stop();
  }
}

function within(namespace: string, command: Command): Command {
  return ['ip', 'netns', 'exec', namespace, ...command];
}
