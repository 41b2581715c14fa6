import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { systemClock } from '../../common/clock.ts';
import { nodeName, type NodeName } from '../../common/ids.ts';
import { silentLogger, type Logger } from '../../common/log.ts';
import { createMirror, type Mirror } from '../../common/mirror/mirror.ts';
import { nodeOperations } from '../../common/operations/node.ts';
import { OccupancyLedger } from '../../common/operations/occupancy-ledger.ts';
import { osdOperations, type OsdOperations } from '../../common/operations/osd.ts';
import { run, type Command } from '../../common/process.ts';
import { MIRRORED, pathOf, RESOURCES, type MirroredKind } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { composeOsdHost, composeStorage, type NodeStorage } from '../../node-daemon/compose-storage.ts';
import { RadosLink } from '../../node-daemon/drivers/ceph-link.ts';
import { nodeConfig, type NodeConfig } from '../../node-daemon/config.ts';
import type { OsdWorld } from '../../node-daemon/reconcilers/osd-observer.ts';
import type { CephCluster } from './ceph-cluster.ts';
import { until } from './until.ts';

const WITH_PARENT = ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] as const;

export interface OsdNodeOptions {
  zookeeper: MemoryZooKeeper;
  cluster: CephCluster;
  /** Stays from one start of the node to the next. */
  directory: string;
  name?: string;
  drainStallS?: number;
  log?: Logger;
  /** Stands between the reconciler and the host, for faults. */
  wrap?: (host: OsdWorld) => OsdWorld;
}

/** A node daemon's storage on a real Ceph, with documents in memory. */
export interface OsdNode {
  readonly name: NodeName;
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
  readonly osds: OsdOperations;
  readonly host: OsdWorld;
  /** As the daemon's own end; the OSDs go on. */
  stop(): Promise<void>;
  /** As a kill: nothing is finished, nothing released. */
  abandon(): void;
}

/** Of the daemon, as docs/storage.md has them: no more is needed. */
const RIGHTS = ['mon', 'profile rbd, allow r, allow service osd rw', 'mgr', "profile rbd, allow r, allow command 'osd destroy', allow command 'osd purge'", 'osd', 'profile rbd'];

function keyringOf(directory: string): string {
  return `${directory}.keyring`;
}

function configOf({ cluster, directory, name, drainStallS }: OsdNodeOptions): NodeConfig {
  return nodeConfig.parse({
    node: name ?? 'hv1',
    address: '127.0.0.1',
    coordinators: ['hv1'],
    zookeeper: { hosts: ['127.0.0.1:2181'] },
    enable_storage: true,
    ceph: {
      config_file: cluster.configFile,
      client: 'client.pvc',
      keyring_file: keyringOf(directory),
      osd: { service: { kind: 'process' }, directory, drain_stall_s: drainStallS ?? 120 },
    },
  });
}

export async function startOsdNode(options: OsdNodeOptions): Promise<OsdNode> {
  const config = configOf(options);
  const log = options.log ?? silentLogger;
  const name = nodeName.parse(config.node);
  const store = new MemoryStore({ zookeeper: options.zookeeper, clock: systemClock, name: `node-${name}` });
  const signal = AbortSignal.timeout(20_000);
  await mkdir(options.directory, { recursive: true });
  const keyring = keyringOf(options.directory);
  if (!existsSync(keyring)) await options.cluster.exec(['ceph', 'auth', 'get-or-create', 'client.pvc', ...RIGHTS, '-o', keyring]);
  await store.start(signal);
  const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock: systemClock, log });
  await mirror.start(signal);
  const context = { store, mirror, occupancy: new OccupancyLedger(mirror), clock: systemClock, placement: { selector: 'mem', reserveMib: 512 } } as const;
  await nodeOperations(context).register(name, 'ready');
  // The session of a daemon that was killed may not have ended yet.
  await until(async () => (await store.read(pathOf('presence', name))) === undefined, 20_000, 'the predecessor is gone');
  await store.create(pathOf('presence', name), { node: name, instance: 'a', address: '127.0.0.1', version: '1' }, { ephemeral: true });
  await mirror.caughtUp({ timeoutMs: 5_000 });
  const wrap = (command: Command): Command => [...WITH_PARENT, ...command];
  const link = new RadosLink(config.ceph, { clock: systemClock, log });
  const made = composeOsdHost(config, { run, clock: systemClock, log, wrap, link });
  const host = options.wrap?.(made) ?? made;
  const storage: NodeStorage = composeStorage(config, { parts: { osds: host, clock: systemClock, log, jitter: () => 0 }, mirror, context });
  await storage.start(signal);
  return {
    name,
    mirror,
    host,
    osds: osdOperations(context),
    async stop() {
      await storage.stop();
      await link.stop();
      await mirror.stop();
      await store.stop();
    },
    abandon() {
      storage.abandon();
      void link.stop();
      void mirror.stop();
      void store.stop();
    },
  };
}
