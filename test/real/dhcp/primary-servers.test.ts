import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { dhcpLeases, type DhcpReservation } from '../../../common/schema/network.ts';
import { MemoryStore } from '../../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../../common/store/memory-zookeeper.ts';
import { askDhcp4, askDhcp6, renewDhcp6 } from '../../support/dhcp-client.ts';
import { aManagedNetwork } from '../../support/builders.ts';
import { missingForLan, PrivateLan, type Namespace } from '../../support/private-lan.ts';
import { ServingNode } from '../../support/serving-node.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 20_000;
const VNI = 2001;
const ID = String(VNI);
const missing = missingForLan(['/usr/sbin/dnsmasq', '/usr/bin/busybox', '/usr/sbin/unbound', '/usr/sbin/dhclient', '/usr/bin/python3']);
const never = new AbortController().signal;
const LAN = aManagedNetwork({ vni: VNI, domain: 'lan.example' });
const WEB: DhcpReservation = { mac: '02:00:00:00:00:01', ip4: '10.5.0.50', ip6: null, hostname: 'web' };
describe.skipIf(missing !== undefined)('the servers of the primary', () => {
  let lan: PrivateLan;
  let guest: Namespace;
  let zookeeper: MemoryZooKeeper;
  let operator: MemoryStore;
  let nodes: ServingNode[];

  beforeAll(async () => {
    lan = await PrivateLan.make();
    await lan.addBridge(`vmbr${VNI}`, ['10.5.0.1/24', '2001:db8:5::1/64']);
    guest = await lan.addGuest(`vmbr${VNI}`, '02:00:00:00:00:02');
  });

  afterAll(async () => {
    await lan?.end();
  });

  beforeEach(async () => {
    zookeeper = new MemoryZooKeeper({ clock: systemClock });
    operator = new MemoryStore({ zookeeper, clock: systemClock, name: 'operator' });
    await operator.start(never);
    await operator.create(`/spec/network/${ID}`, LAN);
    nodes = [];
  });

  afterEach(async () => {
    for (const node of nodes) {
      await node.leave();
      await node.dhcp.remove(VNI);
      await node.dns.end();
      await node.abandon();
    }
    await operator.stop();
  });

  const aNode = async (name: string, folder?: string): Promise<ServingNode> => {
    const node = new ServingNode(name, lan, zookeeper, folder);
    nodes.push(node);
    await node.start();
    return node;
  };
  const aPrimary = async (): Promise<ServingNode> => {
    const node = await aNode('n1');
    node.become(true);
    await until(async () => (await node.pid(VNI)) > 0 && (await node.dnsPid()) > 0, LIMIT_MS, 'the servers');
    return node;
  };
  const documentNow = async () => {
    const entry = await operator.read(`/status/dhcp-lease/${ID}`);
    return entry === undefined ? undefined : dhcpLeases.parse(entry.value);
  };
  const ask = async (name: string): Promise<string> =>
    (await lan.host.run(['/bin/sh', '-c', '/usr/bin/busybox nslookup -type=a "$1" 10.5.0.1 2>&1 || true', 'sh', name], { timeoutMs: LIMIT_MS })).stdout;

  test('run only while the role is here', async () => {
    const node = await aNode('n1');
    expect([await node.pid(VNI), await node.dnsPid()]).toEqual([0, 0]);
    node.become(true);
    await until(async () => (await node.pid(VNI)) > 0 && (await node.dnsPid()) > 0, LIMIT_MS, 'the servers');
    await node.leave();
    expect([await node.pid(VNI), await node.dnsPid()]).toEqual([0, 0]);
  });

  test('a lease is in ZooKeeper within a second of the answer, and its name resolves soon after', async () => {
    await aPrimary();
    const given = await askDhcp4(lan, guest, { hostname: 'two' });
    const fromMs = systemClock.monotonicMs();
    await until(async () => (await documentNow())?.ip4[0]?.address === given.get('ip'), LIMIT_MS, 'the document');
    expect(systemClock.monotonicMs() - fromMs).toBeLessThan(1_000);
    await until(async () => (await ask('two.lan.example')).includes(`Address: ${given.get('ip')}`), LIMIT_MS, 'the name');
    const first = (await documentNow())?.ip4[0]?.expiresS ?? 0;
    await until(async () => {
      await askDhcp4(lan, guest, { request: given.get('ip') ?? '' });
      return ((await documentNow())?.ip4[0]?.expiresS ?? 0) > first;
    }, LIMIT_MS, 'the renewal');
  });

  test('an IPv6 lease that its client renews lives longer, also in ZooKeeper, and is renewed by the next primary too', async () => {
    const one = await aPrimary();
    const two = await aNode('n2', `${lan.folder}/two`);
    await operator.create(`/spec/dhcp-reservation/${ID}`, { vni: VNI, reservations: [{ ...WEB, mac: '02:00:00:00:00:02', ip6: '2001:db8:5::50' }] });
    await until(async () => (await ask('web.lan.example')).includes('Address: 10.5.0.50'), LIMIT_MS, 'the reservation');
    await until(() => askDhcp6(lan, guest, 'address').then((told) => told.get('new_ip6_address') === '2001:db8:5::50'), LIMIT_MS, 'the address');
    const renewed = async (): Promise<number> => {
      const document = await documentNow();
      const lease = document?.ip6[0];
      if (document?.serverDuid == null || lease === undefined) return 0;
      const before = lease.expiresS;
      const lifetimeS = await renewDhcp6(guest, { serverDuid: document.serverDuid, lease });
      await until(async () => ((await documentNow())?.ip6[0]?.expiresS ?? 0) >= before, LIMIT_MS, 'the document');
      expect(lifetimeS).toBe(24 * 3_600);
      return (await documentNow())?.ip6[0]?.expiresS ?? 0;
    };
    await until(async () => (await documentNow())?.ip6[0]?.address === '2001:db8:5::50', LIMIT_MS, 'the lease');
    const first = (await documentNow())?.ip6[0]?.expiresS ?? 0;
    await until(async () => (await renewed()) > first, LIMIT_MS, 'a later end');
    await one.leave();
    const handed = (await documentNow())?.ip6[0]?.expiresS ?? 0;
    two.become(true);
    await until(async () => (await two.pid(VNI)) > 0, LIMIT_MS, 'the server');
    await until(async () => (await renewed()) > handed, LIMIT_MS, 'a later end at the new primary');
    expect((await documentNow())?.ip6).toHaveLength(1);
  });

  test('another node that becomes primary begins with the leases, and the guest keeps its address', async () => {
    const one = await aPrimary();
    const given = await askDhcp4(lan, guest, { hostname: 'two' });
    // The last leases are written when it leaves, whatever was written before.
    await one.leave();
    const handed = await documentNow();
    expect(handed?.ip4[0]?.address).toBe(given.get('ip'));
    const two = await aNode('n2', `${lan.folder}/two`);
    two.become(true);
    await until(async () => (await two.pid(VNI)) > 0, LIMIT_MS, 'the server');
    expect(await readFile(two.dhcp.files(VNI).leases, 'utf8')).toContain(given.get('ip'));
    expect(await readFile(two.dhcp.files(VNI).leases, 'utf8')).toContain(`duid ${handed?.serverDuid}`);
    expect((await askDhcp4(lan, guest)).get('ip')).toBe(given.get('ip'));
  });

  test('killed ones come back, with every lease', async () => {
    const node = await aPrimary();
    const given = await askDhcp4(lan, guest);
    await until(async () => (await documentNow())?.ip4.length === 1, LIMIT_MS, 'the document');
    const [pid, dnsPid] = [await node.pid(VNI), await node.dnsPid()];
    process.kill(pid, 'SIGKILL');
    process.kill(dnsPid, 'SIGKILL');
    await until(async () => ![0, pid].includes(await node.pid(VNI)) && ![0, dnsPid].includes(await node.dnsPid()), LIMIT_MS, 'new ones');
    expect(await readFile(node.dhcp.files(VNI).leases, 'utf8')).toContain(given.get('ip'));
    expect((await documentNow())?.ip4).toHaveLength(1);
    expect(await ask('gateway.lan.example')).toContain('Address: 10.5.0.1');
  });

  test('of a daemon that was killed are adopted by the next as they are, when the role comes back', async () => {
    const before = await aPrimary();
    const [pid, dnsPid] = [await before.pid(VNI), await before.dnsPid()];
    await until(async () => (await documentNow()) !== undefined, LIMIT_MS, 'the document');
    await before.abandon();
    const after = await aNode('n1-again');
    after.become(true);
    await askDhcp4(lan, guest, { hostname: 'later' });
    await until(async () => (await documentNow())?.ip4[0]?.hostname === 'later', LIMIT_MS, 'the document');
    expect([await after.pid(VNI), await after.dnsPid()]).toEqual([pid, dnsPid]);
    nodes = [after];
  });

  test('a reservation reloads and does not restart; a network option restarts; a deleted network leaves nothing', async () => {
    const node = await aPrimary();
    const pid = await node.pid(VNI);
    await operator.create(`/spec/dhcp-reservation/${ID}`, { vni: VNI, reservations: [{ ...WEB, mac: '02:00:00:00:00:02' }] });
    await until(async () => (await ask('web.lan.example')).includes('Address: 10.5.0.50'), LIMIT_MS, 'the name');
    await until(async () => (await askDhcp4(lan, guest)).get('ip') === '10.5.0.50', LIMIT_MS, 'the reservation');
    expect(await node.pid(VNI)).toBe(pid);
    await until(async () => (await documentNow())?.ip4[0]?.address === '10.5.0.50', LIMIT_MS, 'the document');
    await operator.update(`/spec/network/${ID}`, { ...LAN, nameServers: ['192.0.2.1'] }, 0);
    await until(async () => ![0, pid].includes(await node.pid(VNI)), LIMIT_MS, 'another process');
    expect((await askDhcp4(lan, guest)).get('dns')).toBe('192.0.2.1');
    await operator.remove(`/spec/network/${ID}`, 1);
    await until(async () => (await node.pid(VNI)) === 0 && (await documentNow()) === undefined, LIMIT_MS, 'nothing left');
    await until(async () => (await node.dnsPid()) === 0, LIMIT_MS, 'no address to answer at');
    expect(node.dhcp.list()).toEqual([]);
  });

  test('a server is not started before the gateway is there, which its report says', async () => {
    await lan.host.ip(`address del 10.5.0.1/24 dev vmbr${VNI}`);
    const node = await aNode('n1');
    node.become(true);
    await until(() => node.reports.get(`dhcp ${VNI}`)?.includes('not there') === true, LIMIT_MS, 'the report');
    expect(await node.pid(VNI)).toBe(0);
    await lan.host.ip(`address add 10.5.0.1/24 dev vmbr${VNI}`);
    await until(async () => (await node.pid(VNI)) > 0 && node.reports.get(`dhcp ${VNI}`) === null, LIMIT_MS, 'the server');
  });
});
