import { readdir, readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { parseAddress } from '../../../common/domain/addressing.ts';
import { silentLogger } from '../../../common/log.ts';
import { run } from '../../../common/process.ts';
import type { DhcpReservation } from '../../../common/schema/network.ts';
import { releaseDnsServer, UnboundServer } from '../../../node-daemon/drivers/dns-server.ts';
import { dnsChange, dnsContents, dnsContentsFile, dnsServedBy, dnsServerConfig, reverseNameOf, type DnsNetwork } from '../../../node-daemon/plans/dns-server.ts';
import { aManagedNetwork } from '../../support/builders.ts';
import { askWhile, dnsPidIn } from '../../support/dns-questions.ts';
import { missingForLan, PrivateLan, type Namespace } from '../../support/private-lan.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 15_000;
const missing = missingForLan(['/usr/sbin/unbound', '/usr/sbin/unbound-control', '/usr/bin/busybox', '/usr/bin/python3']);
const never = new AbortController().signal;

const LAN = aManagedNetwork({ vni: 2001, domain: 'lan.example' });
const WEB: DhcpReservation = { mac: '02:00:00:00:00:01', ip4: '10.5.0.50', ip6: '2001:db8:5::50', hostname: 'web' };
const BEFORE: DnsNetwork[] = [{ network: LAN, reservations: [WEB], leases: undefined }];

describe.skipIf(missing !== undefined)('DNS by unbound, asked by a guest in a namespace', () => {
  let lan: PrivateLan;
  let guest: Namespace;
  let server: UnboundServer;
  let changes = 0;

  beforeAll(async () => {
    lan = await PrivateLan.make();
    // No gateway address yet: the server may come before it.
    await lan.addBridge('vmbr2001', []);
    guest = await lan.addGuest('vmbr2001', WEB.mac);
    await guest.ip('address add 10.5.0.50/24 dev eth0');
    await guest.ip('address add 2001:db8:5::50/64 dev eth0');
    await guest.ip('address add 10.9.0.50/24 dev eth0');
    await lan.host.ip('route add 10.9.0.0/24 dev vmbr2001');
  });

  afterAll(async () => {
    await lan?.end();
  });

  beforeEach(async () => {
    server = makeServer();
    changes = 0;
    await server.start(never);
    server.listen(() => (changes += 1));
  });

  afterEach(async () => {
    await server.end();
    await server.stop();
  });

  const makeServer = (): UnboundServer => new UnboundServer({ runDirectory: lan.folder, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap });

  const configOf = (networks: readonly DnsNetwork[], forwarders: readonly string[] = []): string =>
    dnsServerConfig({ place: server.place(), ...dnsServedBy(networks.map(({ network }) => network)), forwarders });

  const launch = (networks: readonly DnsNetwork[], forwarders: readonly string[] = []): Promise<void> => server.launch({ config: configOf(networks, forwarders), contents: dnsContentsFile(dnsContents(networks)) });

  const pidOf = (): Promise<number> => dnsPidIn(server.place().directory);

  const addGateways = async (): Promise<void> => {
    for (const address of ['10.5.0.1/24', '2001:db8:5::1/64']) await lan.host.run(['/usr/bin/ip', 'address', 'replace', address, 'dev', 'vmbr2001'], { timeoutMs: LIMIT_MS });
  };

  /** What busybox's nslookup prints; it exits with 1 for a name that is not there. */
  const ask = async (name: string, at = '10.5.0.1', type = 'a'): Promise<string> =>
    (await guest.run(['/bin/sh', '-c', '/usr/bin/busybox nslookup -type="$1" "$2" "$3" 2>&1 || true', 'sh', type, name, at], { timeoutMs: LIMIT_MS })).stdout;

  const reverse = (address: string): Promise<string> => ask(reverseNameOf(parseAddress(address)!), '10.5.0.1', 'ptr');

  test('names and addresses resolve both ways at both gateways, which came after the server', async () => {
    await lan.host.ip('address flush dev vmbr2001 scope global');
    await launch(BEFORE);
    await addGateways();
    expect(await ask('web.lan.example')).toContain('Address: 10.5.0.50');
    expect(await ask('web.lan.example', '10.5.0.1', 'aaaa')).toContain('Address: 2001:db8:5::50');
    expect(await ask('gateway.lan.example', '2001:db8:5::1')).toContain('Address: 10.5.0.1');
    expect(await reverse('10.5.0.50')).toContain('name = web.lan.example');
    expect(await reverse('2001:db8:5::50')).toContain('name = web.lan.example');
  });

  test('a name that is not there is denied, with authority and for half a minute only', async () => {
    await addGateways();
    await launch(BEFORE);
    expect(await ask('nobody.lan.example')).toContain('NXDOMAIN');
    expect(await reverse('10.5.0.77')).toContain('NXDOMAIN');
    expect(await ask('lan.example', '10.5.0.1', 'soa')).toContain('hostmaster');
  });

  test('without forwarders other names are refused, and so is everything from elsewhere', async () => {
    await addGateways();
    await launch(BEFORE);
    expect(await ask('www.example.org')).toContain('REFUSED');
    await guest.ip('address del 10.5.0.50/24 dev eth0');
    await guest.ip('route add 10.5.0.0/24 dev eth0 src 10.9.0.50');
    try {
      expect(await ask('web.lan.example')).toContain('REFUSED');
    } finally {
      await guest.ip('route del 10.5.0.0/24 dev eth0');
      await guest.ip('address add 10.5.0.50/24 dev eth0');
    }
  });

  test('with a forwarder other names are asked for there, and those of the cluster are not', async () => {
    await addGateways();
    const other = new UnboundServer({ runDirectory: `${lan.folder}/upstream`, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap });
    await run(['mkdir', '-m', '711', '-p', `${lan.folder}/upstream`], { timeoutMs: LIMIT_MS });
    await other.start(never);
    try {
      await lan.host.run(['/usr/bin/ip', 'address', 'replace', '127.0.0.53/8', 'dev', 'lo'], { timeoutMs: LIMIT_MS });
      await other.launch({
        config: dnsServerConfig({ place: other.place(), listen: ['127.0.0.53'], clients: ['127.0.0.0/8'], forwarders: [] }),
        contents: 'local-zone: "org." static\nlocal-data: "www.example.org. 30 IN A 192.0.2.80"\nlocal-zone: "lan.example." static\n',
      });
      await launch(BEFORE, ['127.0.0.53']);
      expect(await ask('www.example.org')).toContain('Address: 192.0.2.80');
      expect(await ask('web.lan.example')).toContain('Address: 10.5.0.50');
    } finally {
      await other.end();
      await other.stop();
    }
  });

  test('records change while it runs, by the same process, until it holds what is wanted', async () => {
    await addGateways();
    await launch(BEFORE);
    const digest = await server.configDigest();
    const pid = await pidOf();
    const actual = await server.contents();
    expect(actual).toEqual(dnsContents(BEFORE));
    const moved = { ...WEB, ip4: '10.5.0.51', ip6: null };
    const more = aManagedNetwork({ vni: 2002, domain: 'more.example', ip4: { network: '10.6.0.0/23', gateway: '10.6.0.1', dhcp: null }, ip6: null });
    const after: DnsNetwork[] = [
      { network: LAN, reservations: [moved, { ...WEB, mac: '02:00:00:00:00:02', ip4: '10.5.0.60', ip6: null, hostname: 'db' }], leases: undefined },
      { network: more, reservations: [], leases: undefined },
    ];
    await server.change(dnsChange(actual, dnsContents(after)));
    expect(await server.contents()).toEqual(dnsContents(after));
    expect(await ask('web.lan.example')).toContain('Address: 10.5.0.51');
    expect(await ask('db.lan.example')).toContain('Address: 10.5.0.60');
    expect(await ask('gateway.more.example')).toContain('Address: 10.6.0.1');
    expect(await reverse('10.5.0.50')).toContain('NXDOMAIN');
    await server.change(dnsChange(await server.contents(), dnsContents(BEFORE)));
    expect(await server.contents()).toEqual(dnsContents(BEFORE));
    expect(await ask('gateway.more.example')).toContain('REFUSED');
    expect(await pidOf()).toBe(pid);
    expect(await server.configDigest()).toBe(digest);
  });

  test('other addresses and clients are taken over, and at no moment there is nobody who answers', async () => {
    await addGateways();
    await launch(BEFORE);
    const more = aManagedNetwork({ vni: 2002, domain: 'more.example', ip4: { network: '10.6.0.0/24', gateway: '10.6.0.1', dhcp: null }, ip6: null });
    const after: DnsNetwork[] = [...BEFORE, { network: more, reservations: [], leases: undefined }];
    const { asked, lost } = await askWhile({ lan, guest, server: '10.5.0.1', name: 'web.lan.example' }, async () => {
      for (const networks of [after, BEFORE, after, BEFORE, after]) await launch(networks);
    });
    expect(asked).toBeGreaterThan(5);
    // The old server may take a question along as it ends (decision 9), while the new one answers others.
    expect(lost).toBe(0);
    expect(await server.contents()).toEqual(dnsContents(after));
    expect(await ask('gateway.more.example')).toContain('Address: 10.6.0.1');
    expect((await readdir(server.place().directory)).filter((name) => name.endsWith('.conf'))).toHaveLength(1);
  });

  test('it survives the driver, is found again with its contents, and its end is told', async () => {
    await launch(BEFORE);
    const digest = await server.configDigest();
    await server.stop();
    server = makeServer();
    await server.start(never);
    server.listen(() => (changes += 1));
    expect(await server.configDigest()).toBe(digest);
    expect(await server.contents()).toEqual(dnsContents(BEFORE));
    process.kill(await pidOf(), 'SIGKILL');
    await until(() => changes > 0, 2_000, 'the notice');
    expect(await server.configDigest()).toBeUndefined();
  });

  test('it works as its own user, without any right', async () => {
    await launch(BEFORE);
    const status = async (): Promise<string> => readFile(`/proc/${await pidOf()}/status`, 'utf8');
    await until(async () => /^Uid:\t(\d+)/mu.exec(await status())?.[1] !== '0', LIMIT_MS, 'another user');
    expect(/^CapEff:\t(.+)$/mu.exec(await status())?.[1]).toBe('0000000000000000');
  });

  test("what unbound refuses is an error with unbound's own words, and nothing runs", async () => {
    await expect(server.launch({ config: `${configOf(BEFORE)}no-such-option: yes\n`, contents: '' })).rejects.toMatchObject({ code: 'component', details: { stderr: expect.stringMatching(/error/u) } });
    expect(await server.configDigest()).toBeUndefined();
  });

  test('the release ends what a daemon that was killed has left', async () => {
    await launch(BEFORE);
    await server.stop();
    expect(await releaseDnsServer(lan.folder, { clock: systemClock, log: silentLogger })).toBe(1);
    expect(await releaseDnsServer(lan.folder, { clock: systemClock, log: silentLogger })).toBe(0);
  });

  test('ten thousand names are told within seconds', async () => {
    await launch(BEFORE);
    const reservations = Array.from({ length: 10_000 }, (_, index) => ({ mac: WEB.mac, ip4: `10.7.${Math.floor(index / 250)}.${index % 250}`, ip6: null, hostname: `h${index}` }));
    const big: DnsNetwork[] = [{ network: { ...LAN, ip4: { network: '10.0.0.0/8', gateway: '10.5.0.1', dhcp: null } }, reservations, leases: undefined }];
    await server.change(dnsChange(await server.contents(), dnsContents(big)));
    expect(isDeepStrictEqual(await server.contents(), dnsContents(big))).toBe(true);
  });
});
