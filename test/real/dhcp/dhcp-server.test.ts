import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { run } from '../../../common/process.ts';
import type { DhcpReservation, ManagedNetwork } from '../../../common/schema/network.ts';
import { IpBridges } from '../../../node-daemon/drivers/bridge-facts.ts';
import { DnsmasqServers, releaseDhcpServers } from '../../../node-daemon/drivers/dhcp-server.ts';
import { parseLeaseFile, renderLeaseFile } from '../../../node-daemon/plans/dhcp-lease.ts';
import { dhcpHostsFile, dhcpServerConfig } from '../../../node-daemon/plans/dhcp-server.ts';
import { askDhcp4, askDhcp6 } from '../../support/dhcp-client.ts';
import { aManagedNetwork } from '../../support/builders.ts';
import { missingForLan, PrivateLan, type Namespace } from '../../support/private-lan.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 15_000;
const VNI = 2001;
const BRIDGE = `vmbr${VNI}`;
const missing = missingForLan(['/usr/sbin/dnsmasq', '/usr/bin/busybox', '/usr/sbin/dhclient']);
const never = new AbortController().signal;

const DUAL = aManagedNetwork({
  vni: VNI,
  domain: 'lan.example',
  nameServers: [],
  ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: { start: '10.5.0.100', end: '10.5.0.199' } },
  ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::1' },
});
const ONLY_6 = { ...DUAL, ip4: null };

/** Names that are words of dnsmasq's own, or numbers. */
const WEB: DhcpReservation = { mac: '02:00:00:00:00:01', ip4: '10.5.0.50', ip6: '2001:db8:5::50', hostname: 'ignore' };

