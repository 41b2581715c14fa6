import { readFileSync } from 'node:fs';
import { systemClock, type Clock } from '../common/clock.ts';
import { describeError } from '../common/errors.ts';
import { randomToken } from '../common/ids.ts';
import type { Logger } from '../common/log.ts';
import type { LogTail } from '../common/log-tail.ts';
import { converse, follow, run } from '../common/process.ts';
import { ZooKeeperStore } from '../common/store/zookeeper-store.ts';
import { composeNode, type NodeDaemon, type NodeParts } from './compose.ts';
import { composeDiskHost, type DiskParts } from './compose-disks.ts';
import type { ServerParts } from './compose-servers.ts';
import { composeOsdHost, type StorageParts } from './compose-storage.ts';
import type { NodeConfig } from './config.ts';
import { IpAddressDriver } from './drivers/address.ts';
import { createApiService } from './drivers/api-service.ts';
import { RadosLink } from './drivers/ceph-link.ts';
import { FileConsoleLogs } from './drivers/console-log.ts';
import { ProcHostStatistics } from './drivers/host-statistics.ts';
import { IpLinkDriver } from './drivers/ip-link-driver.ts';
import { IpBridges } from './drivers/bridge-facts.ts';
import { DnsmasqServers, releaseDhcpServers } from './drivers/dhcp-server.ts';
import { releaseDnsServer, UnboundServer } from './drivers/dns-server.ts';
import { parseKnownHosts } from './drivers/known-hosts.ts';
import { LibvirtHypervisor, type Peer } from './drivers/libvirt-hypervisor.ts';
import { NftFirewall } from './drivers/nft-firewall.ts';
import { PidLock } from './drivers/pid-lock.ts';
import { releaseHost } from './release.ts';

const PID_FILE = 'pvcd.pid';

const INSTANCE_BYTES = 8;

/** The daemon of this very host, on its real components. */
export function composeHost(config: NodeConfig, { log, logTail }: { log: Logger; logTail: LogTail }): NodeDaemon {
  const clock = systemClock;
  const addresses = new IpAddressDriver({ run, log });
  const store = new ZooKeeperStore({ hosts: config.zookeeper.hosts, sessionTimeoutMs: config.zookeeper.session_timeout_s * 1_000, clock, log });
  const peers = (node: string): Peer | undefined => peerOf(config, log, { node, address: daemon.addressOf(node) });
  const daemon = composeNode(config, {
    store,
    clock,
    log,
    logTail,
    addresses,
    links: new IpLinkDriver({ run, follow, clock, log }),
    firewall: new NftFirewall({ run, follow, converse, clock, log, directory: config.run_directory }),
    servers: composeServerParts(config, { clock, log }),
    ...(config.enable_storage ? composeStorageParts(config, { clock, log }) : {}),
    hypervisor: new LibvirtHypervisor({ clock, log, peers, privateKeyFile: config.ssh.private_key_file, libvirtSocket: config.libvirt.socket }),
    apiService: createApiService(config.api_service, run),
    statistics: new ProcHostStatistics(process.arch),
    consoles: new FileConsoleLogs({ directory: config.vm.console_directory, log }),
    jitter: randomFraction,
    instance: randomToken(INSTANCE_BYTES),
  });
  return withPidLock(new PidLock(config.run_directory, PID_FILE), daemon);
}

function composeServerParts({ run_directory: runDirectory }: NodeConfig, deps: { clock: Clock; log: Logger }): ServerParts {
  return { dhcp: new DnsmasqServers({ runDirectory, run, ...deps }), dns: new UnboundServer({ runDirectory, run, ...deps }), bridges: new IpBridges({ run }) };
}

function composeStorageParts(config: NodeConfig, deps: { clock: Clock; log: Logger }): Required<StorageParts & DiskParts> & Pick<NodeParts, 'ceph'> {
  const link = new RadosLink(config.ceph, deps);
  return { ceph: link, osds: composeOsdHost(config, { run, link, ...deps }), disks: composeDiskHost(config, { clock: deps.clock, link }) };
}

/** Removes what a daemon of this host may have left on it. */
export async function releaseThisHost(config: NodeConfig, log: Logger): Promise<void> {
  const deps = { clock: systemClock, log };
  const endServers = async (): Promise<void> => {
    await Promise.all([releaseDhcpServers(config.run_directory, deps), releaseDnsServer(config.run_directory, deps)]);
  };
  await releaseHost(config, { addresses: new IpAddressDriver({ run, log }), endServers, log });
}

function withPidLock(lock: PidLock, daemon: NodeDaemon): NodeDaemon {
  return {
    async start(signal) {
      await lock.acquire();
      await daemon.start(signal);
    },
    async stop() {
      await daemon.stop();
      await lock.release();
    },
    abandon: () => daemon.abandon(),
    silentForMs: () => daemon.silentForMs(),
    addressOf: (node) => daemon.addressOf(node),
  };
}

/** The file is read for each connection, so that a node that joins is known without a restart. */
function peerOf(config: NodeConfig, log: Logger, peer: { node: string; address: string | undefined }): Peer | undefined {
  const { ssh } = config;
  if (peer.address === undefined) return undefined;
  try {
    const keys = parseKnownHosts(readFileSync(ssh.known_hosts_file, 'utf8')).get(peer.node);
    return keys === undefined ? undefined : { address: peer.address, port: ssh.port, user: ssh.user, hostKeys: keys };
  } catch (error) {
    log.warn({ file: ssh.known_hosts_file, why: describeError(error) }, 'the keys of the other nodes cannot be read');
    return undefined;
  }
}

/** From 0 to 1. */
function randomFraction(): number {
  return Number.parseInt(randomToken(4), 16) / 0xffff_ffff;
}
