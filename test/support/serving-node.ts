import { readFile } from 'node:fs/promises';
import { systemClock } from '../../common/clock.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror } from '../../common/mirror/mirror.ts';
import { run } from '../../common/process.ts';
import type { Controller } from '../../common/reconcile/controller.ts';
import { MIRRORED, RESOURCES } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { composeServers } from '../../node-daemon/compose-servers.ts';
import { nodeConfig } from '../../node-daemon/config.ts';
import { IpBridges } from '../../node-daemon/drivers/bridge-facts.ts';
import { DnsmasqServers } from '../../node-daemon/drivers/dhcp-server.ts';
import { UnboundServer } from '../../node-daemon/drivers/dns-server.ts';
import type { LinkDriver } from '../../node-daemon/drivers/link.ts';
import { dnsPidIn } from './dns-questions.ts';
import type { PrivateLan } from './private-lan.ts';

const never = new AbortController().signal;
const noLinks: LinkDriver = { listen: () => () => undefined } as unknown as LinkDriver;

/** What one node runs for the networks while it is primary; both nodes of these tests are in one namespace, since never both serve. */
export class ServingNode {
  readonly role = { mine: false, listeners: new Set<() => void>(), isMine: (): boolean => this.role.mine, onChange: (listener: () => void) => (this.role.listeners.add(listener), () => this.role.listeners.delete(listener)) };
  readonly dhcp: DnsmasqServers;
  readonly dns: UnboundServer;
  readonly reports = new Map<string, string | null>();
  readonly store: MemoryStore;
  #mirror: ReturnType<typeof makeMirror>;
  #servers: ReturnType<typeof composeServers>;

  constructor(name: string, lan: PrivateLan, zookeeper: MemoryZooKeeper, folder = lan.folder) {
    const parts = { runDirectory: folder, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap };
    this.dhcp = new DnsmasqServers(parts);
    this.dns = new UnboundServer(parts);
    this.store = new MemoryStore({ zookeeper, clock: systemClock, name });
    this.#mirror = makeMirror(this.store);
    const config = nodeConfig.parse({ node: 'n1', address: '10.0.0.1', coordinators: ['n1'], zookeeper: { hosts: ['127.0.0.1:2181'] }, networking: { cluster: { device: 'eth0' } } });
    this.#servers = composeServers(config, {
      parts: { dhcp: this.dhcp, dns: this.dns, bridges: new IpBridges({ run: lan.host.run }), links: noLinks, store: this.store, clock: systemClock, log: silentLogger, jitter: () => 0.5 },
      mirror: this.#mirror,
      role: this.role,
      report: (vni, server, error) => this.reports.set(`${server} ${vni}`, error),
    });
  }

  async start(): Promise<void> {
    await this.store.start(never);
    await this.#mirror.start(never);
    await this.#servers.start(never);
    for (const controller of this.#servers.controllers) controller.start();
  }

  become(mine: boolean): void {
    this.role.mine = mine;
    for (const listener of this.role.listeners) listener();
  }

  async leave(): Promise<void> {
    this.become(false);
    await Promise.all(this.#servers.servers.map((server) => server.leave()));
  }

  /** As a killed process: whatever it started goes on. */
  async abandon(): Promise<void> {
    await Promise.all(this.#servers.controllers.map((controller: Controller) => controller.stop()));
    await this.#servers.stop();
    await this.#mirror.stop();
    await this.store.stop();
  }

  async pid(vni: number): Promise<number> {
    return (await this.dhcp.state(vni))?.hostsDigest === undefined ? 0 : Number(await readFile(this.dhcp.files(vni).pid, 'utf8'));
  }

  async dnsPid(): Promise<number> {
    return (await this.dns.configDigest()) === undefined ? 0 : dnsPidIn(this.dns.place().directory);
  }
}

function makeMirror(store: MemoryStore) {
  return createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock: systemClock, log: silentLogger });
}