describe.skipIf(missing !== undefined)('DHCP by dnsmasq, for guests in namespaces', () => {
  let lan: PrivateLan;
  let one: Namespace;
  let two: Namespace;
  let servers: DnsmasqServers;
  const told: string[] = [];

  beforeAll(async () => {
    lan = await PrivateLan.make();
    await lan.addBridge(BRIDGE, ['10.5.0.1/24', '2001:db8:5::1/64']);
    one = await lan.addGuest(BRIDGE, WEB.mac);
    two = await lan.addGuest(BRIDGE, '02:00:00:00:00:02');
  });

  afterAll(async () => {
    await lan?.end();
  });

  beforeEach(async () => {
    servers = makeServers();
    told.length = 0;
    await servers.start(never);
    servers.listen({ changed: (vni) => told.push(`changed ${vni}`), leases: () => undefined });
  });

  afterEach(async () => {
    await servers.remove(VNI);
    await servers.stop();
  });

  const makeServers = (): DnsmasqServers => new DnsmasqServers({ runDirectory: lan.folder, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap });

  const configOf = async (network: ManagedNetwork): Promise<string> => {
    const bridge = await new IpBridges({ run: lan.host.run }).look(network.vni);
    if (bridge === undefined) throw new Error('no bridge');
    return dhcpServerConfig(network, { files: servers.files(network.vni), bridge });
  };

  const launch = async (network: ManagedNetwork, reservations: readonly DhcpReservation[] = [], leases?: string): Promise<void> => {
    const texts = { config: await configOf(network), hosts: dhcpHostsFile(network, reservations) };
    await servers.launch(network.vni, { ...texts, leases: leases === undefined ? undefined : { text: leases, mark: 'm' } });
  };

  const leasesNow = async () => parseLeaseFile(VNI, (await servers.readLeases(VNI))?.text ?? '').leases;
  const pidNow = async (): Promise<number> => Number(await readFile(servers.files(VNI).pid, 'utf8'));

  test('a guest gets an address of the range with router, name server, NTP server, domain and MTU', async () => {
    await launch(DUAL);
    const given = await askDhcp4(lan, two, { hostname: 'Two' });
    expect(Number(given.get('ip')?.split('.')[3])).toBeGreaterThanOrEqual(100);
    expect(given.get('ip')).toMatch(/^10\.5\.0\.1\d\d$/u);
    expect(Object.fromEntries(['router', 'dns', 'ntpsrv', 'domain', 'search', 'mtu', 'mask', 'lease'].map((key) => [key, given.get(key)]))).toEqual({
      router: '10.5.0.1',
      dns: '10.5.0.1',
      ntpsrv: '10.5.0.1',
      domain: 'lan.example',
      search: 'lan.example',
      mtu: '1500',
      mask: '24',
      lease: String(48 * 3_600),
    });
    expect((await leasesNow()).ip4).toEqual([expect.objectContaining({ mac: '02:00:00:00:00:02', address: given.get('ip'), hostname: 'Two' })]);
  });

  test("the network's own name servers are given instead of the gateway, by family", async () => {
    await launch({ ...DUAL, nameServers: ['192.0.2.1', '192.0.2.2', '2001:db8::53'] });
    expect((await askDhcp4(lan, two)).get('dns')).toBe('192.0.2.1 192.0.2.2');
    expect((await askDhcp6(lan, two, 'information')).get('new_dhcp6_name_servers')).toBe('2001:db8::53');
  });

  test('a reservation is honoured with its name, also one that is a word of dnsmasq, and an option is told from an address', async () => {
    await launch(DUAL, [WEB]);
    const given = await askDhcp4(lan, one, { hostname: 'something-else' });
    expect(given.get('ip')).toBe('10.5.0.50');
    expect(given.get('hostname')).toBe('ignore');
    expect((await leasesNow()).ip4).toEqual([expect.objectContaining({ address: '10.5.0.50', hostname: 'ignore' })]);
  });

  test('a changed reservation is in force after a reload, and the process is the same', async () => {
    await launch(DUAL);
    const pid = await pidNow();
    const before = await askDhcp4(lan, one, { release: true });
    expect(before.get('ip')).not.toBe('10.5.0.50');
    const hosts = dhcpHostsFile(DUAL, [WEB]);
    await servers.reloadHosts(VNI, hosts);
    await until(async () => (await askDhcp4(lan, one, { release: true })).get('ip') === '10.5.0.50', LIMIT_MS, 'the reservation');
    await servers.reloadHosts(VNI, '');
    await until(async () => (await askDhcp4(lan, one, { release: true })).get('ip') !== '10.5.0.50', LIMIT_MS, 'its end');
    expect(await pidNow()).toBe(pid);
  });

  test('every lease, renewal and release is in the lease file and told, of both families', async () => {
    const file = servers.files(VNI).leases;
    let atEvent = '';
    servers.listen({ changed: () => undefined, leases: () => (atEvent = readFileSync(file, 'utf8')) });
    await launch(ONLY_6);
    const changed = async (what: () => Promise<unknown>): Promise<void> => {
      const before = (atEvent = await readFile(file, 'utf8'));
      await what();
      await until(() => atEvent !== before, LIMIT_MS, 'an event with other leases');
    };
    // At its start dnsmasq writes its own DUID, some time after it is ready.
    await until(() => atEvent !== '', LIMIT_MS, 'the first event');
    await changed(() => askDhcp6(lan, two, 'address'));
    expect((await leasesNow()).serverDuid).toMatch(/^00:01:/u);
    expect((await leasesNow()).ip6).toHaveLength(1);
    await changed(() => askDhcp6(lan, two, 'release'));
    expect((await leasesNow()).ip6).toEqual([]);
    await launch(DUAL);
    let given = new Map() as ReadonlyMap<string, string>;
    await changed(async () => (given = await askDhcp4(lan, two)));
    const first = (await leasesNow()).ip4[0]?.expiresS ?? 0;
    // The expiry has whole seconds.
    await until(() => systemClock.nowMs() / 1_000 > first - 48 * 3_600 + 1, LIMIT_MS, 'the next second');
    await changed(() => askDhcp4(lan, two, { request: given.get('ip') ?? '' }));
    expect((await leasesNow()).ip4[0]?.expiresS).toBeGreaterThan(first);
    await changed(() => askDhcp4(lan, two, { release: true }));
    await until(async () => (await leasesNow()).ip4.length === 0, LIMIT_MS, 'the release');
  });

  test('a server that begins with the leases of another gives each guest its address again, and no other guest', async () => {
    await launch(DUAL);
    const before = await askDhcp4(lan, two);
    const known = await leasesNow();
    const elsewhere = [...known.ip4, { ...known.ip4[0]!, mac: '02:00:00:00:00:77', address: '10.5.0.177', clientId: null }];
    await servers.remove(VNI);
    await launch(DUAL, [], renderLeaseFile({ ...known, ip4: elsewhere }, DUAL));
    expect((await leasesNow()).serverDuid).toBe(known.serverDuid);
    expect((await leasesNow()).ip4.map((lease) => lease.address)).toEqual(expect.arrayContaining(['10.5.0.177', before.get('ip')]));
    expect((await askDhcp4(lan, two)).get('ip')).toBe(before.get('ip'));
    expect((await askDhcp4(lan, one, { request: '10.5.0.177' })).get('ip')).not.toBe('10.5.0.177');
  });

  test('with IPv4 beside it guests make their own IPv6 addresses and may ask for options; a reservation is given to who asks', async () => {
    await launch(DUAL, [WEB]);
    await until(async () => (await two.ip('-6 address show dev eth0 scope global')).includes('2001:db8:5:0:0:ff:fe00:2/64') || (await two.ip('-6 address show dev eth0 scope global')).includes('2001:db8:5::ff:fe00:2/64'), LIMIT_MS, 'the own address');
    expect(await two.ip('-6 route show default')).toContain('dev eth0');
    const options = await askDhcp6(lan, two, 'information');
    expect(options.get('new_dhcp6_name_servers')).toBe('2001:db8:5::1');
    expect(options.get('new_dhcp6_domain_search')).toMatch(/^lan\.example\.?$/u);
    const reserved = await askDhcp6(lan, one, 'address');
    expect(reserved.get('new_ip6_address')).toBe('2001:db8:5::50');
  });

  test('with IPv6 alone a guest gets an address of the whole network, and a reserved one by its MAC address', async () => {
    await launch(ONLY_6, [WEB]);
    const given = await askDhcp6(lan, two, 'address');
    expect(given.get('new_ip6_address')).toMatch(/^2001:db8:5:0?:/u);
    // dnsmasq writes an IPv6 lease after it has answered.
    await until(async () => (await leasesNow()).ip6.length > 0, LIMIT_MS, 'the lease');
    expect((await leasesNow()).ip6).toEqual([expect.objectContaining({ address: given.get('new_ip6_address') })]);
    expect((await askDhcp6(lan, one, 'address')).get('new_ip6_address')).toBe('2001:db8:5::50');
    await expect(askDhcp4(lan, two)).rejects.toThrow('command failed');
  });

  test('dnsmasq works as its own user with the rights of the network and none other', async () => {
    await launch(DUAL);
    const statusNow = async (): Promise<string> => readFile(`/proc/${await pidNow()}/status`, 'utf8');
    const account = async (): Promise<string> => {
      const status = await statusNow();
      return `${/^Uid:\t(\d+)/mu.exec(status)?.[1] === '0' ? 'root' : 'another'} ${/^CapEff:\t(.+)$/mu.exec(status)?.[1]}`;
    };
    // A moment after its sockets are open; bits 12 and 13: network administration and raw sockets (capabilities(7)).
    await until(async () => (await account()) === 'another 0000000000003000', LIMIT_MS, 'another user with these rights');
  });

  test('the server survives the driver, is found again with what it was started with, and a killed one is told', async () => {
    await launch(DUAL, [WEB]);
    const before = await servers.state(VNI);
    const pid = await pidNow();
    await servers.stop();
    servers = makeServers();
    await servers.start(never);
    servers.listen({ changed: (vni) => told.push(`changed ${vni}`), leases: () => undefined });
    expect(servers.list()).toEqual([VNI]);
    expect(await servers.state(VNI)).toEqual(before);
    expect(before?.hostsDigest).toBeDefined();
    process.kill(pid, 'SIGKILL');
    await until(() => told.includes(`changed ${VNI}`), 2_000, 'the notice');
    expect(await servers.state(VNI)).toBeUndefined();
  });

  test('a killed child is told at once', async () => {
    await launch(DUAL);
    told.length = 0;
    process.kill(await pidNow(), 'SIGKILL');
    await until(() => told.includes(`changed ${VNI}`), 500, 'the notice');
  });

  test('the release ends the servers of a daemon that was killed, leaves their leases, and no other process', async () => {
    await launch(DUAL);
    const pid = await pidNow();
    // As another run directory's server, or a person's own, would look.
    const other = spawn('/bin/sleep', ['60'], { argv0: 'dnsmasq' });
    await once(other, 'spawn');
    await servers.stop();
    expect(await releaseDhcpServers(lan.folder, { clock: systemClock, log: silentLogger })).toBe(1);
    // It was a child of this process, which the kernel keeps until its end is read.
    await until(() => !existsSync(`/proc/${pid}`), 2_000, 'the end of the server');
    expect(readFileSync(join(lan.folder, `dhcp/${VNI}/leases`), 'utf8')).toBeDefined();
    expect(other.exitCode).toBeNull();
    other.kill('SIGKILL');
    await once(other, 'exit');
  });

  test("what dnsmasq refuses is an error with dnsmasq's own words, and nothing runs", async () => {
    const config = `${await configOf(DUAL)}no-such-option\n`;
    await expect(servers.launch(VNI, { config, hosts: '' })).rejects.toMatchObject({ code: 'component', details: { stderr: expect.stringContaining('bad option') } });
    expect(await servers.state(VNI)).toBeUndefined();
  });

  test('a process of another user that calls itself the server is not taken for it', async () => {
    await servers.stop();
    mkdirSync(join(lan.folder, 'dhcp/2002'), { mode: 0o711 });
    const config = join(lan.folder, 'dhcp/2002/dnsmasq-ab.conf');
    writeFileSync(config, 'port=0\nkeep-in-foreground\npid-file=\n', { mode: 0o644 });
    const impostor = spawn('/usr/sbin/dnsmasq', [`--conf-file=${config}`], { argv0: 'dnsmasq', uid: 12_345, gid: 12_345, stdio: 'ignore' });
    await once(impostor, 'spawn');
    await until(() => readFileSync(`/proc/${String(impostor.pid)}/cmdline`, 'utf8').includes(config), LIMIT_MS, 'the impostor');
    servers = makeServers();
    await servers.start(never);
    expect(await servers.state(2_002)).toBeUndefined();
    await servers.remove(2_002);
    expect(impostor.exitCode).toBeNull();
    impostor.kill('SIGKILL');
    await once(impostor, 'exit');
  });
});
