import { systemClock } from '../../common/clock.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror } from '../../common/mirror/mirror.ts';
import { converse, follow, run } from '../../common/process.ts';
import { MIRRORED, pathOf, RESOURCES } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { composeNetworks } from '../../node-daemon/compose-networks.ts';
import { nodeConfig } from '../../node-daemon/config.ts';
import { IpAddressDriver } from '../../node-daemon/drivers/address.ts';
import { IpBridges } from '../../node-daemon/drivers/bridge-facts.ts';
import { DnsmasqServers, releaseDhcpServers } from '../../node-daemon/drivers/dhcp-server.ts';
import { releaseDnsServer, UnboundServer } from '../../node-daemon/drivers/dns-server.ts';
import { IpLinkDriver } from '../../node-daemon/drivers/ip-link-driver.ts';
import { NftFirewall } from '../../node-daemon/drivers/nft-firewall.ts';
import { floatingAddresses } from '../../node-daemon/plans/primary-addresses.ts';
import { PrimaryAddresses } from '../../node-daemon/reconcilers/primary-addresses.ts';
import { aManagedNetwork } from '../support/builders.ts';
import { PrivateLan } from '../support/private-lan.ts';
import { until } from '../support/until.ts';
import type { LoneBench } from './bench.ts';
import { figure, type Figure } from './figure.ts';

const NETWORKS = 100;
const LIMIT_MS = 120_000;
const NETWORKING = { cluster: { device: 'eth0', floating_address: '10.77.0.100/24' } };
const never = new AbortController().signal;

/** What a node does that becomes primary of 100 networks, with all that it runs for them and a store in memory: real links, rules, addresses and servers. */
export const networkTakeover: LoneBench = {
  name: 'network-takeover',
  async measure() {
    const lan = await PrivateLan.make();
    const endings: (() => Promise<unknown>)[] = [];
    try {
      await lan.host.ip('link add eth0 type veth peer name outside');
      for (const device of ['eth0', 'outside']) await lan.host.ip(`link set ${device} up`);
      await lan.host.ip('address add 10.77.0.1/24 dev eth0');
      return await takeOver(lan, endings);
    } finally {
      for (const end of endings.toReversed()) await end();
      const deps = { clock: systemClock, log: silentLogger };
      await Promise.all([releaseDhcpServers(lan.folder, deps), releaseDnsServer(lan.folder, deps)]);
      await lan.end();
    }
  },
};

async function takeOver(lan: PrivateLan, endings: (() => Promise<unknown>)[]): Promise<Figure[]> {
  const [clock, log] = [systemClock, silentLogger];
  const wrap = lan.host.wrap;
  const store = new MemoryStore({ zookeeper: new MemoryZooKeeper({ clock }), clock, name: 'hv1' });
  await store.start(never);
  endings.push(() => store.stop());
  for (let vni = 1; vni <= NETWORKS; vni += 1) await store.create(pathOf('network', String(vni)), networkOf(vni));
  const mirror = createMirror({ store, clock, log, table: RESOURCES, kinds: MIRRORED });
  await mirror.start(never);
  endings.push(() => mirror.stop());
  const inside = { run: lan.host.run, follow: (...[command, options]: Parameters<typeof follow>) => follow(wrap(command), options), converse: (...[command, options]: Parameters<typeof converse>) => converse(wrap(command), options), clock, log };
  const servers = { dhcp: new DnsmasqServers({ runDirectory: lan.folder, run, clock, log, wrap }), dns: new UnboundServer({ runDirectory: lan.folder, run, clock, log, wrap }), bridges: new IpBridges({ run: lan.host.run }) };
  const all = () => Array.from(mirror.all('network').values(), ({ doc }) => doc);
  const addresses = new PrimaryAddresses({ addresses: new IpAddressDriver(inside), floating: floatingAddresses(NETWORKING), networks: all, isLeaseMine: () => true, log });
  const config = nodeConfig.parse({ node: 'hv1', address: '10.77.0.1', coordinators: ['hv1'], zookeeper: { hosts: ['127.0.0.1:2181'] }, networking: NETWORKING });
  const parts = { links: new IpLinkDriver(inside), firewall: new NftFirewall({ ...inside, directory: lan.folder }), servers, store, clock, log, jitter: () => 0.5 };
  const networks = composeNetworks(config, { parts, mirror, addresses });
  const isIdle = (): boolean => networks.controllers.every((one) => one.counts().queued + one.counts().running === 0);
  const beganMs = clock.monotonicMs();
  await networks.start(never);
  endings.push(() => networks.stop());
  const ready = (): boolean => isIdle() && mirror.get('network-status', 'hv1')?.doc.networks.filter((one) => one.appliedVersion !== null).length === NETWORKS;
  await until(ready, LIMIT_MS, 'links and rules');
  const readyMs = clock.monotonicMs();
  await addresses.take(never);
  const addressesMs = clock.monotonicMs();
  await until(async () => isServed(servers), LIMIT_MS, 'the servers');
  const servedMs = clock.monotonicMs();
  return [
    figure(`takeover-links-and-rules-${NETWORKS}`, (readyMs - beganMs) / 1_000, 's', null),
    figure(`takeover-addresses-${NETWORKS}`, addressesMs - readyMs, 'ms', null),
    figure(`takeover-servers-${NETWORKS}`, (servedMs - readyMs) / 1_000, 's', null),
  ];
}

/** A DHCP server of each network that has read its reservations, and a DNS server. */
async function isServed({ dhcp, dns }: { dhcp: DnsmasqServers; dns: UnboundServer }): Promise<boolean> {
  const states = await Promise.all(dhcp.list().map((vni) => dhcp.state(vni)));
  return states.filter((state) => state?.hostsDigest !== undefined).length === NETWORKS && (await dns.configDigest()) !== undefined;
}

function networkOf(vni: number): ReturnType<typeof aManagedNetwork> {
  const dhcp = { start: `10.0.${vni}.100`, end: `10.0.${vni}.199` };
  return aManagedNetwork({ vni, ip4: { network: `10.0.${vni}.0/24`, gateway: `10.0.${vni}.1`, dhcp }, ip6: { network: `2001:db8:${vni}::/64`, gateway: `2001:db8:${vni}::1` } });
}
