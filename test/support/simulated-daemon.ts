import { delay, type Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import { LogTail } from '../../common/log-tail.ts';
import type { Store } from '../../common/store/store.ts';
import { composeNode, type NodeDaemon } from '../../node-daemon/compose.ts';
import type { ServerParts } from '../../node-daemon/compose-servers.ts';
import type { DiskHost } from '../../node-daemon/compose-disks.ts';
import { nodeConfig } from '../../node-daemon/config.ts';
import type { AddressDriver } from '../../node-daemon/drivers/address.ts';
import type { ApiService } from '../../node-daemon/drivers/api-service.ts';
import type { ConsoleLogs } from '../../node-daemon/drivers/console-log.ts';
import type { HostStatistics } from '../../node-daemon/drivers/host-statistics.ts';
import type { Firewall } from '../../node-daemon/drivers/firewall.ts';
import type { Hypervisor } from '../../node-daemon/drivers/hypervisor.ts';
import type { LinkDriver } from '../../node-daemon/drivers/link.ts';
import type { SimulatedHost } from './simulated-hosts.ts';

export interface DaemonParts {
  store: Store;
  hypervisor: Hypervisor;
  links: LinkDriver;
  firewall: Firewall;
  servers: ServerParts;
  addresses: AddressDriver;
  /** Absent: a cluster without Ceph. */
  disks?: DiskHost | undefined;
  clock: Clock;
  log: Logger;
  host: SimulatedHost;
  instance: string;
  random: () => number;
  initial: 'ready' | 'flushed';
  coordinators: readonly string[];
  parallel: number;
}

/** The hosts' own networks in the simulator. */
export const NETWORKING = { cluster: { device: 'eth0', floating_address: '10.0.0.100/24' }, upstream: { device: 'eth2' }, bridge_device: 'eth1' };

/** What `ip` takes, and what the API takes until it answers. */
const ADDRESS_MS = 3;
const API_START_MS = 1_500;

/** The whole daemon, as node-daemon/main.ts puts it together, over a simulated host. */
export function composeDaemon(parts: DaemonParts): NodeDaemon {
  const { store, hypervisor, links, firewall, servers, addresses, disks, clock, log, host, instance, random } = parts;
  const config = nodeConfig.parse({
    node: host.name,
    address: addressOf(host.name),
    coordinators: [...parts.coordinators],
    zookeeper: { hosts: ['127.0.0.1:2181'], session_timeout_s: 10 },
    networking: NETWORKING,
    initial_domain_state: parts.initial,
    flush: { parallel: parts.parallel },
    placement: { reserve_mib: 0 },
  });
  const driver = { addresses, apiService: apiOf(host, clock), statistics: statisticsOf(host), consoles: silentConsoles };
  // Nobody writes into it: what the daemon logs is recorded by the simulator.
  const logTail = new LogTail(config.log_lines_max);
  return composeNode(config, { store, hypervisor, links, firewall, servers, clock, log, logTail, jitter: random, instance, ...driver, ...(disks === undefined ? {} : { disks }) });
}

/** On the cluster network, by the number in the host's name. */
export function addressOf(host: string): string {
  return `10.0.0.${/\d+/u.exec(host)?.[0] ?? '1'}`;
}

export function addressesOf(host: SimulatedHost, clock: Clock): AddressDriver {
  const after = (): Promise<void> => new Promise((resolve) => void clock.after(ADDRESS_MS, resolve));
  const isThere = (device: string): boolean => device === NETWORKING.cluster.device || host.links.links.has(device);
  return {
    add: async (addresses) => {
      await after();
      const [there, missing] = [addresses.filter(({ device }) => isThere(device)), addresses.filter(({ device }) => !isThere(device))];
      for (const { device, cidr } of there) host.setAddress(`${device} ${cidr}`, true);
      return missing.map((address) => ({ address, why: `Cannot find device "${address.device}"` }));
    },
    remove: async (addresses) => {
      await after();
      for (const { device, cidr } of addresses) host.setAddress(`${device} ${cidr}`, false);
    },
    list: async () =>
      [...host.addresses].flatMap((address) => {
        const [device = '', cidr = ''] = address.split(' ');
        return isThere(device) ? [{ device, cidr, onOurs: host.links.links.get(device)?.ours === true }] : [];
      }),
    route: async () => undefined,
  };
}

function apiOf(host: SimulatedHost, clock: Clock): ApiService {
  return {
    start: async (signal) => {
      if (!host.apiRuns) await delay(clock, API_START_MS, signal);
      host.apiRuns = true;
    },
    stop: async () => {
      host.apiRuns = false;
    },
    state: async () => (host.apiRuns ? 'running' : 'stopped'),
  };
}

function statisticsOf(host: SimulatedHost): HostStatistics {
  return {
    facts: async () => ({ cpuCount: 8, kernel: '6.12.0', os: 'Debian GNU/Linux 13', arch: 'x86_64' }),
    load: async () => {
      const usedMib = Math.min(host.memoryMib, host.allocatedMib());
      return { load: host.load, memoryTotalMib: host.memoryMib, memoryUsedMib: usedMib, memoryFreeMib: host.memoryMib - usedMib };
    },
  };
}

/** Consoles are tested on their own. */
const silentConsoles: ConsoleLogs = {
  start: async () => undefined,
  stop: async () => undefined,
  listen: () => () => undefined,
  list: async () => [],
  read: async () => undefined,
  remove: async () => undefined,
};
