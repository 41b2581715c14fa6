import type { Clock } from '../../common/clock.ts';
import { bridgeName } from '../../common/domain/network.ts';
import type { AddressDriver } from '../../node-daemon/drivers/address.ts';
import type { Bridges } from '../../node-daemon/drivers/bridge-facts.ts';
import type { DhcpServers } from '../../node-daemon/drivers/dhcp-server.ts';
import type { DnsServer } from '../../node-daemon/drivers/dns-server.ts';
import type { Firewall } from '../../node-daemon/drivers/firewall.ts';
import type { ServerParts } from '../../node-daemon/compose-servers.ts';
import { SimulatedDhcpServers } from './simulated-dhcp-servers.ts';
import { SimulatedDnsServer } from './simulated-dns-server.ts';
import type { FaultPoints } from './simulated-faults.ts';
import type { SimulatedHost } from './simulated-hosts.ts';

/** What a call of `ip` and one of `nft` takes. */
const IP_MS = 3;
const NFT_MS = 4;

/** Servers and packet filter of one daemon; they die with its clock. */
export interface SimulatedServing {
  readonly firewall: Firewall;
  readonly servers: ServerParts;
  /** Nothing on the host tells this daemon anything any more. */
  silence(): void;
}

/** The drivers with which one daemon serves networks, their changes being numbered points. */
export function simulatedServing(host: SimulatedHost, clock: Clock, points: FaultPoints): SimulatedServing {
  const dhcp = new SimulatedDhcpServers(host.dhcp, clock);
  const dns = new SimulatedDnsServer(host.dns, clock);
  const unlisten = new Set<() => void>();
  const firewall = firewallOf(host, clock, { points, unlisten });
  return {
    firewall,
    servers: { dhcp: dhcpWithFaults(dhcp, points), dns: dnsWithFaults(dns, points), bridges: bridgesOf(host, clock) },
    silence: () => {
      void dhcp.stop();
      void dns.stop();
      for (const end of unlisten) end();
    },
  };
}

/** As the unit's ExecStopPost ends what a daemon has left. */
export function endServers(host: SimulatedHost): void {
  for (const vni of [...host.dhcp.running.keys()]) host.dhcp.end(vni);
  host.dns.end();
}

function bridgesOf(host: SimulatedHost, clock: Clock): Bridges {
  return {
    look: async (vni) => {
      await after(clock, IP_MS);
      const name = bridgeName(vni);
      const link = host.links.links.get(name);
      const index = host.links.indexOf(name);
      if (link === undefined || index === undefined) return undefined;
      const held = [...host.addresses].map((address) => address.split(' ')).filter(([device]) => device === name);
      return { name, index, mtuBytes: link.mtu, addresses: held.flatMap(([, cidr]) => cidr?.split('/')[0] ?? []) };
    },
  };
}

function firewallOf({ firewall }: SimulatedHost, clock: Clock, { points, unlisten }: { points: FaultPoints; unlisten: Set<() => void> }): Firewall {
  return {
    list: async () => {
      await after(clock, NFT_MS);
      return firewall.list();
    },
    apply: (document) =>
      points.pass('firewall.apply', async () => {
        await after(clock, NFT_MS);
        return firewall.apply(document);
      }),
    listen: (listener) => {
      const end = firewall.listen(listener);
      unlisten.add(end);
      return end;
    },
    stop: () => firewall.stop(),
  };
}

function dhcpWithFaults(servers: DhcpServers, points: FaultPoints): DhcpServers {
  return {
    start: (signal) => servers.start(signal),
    stop: () => servers.stop(),
    listen: (listener) => servers.listen(listener),
    list: () => servers.list(),
    files: (vni) => servers.files(vni),
    state: (vni) => servers.state(vni),
    readLeases: (vni) => servers.readLeases(vni),
    launch: (vni, texts, signal) => points.pass(`dhcp.launch ${vni}`, () => servers.launch(vni, texts, signal)),
    reloadHosts: (vni, hosts) => points.pass(`dhcp.reloadHosts ${vni}`, () => servers.reloadHosts(vni, hosts)),
    end: (vni) => points.pass(`dhcp.end ${vni}`, () => servers.end(vni)),
    remove: (vni) => points.pass(`dhcp.remove ${vni}`, () => servers.remove(vni)),
    markLeases: (vni, mark) => points.pass(`dhcp.markLeases ${vni}`, () => servers.markLeases(vni, mark)),
  };
}

function dnsWithFaults(server: DnsServer, points: FaultPoints): DnsServer {
  return {
    start: (signal) => server.start(signal),
    stop: () => server.stop(),
    listen: (listener) => server.listen(listener),
    place: () => server.place(),
    configDigest: () => server.configDigest(),
    contents: (signal) => server.contents(signal),
    launch: (texts, signal) => points.pass('dns.launch', () => server.launch(texts, signal)),
    end: () => points.pass('dns.end', () => server.end()),
    change: (change, signal) => points.pass('dns.change', () => server.change(change, signal)),
  };
}

/** An address driver whose changes are numbered points. */
export function addressesWithFaults(driver: AddressDriver, points: FaultPoints): AddressDriver {
  return {
    list: (signal) => driver.list(signal),
    route: (signal) => driver.route(signal),
    add: (addresses, signal) => (addresses.length === 0 ? driver.add(addresses, signal) : points.pass('addresses.add', () => driver.add(addresses, signal))),
    remove: (addresses, signal) => (addresses.length === 0 ? driver.remove(addresses, signal) : points.pass('addresses.remove', () => driver.remove(addresses, signal))),
  };
}

function after(clock: Clock, durationMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(durationMs, resolve));
}
