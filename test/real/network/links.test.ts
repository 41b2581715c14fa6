import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LINK_GROUP } from '../../../node-daemon/drivers/link.ts';
import { aManagedNetwork, aNodeName, aRunningVm, aStatus, aVmId } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { VxlanHosts, type RunningNetworks } from '../../support/vxlan-hosts.ts';

const LIMIT_MS = 20_000;
const UNDERLAY_MTU = 1_550;

const MAC = { one: '52:54:00:00:00:01', two: '52:54:00:00:00:02' } as const;

const missing = process.getuid?.() === 0 ? undefined : 'needs root';

describe.skipIf(missing !== undefined)('client networks of three hosts', { timeout: 120_000 }, () => {
  let hosts: VxlanHosts;
  const daemons = new Map<string, RunningNetworks>();

  const isUp = async (name: string, vni: number, mtu?: number): Promise<boolean> => {
    const one = (await hosts.status(name))?.networks.find((network) => network.vni === vni);
    return one !== undefined && one.error === null && one.appliedVersion !== null && (mtu === undefined || one.mtu === mtu);
  };

  const allUp = async (vni: number, mtu?: number): Promise<void> => {
    for (const { name } of hosts.hosts) await until(() => isUp(name, vni, mtu), LIMIT_MS, `network ${vni} is up on ${name}`);
  };

  const pings = async (from: string, to: string, more = ''): Promise<boolean> => {
    const words = `ping -c 1 -W 1 ${more} ${to}`.split(' ').filter((word) => word !== '').join(' ');
    return hosts.on(from, words).then(
      () => true,
      () => false,
    );
  };

  const entries = async (host: string, vni: number): Promise<string[]> =>
    (await hosts.on(host, `bridge fdb show dev vxlan${vni}`)).split('\n').filter((line) => line.includes('dst')).map((line) => line.trim()).sort();

  const putVm = async (number: number, given: { owner: string; target?: string; mac: string; vni: number }): Promise<void> => {
    const uuid = aVmId(number);
    const node = aNodeName(given.target ?? given.owner);
    await hosts.put('vm', uuid, aRunningVm({ uuid, node, interfaces: [{ mac: given.mac, vni: given.vni }] }));
    const phase = given.target === undefined ? ({ kind: 'running' } as const) : ({ kind: 'migrating', target: node, progress: null } as const);
    await hosts.put('vm-status', uuid, aStatus({ owner: aNodeName(given.owner), phase }));
  };

  beforeAll(async () => {
    hosts = await VxlanHosts.start(3, UNDERLAY_MTU);
    await hosts.announce();
    await hosts.put('network', '7', aManagedNetwork({ vni: 7 }));
    for (const { name } of hosts.hosts) daemons.set(name, await hosts.daemon(name));
    await allUp(7);
  });

  afterAll(async () => hosts.stop());

  test('guests on two hosts reach each other, with the largest packets that the underlay leaves room for and no larger ones', async () => {
    await hosts.addGuest('g1', { host: 'hv1', vni: 7, mac: MAC.one, address: '192.168.7.1/24', mtu: 1_500 });
    await hosts.addGuest('g2', { host: 'hv2', vni: 7, mac: MAC.two, address: '192.168.7.2/24', mtu: 1_500 });
    expect((await hosts.status('hv1'))?.networks).toEqual([{ vni: 7, appliedVersion: 0, appliedAclVersion: null, mtu: UNDERLAY_MTU - 50, error: null }]);
    await until(() => pings('g1', '192.168.7.2'), LIMIT_MS, 'the guests reach each other');
    expect(await pings('g2', '192.168.7.1', '-M do -s 1472')).toBe(true);
    expect(await pings('g2', '192.168.7.1', '-M do -s 1473')).toBe(false);
  });

  test('each node floods to the others, and sends to a guest that is known straight to its node', async () => {
    await putVm(1, { owner: 'hv1', mac: MAC.one, vni: 7 });
    await putVm(2, { owner: 'hv2', mac: MAC.two, vni: 7 });
    await until(async () => (await entries('hv3', 7)).filter((line) => line.includes('extern_learn')).length === 2, LIMIT_MS, 'hv3 is told of both');
    expect(await entries('hv3', 7)).toEqual([
      '00:00:00:00:00:00 dst 10.77.0.1 self permanent',
      '00:00:00:00:00:00 dst 10.77.0.2 self permanent',
      `${MAC.one} dst 10.77.0.1 self extern_learn`,
      `${MAC.two} dst 10.77.0.2 self extern_learn`,
    ]);
    await until(async () => !(await entries('hv1', 7)).some((line) => line.startsWith(MAC.one)), LIMIT_MS, 'hv1 sends nobody away from its own guest');
  });

  test('the host itself has no address in a client network and believes no router there', async () => {
    expect(await hosts.on('hv1', 'ip -oneline address show dev vmbr7')).toBe('');
    expect((await hosts.on('hv1', 'sysctl -n net.ipv6.conf.vmbr7.accept_ra net.bridge.bridge-nf-call-iptables')).split(/\s+/u)).toEqual(['0', '0']);
  });

  test('a guest that moves loses no packet that is sent after it has announced itself, whenever the documents follow', async () => {
    await until(() => pings('g1', '192.168.7.2'), LIMIT_MS, 'the guests reach each other');
    await putVm(1, { owner: 'hv1', target: 'hv3', mac: MAC.one, vni: 7 });
    // What libvirt and QEMU do: the device at the source goes quiet, the one at the target is plugged in and announced by RARP.
    const tap = `tap${MAC.one.replaceAll(':', '')}`;
    await hosts.on('g1', 'ip link set eth0 down');
    await hosts.on('g1', 'ip link set eth0 name old');
    await hosts.on('hv3', `ip link add ${tap} mtu 1500 type veth peer name eth0 address ${MAC.one} mtu 1500 netns g1`).catch(() => undefined);
    await hosts.on('hv3', `ip link set ${tap} master vmbr7 up`);
    await hosts.on('g1', 'ip address del 192.168.7.1/24 dev old');
    await hosts.on('g1', 'ip address add 192.168.7.1/24 dev eth0');
    await hosts.on('g1', 'ip link set eth0 up');
    await hosts.runIn('g1')(['python3', '-c', RARP, MAC.one], { timeoutMs: LIMIT_MS });
    const replies = await hosts.on('g2', 'ping -i 0.02 -c 100 -W 1 192.168.7.1').catch(String);
    expect(replies).toContain('100 received');
    await putVm(1, { owner: 'hv3', mac: MAC.one, vni: 7 });
    await until(async () => (await entries('hv1', 7)).includes(`${MAC.one} dst 10.77.0.3 self extern_learn`), LIMIT_MS, 'the old node sends to the new one');
    await until(async () => !(await entries('hv3', 7)).some((line) => line.startsWith(MAC.one)), LIMIT_MS, 'the new node sends nobody away');
    expect(await pings('g2', '192.168.7.1')).toBe(true);
  });

  test('a bridge or a tunnel that is deleted by hand is back before the sweep, its guests plugged in', async () => {
    await hosts.on('hv2', 'ip link delete vmbr7');
    await until(() => pings('g2', '192.168.7.1'), 10_000, 'the bridge is back');
    await hosts.on('hv2', 'ip link delete vxlan7');
    await until(() => pings('g2', '192.168.7.1'), 10_000, 'the tunnel is back');
    await hosts.on('hv2', 'ip link set vmbr7 down');
    await until(() => pings('g2', '192.168.7.1'), 10_000, 'the bridge is up again');
    await hosts.on('hv2', 'ip link set vxlan7 mtu 1300');
    await until(async () => (await hosts.on('hv2', 'ip link show vxlan7')).includes('mtu 1500'), 10_000, 'the MTU is right again');
  });

  test('a link of ours with the name of a network that somebody else made is left alone and told of', async () => {
    await hosts.on('hv3', 'ip link add vmbr8 type bridge forward_delay 700');
    await hosts.put('network', '8', aManagedNetwork({ vni: 8 }));
    await until(async () => (await hosts.status('hv3'))?.networks.find((one) => one.vni === 8)?.error?.includes('vmbr8 exists already') === true, LIMIT_MS, 'the fault is told');
    expect(await hosts.on('hv3', 'ip -details link show vmbr8')).toContain('forward_delay 700');
    await until(() => isUp('hv1', 8), LIMIT_MS, 'the others have it');
    await hosts.remove('network', '8');
    await until(async () => (await hosts.status('hv1'))?.networks.every((one) => one.vni !== 8) === true, LIMIT_MS, 'the network is gone from hv1');
    await until(async () => !(await hosts.on('hv1', 'ip -brief link')).includes('vmbr8'), LIMIT_MS, 'and its links');
    expect(await hosts.on('hv3', 'ip -brief link')).toContain('vmbr8');
  });

  test('a network is not torn down under a guest, and goes when the guest has', async () => {
    await hosts.put('network', '9', aManagedNetwork({ vni: 9 }));
    await allUp(9);
    await hosts.addGuest('g9', { host: 'hv2', vni: 9, mac: '52:54:00:00:00:09', address: '192.168.9.1/24' });
    await hosts.remove('network', '9');
    await until(async () => !(await hosts.on('hv1', 'ip -brief link')).includes('vmbr9'), LIMIT_MS, 'it goes where nobody uses it');
    expect(await hosts.on('hv2', 'ip -brief link')).toContain('vmbr9');
    await hosts.on('hv2', 'ip link delete tap525400000009');
    await until(async () => !(await hosts.on('hv2', 'ip -brief link')).includes('vmbr9'), 45_000, 'it goes after the guest');
  });

  test("a smaller MTU of the network, and a larger one than the underlay's, come into force, the guests' devices with them", async () => {
    await hosts.put('network', '7', aManagedNetwork({ vni: 7, mtu: 1_400 }));
    await allUp(7, 1_400);
    await until(async () => (await hosts.on('hv2', `ip link show tap${MAC.two.replaceAll(':', '')}`)).includes('mtu 1400'), LIMIT_MS, "the guest's device");
    await hosts.put('network', '7', aManagedNetwork({ vni: 7, mtu: 9_000 }));
    await allUp(7, UNDERLAY_MTU - 50);
  });

  test('a node whose daemon is away keeps its place in the flood lists, and a daemon that starts again changes nothing', async () => {
    await hosts.remove('presence', 'hv2');
    const before = await hosts.on('hv1', 'bridge fdb show dev vxlan7');
    await daemons.get('hv1')?.stop();
    const again = await hosts.daemon('hv1');
    let changes = 0;
    const apply = again.driver.apply.bind(again.driver);
    again.driver.apply = (wanted) => {
      changes += wanted.length;
      return apply(wanted);
    };
    await until(() => again.controller.counts().running + again.controller.counts().queued === 0, LIMIT_MS, 'it has looked at all');
    expect(await hosts.on('hv1', 'bridge fdb show dev vxlan7')).toBe(before);
    expect(changes).toBe(0);
    await hosts.announce();
  });

  test('a monitor that dies is started again, and what it missed is looked at', async () => {
    const monitors = await monitorsOf('hv2');
    expect(monitors.length).toBeGreaterThan(0);
    for (const one of monitors) await hosts.on('hv2', `kill ${one}`);
    await hosts.on('hv2', 'ip link delete vxlan7');
    await until(() => pings('g2', '192.168.7.1'), 10_000, 'the tunnel is back');
  });

  const monitorsOf = async (host: string): Promise<string[]> => {
    const pids = (await hosts.on('hv1', `ip netns pids ${host}`)).split('\n').filter((line) => line !== '');
    const lines = await Promise.all(pids.map((one) => hosts.on('hv1', `cat /proc/${one}/cmdline`).catch(() => '')));
    return pids.filter((_one, index) => lines[index]?.includes('monitor') === true);
  };

  test('everything of ours has its mark', async () => {
    const marked = JSON.parse(await hosts.on('hv1', 'ip -json link')) as { ifname: string; group: string }[];
    expect(marked.filter((one) => one.group === String(LINK_GROUP)).map((one) => one.ifname).sort()).toEqual(['vmbr7', 'vxlan7']);
  });
});

/** What QEMU sends for each card of a guest that has arrived. */
const RARP = `
import socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(("eth0", 0))
raw.send(b"\\xff" * 6 + mac + b"\\x80\\x35" + b"\\0\\1\\x08\\0\\6\\4\\0\\3" + mac + b"\\0" * 4 + mac + b"\\0" * 22)
`;
