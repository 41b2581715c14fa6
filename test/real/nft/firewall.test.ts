import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import { silentLogger } from '../../../common/log.ts';
import type { ManagedNetwork, NetworkAcl } from '../../../common/schema/network.ts';
import type { Firewall } from '../../../node-daemon/drivers/firewall.ts';
import { NftFirewall } from '../../../node-daemon/drivers/nft-firewall.ts';
import { FIREWALL_KEY, FirewallReconciler } from '../../../node-daemon/reconcilers/firewall.ts';
import type { FirewallState } from '../../../node-daemon/reconcilers/network-status.ts';
import { aNetwork, firewallContract, portsIn } from '../../contract/firewall.ts';
import { aMirror, type FakeMirror } from '../../support/fake-mirror.ts';
import { aNodeName, aVm, versioned } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { startNetworkNamespace, type NetworkNamespace } from '../../support/network-namespace.ts';

const missing = process.getuid?.() !== 0 ? 'needs root' : ['/usr/bin/unshare', '/usr/bin/nsenter', '/usr/sbin/nft', '/bin/ping', '/bin/busybox', '/usr/bin/python3'].find((file) => !existsSync(file));

async function startFirewall(): Promise<{ firewall: NftFirewall; namespace: NetworkNamespace; directory: string; stop: () => Promise<void> }> {
  const namespace = await startNetworkNamespace();
  const directory = await mkdtemp(join(tmpdir(), 'pvc-firewall-'));
  const firewall = new NftFirewall({ ...namespace, clock: systemClock, log: silentLogger, directory });
  const stop = async (): Promise<void> => {
    firewall.stop();
    await namespace.stop();
    await rm(directory, { recursive: true });
  };
  return { firewall, namespace, directory, stop };
}

firewallContract(
  'nft',
  async () => {
    const { firewall, namespace, stop } = await startFirewall();
    const tamper = async (document: string): Promise<void> => void (await namespace.run(['nft', ...document.split(' ')], { timeoutMs: 10_000 }));
    const ports = async (chain: string): Promise<string[]> => portsIn((await namespace.run(['nft', 'list', 'chain', 'inet', 'pvc', chain], { timeoutMs: 10_000 })).stdout.split('\n'));
    return { firewall, tamper, ports, stop };
  },
  missing,
);

const A: ManagedNetwork = aNetwork({ nat: false });
const B: ManagedNetwork = aNetwork({ vni: 1_002, ip4: { network: '10.6.0.0/24', gateway: '10.6.0.1', dhcp: null }, ip6: { network: '2001:db8:6::/64', gateway: '2001:db8:6::1' }, nat: false });

/** Two guests in namespaces, a router with our rules, and a host of the cluster behind it. Guests hang on a port of the router's bridges. */
const ROUTER = [
  'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0',
  ...[
    ['a', '5', '1001', '52:54:00:aa:bb:01'],
    ['b', '6', '1002', '52:54:00:aa:bb:02'],
  ].flatMap(([name, net, vni, mac]) => [
    `ip netns add ${name}`,
    `ip -n ${name} link set lo up`,
    `ip link add vmbr${vni} type bridge stp_state 0 forward_delay 0`,
    `ip link add tap${mac?.replaceAll(':', '')} type veth peer name eth0 address ${mac} netns ${name}`,
    `ip link set tap${mac?.replaceAll(':', '')} master vmbr${vni} up`,
    `ip link set vmbr${vni} up`,
    `ip addr add 10.${net}.0.1/24 dev vmbr${vni}`,
    `ip addr add 2001:db8:${net}::1/64 dev vmbr${vni} nodad`,
    `ip -n ${name} link set eth0 up`,
    `ip -n ${name} addr add 10.${net}.0.9/24 dev eth0`,
    `ip -n ${name} addr add 2001:db8:${net}::9/64 dev eth0 nodad`,
    `ip -n ${name} route add default via 10.${net}.0.1`,
    `ip -n ${name} route add default via 2001:db8:${net}::1`,
  ]),
  'ip netns add host',
  'ip link add eth0 type veth peer name eth0 netns host',
  'ip link set eth0 up',
  'ip addr add 10.77.0.11/24 dev eth0',
  'ip -n host link set eth0 up',
  'ip -n host addr add 10.77.0.12/24 dev eth0',
  'ip -n host route add default via 10.77.0.11',
];

const ECHO_PORT = 7_007;

/** Answers what comes by UDP and TCP, of both families, and says when it is ready. */
const ECHO = `
import selectors, socket
ready = selectors.DefaultSelector()
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        s = socket.socket(family, kind)
        if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((any, ${ECHO_PORT}))
        if kind == socket.SOCK_STREAM: s.listen()
        ready.register(s, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        s = key.fileobj
        if s.type == socket.SOCK_STREAM:
            c = s.accept()[0]; c.sendall(c.recv(9000)); c.close()
        else:
            data, peer = s.recvfrom(9000); s.sendto(data, peer)
`;

/** Ends with 0 when what it sends comes back within a second. */
const ASK = `
import socket, sys
address, kind, port, size = sys.argv[1], {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[2]], int(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
s.settimeout(1); s.bind(("", port)); s.connect((address, ${ECHO_PORT})); s.send(b"x" * size)
sys.exit(0 if s.recv(9000) else 1)
`;

/** Opens a connection and leaves it open. */
const HOLD = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], ${ECHO_PORT}))
time.sleep(60)
`;

interface Question {
  /** A namespace; undefined for the router's. */
  readonly from: string | undefined;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp';
  readonly fromPort?: number;
  readonly bytes?: number;
}

function within(name: string | undefined, command: readonly string[]): [string, ...string[]] {
  return name === undefined ? ['env', ...command] : ['ip', 'netns', 'exec', name, ...command];
}

async function succeeds(namespace: NetworkNamespace, name: string | undefined, command: readonly string[]): Promise<boolean> {
  try {
    await namespace.run(within(name, command), { timeoutMs: 10_000 });
    return true;
  } catch (error) {
    if (isAppError(error, 'component')) return false;
    throw error;
  }
}

/** Serves echo there. @returns what ends it. */
async function serve(namespace: NetworkNamespace, name: string | undefined): Promise<() => Promise<void>> {
  const ending = new AbortController();
  let isReady = false;
  const server = namespace.follow(within(name, ['python3', '-c', ECHO]), { signal: ending.signal, onLine: () => (isReady = true) }).catch(() => undefined);
  await until(() => isReady, 10_000, 'the echo server');
  return async () => {
    ending.abort();
    await server;
  };
}

/** Tells whether an answer comes. */
async function ask(namespace: NetworkNamespace, { from, to, protocol, fromPort = 0, bytes = 64 }: Question): Promise<boolean> {
  return succeeds(namespace, from, ['python3', '-c', ASK, to, protocol, String(fromPort), String(bytes)]);
}

describe.skipIf(missing !== undefined)('traffic of guests through our rules', () => {
  let namespace: NetworkNamespace;
  let mirror: FakeMirror;
  let reconciler: FirewallReconciler;
  let firewall: NftFirewall;
  let directory: string;
  let stop: () => Promise<void>;
  const reported = new Map<number, FirewallState>();

  beforeAll(async () => {
    ({ firewall, namespace, directory, stop } = await startFirewall());
    await namespace.commands(...ROUTER);
    mirror = aMirror();
    reconciler = aReconciler(firewall);
  });

  afterAll(async () => stop());

  const aReconciler = (on: Firewall): FirewallReconciler =>
    new FirewallReconciler({
      me: aNodeName('hv1'),
      mirror,
      firewall: on,
      clock: systemClock,
      log: silentLogger,
      hosts: { prefixes: ['10.77.0.0/24'], devices: [], upstreamDevice: 'eth0' },
      isNeeded: () => true,
      report: (vni, state) => reported.set(vni, state),
    });

  /** Puts these documents, and no others, in force. */
  const inForce = async (networks: readonly ManagedNetwork[], acls: readonly NetworkAcl[] = []): Promise<void> => {
    mirror.fill('network', networks.map((doc) => versioned(String(doc.vni), doc, 3)));
    mirror.fill('network-acl', acls.map((doc) => versioned(String(doc.vni), doc, 7)));
    reconciler.rebuild();
    await reconciler.reconcile(FIREWALL_KEY, new AbortController().signal);
  };
  const inside = (guest: string, ...command: string[]): Promise<boolean> => succeeds(namespace, guest, command);
  const pings = (from: string, to: string): Promise<boolean> => inside(from, '/bin/ping', '-c', '1', '-W', '1', '-q', to);
  const rule = (description: string, text: string): NetworkAcl['in'][number] => ({ description, rule: text });

  test('without rules networks reach each other and their router, by IPv4 and IPv6', async () => {
    await inForce([A, B]);
    expect(await Promise.all(['10.6.0.9', '2001:db8:6::9', '10.6.0.1', '10.5.0.1'].map((to) => pings('a', to)))).toEqual([true, true, true, true]);
    expect(reported.get(1_001)).toEqual({ version: 3, aclVersion: null, error: null });
  });

  test('an `in` rule guards what comes in, `out` what leaves; leave to go out is not leave to come in', async () => {
    await inForce([A, B], [{ vni: 1_002, in: [rule('no-ping', 'icmp type echo-request drop')], out: [] }]);
    expect(await Promise.all([pings('a', '10.6.0.9'), pings('a', '2001:db8:6::9'), pings('b', '10.5.0.9')])).toEqual([false, true, true]);
    await inForce([A, B], [{ vni: 1_001, in: [], out: [rule('all', 'accept')] }, { vni: 1_002, in: [rule('no-ping', 'icmp type echo-request drop')], out: [] }]);
    expect(await pings('a', '10.6.0.9')).toBe(false);
    await inForce([A, B], [{ vni: 1_001, in: [], out: [rule('no-ping', 'ip daddr 10.6.0.9 drop')] }]);
    expect(await Promise.all([pings('a', '10.6.0.9'), pings('b', '10.5.0.9')])).toEqual([false, false]);
    expect(reported.get(1_001)).toEqual({ version: 3, aclVersion: 7, error: null });
  });

  test('the first rule that matches decides', async () => {
    await inForce([A, B], [{ vni: 1_002, in: [rule('one', 'ip saddr 10.5.0.9 accept'), rule('rest', 'drop')], out: [] }]);
    expect(await pings('a', '10.6.0.9')).toBe(true);
    await inForce([A, B], [{ vni: 1_002, in: [rule('rest', 'drop'), rule('one', 'ip saddr 10.5.0.9 accept')], out: [] }]);
    expect(await pings('a', '10.6.0.9')).toBe(false);
  });

  test('guests reach neither the hosts behind their router nor its other services', async () => {
    await inForce([A, B]);
    expect(await pings('host', '10.5.0.9')).toBe(true);
    expect(await pings('a', '10.77.0.12')).toBe(false);
    const server = namespace.run(['busybox', 'nc', '-l', '-p', '2181'], { timeoutMs: 10_000 }).catch(() => undefined);
    expect(await inside('a', 'busybox', 'nc', '-w', '1', '10.5.0.1', '2181')).toBe(false);
    expect(await inside('host', 'busybox', 'nc', '-w', '1', '10.77.0.11', '2181')).toBe(true);
    await server;
  });

  test.each(['tcp', 'udp'] as const)('a host has its answers from a guest by %s, and a guest none that no host has asked for; no connection is tracked', async (protocol) => {
    await inForce([A, B]);
    const guest = await serve(namespace, 'a');
    const router = await serve(namespace, undefined);
    const asks = (from: string | undefined, to: string): Promise<boolean> => ask(namespace, { from, to, protocol });
    try {
      expect(await Promise.all(['10.5.0.9', '2001:db8:5::9'].map((to) => asks(undefined, to)))).toEqual([true, true]);
      expect(await asks('host', '10.5.0.9')).toBe(true);
      expect(await asks('b', '10.5.0.9')).toBe(true);
      expect(await Promise.all(['10.5.0.1', '2001:db8:5::1', '10.77.0.12'].map((to) => asks('a', to)))).toEqual([false, false, false]);
      // It has been asked, and is not the one who asks.
      expect(await ask(namespace, { from: 'a', to: '10.5.0.1', protocol, fromPort: ECHO_PORT + 1 })).toBe(false);
      expect((await namespace.run(['nft', 'list', 'set', 'inet', 'pvc', 'asked4'], { timeoutMs: 10_000 })).stdout).toContain(`10.5.0.9 . ${protocol} . ${ECHO_PORT} . 10.77.0.12 . `);
      expect((await namespace.run(['cat', '/proc/sys/net/netfilter/nf_conntrack_count'], { timeoutMs: 10_000 })).stdout).toBe('0');
      reconciler.doubt();
      await inForce([A, B]);
      expect(await asks(undefined, '10.5.0.9')).toBe(true);
    } finally {
      await Promise.all([guest(), router()]);
    }
  });

  test('a connection of a host that stands may be silent for longer than TCP leaves it', async () => {
    await inForce([A, B]);
    const guest = await serve(namespace, 'a');
    const ending = new AbortController();
    const holder = namespace.follow(['python3', '-c', HOLD, '10.5.0.9'], { signal: ending.signal, onLine: () => undefined }).catch(() => undefined);
    try {
      const held = new RegExp(`10\\.5\\.0\\.9 \\. tcp \\. ${ECHO_PORT} \\. \\S+ \\. \\d+ (?:timeout 3h )?expires 2h59m`, 'u');
      const isHeld = async (): Promise<boolean> => held.test((await namespace.run(['nft', 'list', 'set', 'inet', 'pvc', 'asked4'], { timeoutMs: 10_000 })).stdout);
      await until(isHeld, 10_000, 'the connection');
    } finally {
      ending.abort();
      await Promise.all([guest(), holder]);
    }
  });

  test('a packet in fragments passes the rule of its port', async () => {
    await inForce([A, B], [{ vni: 1_001, in: [rule('echo', `udp dport ${ECHO_PORT} accept`), rule('rest', 'drop')], out: [] }]);
    const guest = await serve(namespace, 'a');
    try {
      expect(await ask(namespace, { from: 'b', to: '10.5.0.9', protocol: 'udp', bytes: 4_000 })).toBe(true);
    } finally {
      await guest();
    }
  });

  test('addresses are translated towards the outside while a network wants it; otherwise no packet meets the hook for it', async () => {
    await namespace.commands('ip -n host addr add 192.0.2.1/32 dev lo', 'ip route add 192.0.2.1 via 10.77.0.12', 'ip -n host route add blackhole 10.5.0.0/24');
    for (const nat of [false, true, false]) {
      await inForce([{ ...A, nat }, B]);
      expect([nat, await pings('a', '192.0.2.1')]).toEqual([nat, nat]);
      expect((await firewall.list()).get('inet')?.chains.has('postrouting')).toBe(nat);
    }
    await namespace.commands('ip -n host route del blackhole 10.5.0.0/24');
  });

  test('a guest cannot use the address of another, and may when its network says so', async () => {
    const guest = aVm({ interfaces: [{ mac: '52:54:00:aa:bb:01', vni: 1_001 }] });
    mirror.fill('vm', [versioned(guest.uuid, guest)]);
    await inForce([A, B]);
    await namespace.commands('ip -n a addr add 10.5.0.77/24 dev eth0');
    expect(await inside('a', '/bin/ping', '-c', '1', '-W', '1', '-q', '-I', '10.5.0.77', '10.5.0.1')).toBe(true);
    mirror.fill('dhcp-reservation', [versioned('1001', { vni: 1_001, reservations: [{ mac: '52:54:00:aa:bb:01', ip4: '10.5.0.9', ip6: null, hostname: null }] })]);
    await inForce([A, B]);
    expect(await inside('a', '/bin/ping', '-c', '1', '-W', '1', '-q', '-I', '10.5.0.77', '10.5.0.1')).toBe(false);
    expect(await pings('a', '10.5.0.1')).toBe(true);
    await namespace.commands('ip -n a link set eth0 address 52:54:00:aa:bb:77');
    expect(await pings('a', '10.5.0.1')).toBe(false);
    await inForce([{ ...A, antiSpoofing: false }, B]);
    // Its question for the router's MAC address is under way since it was in vain, and asked again only after a second.
    await namespace.commands('ip -n a neigh flush dev eth0');
    expect(await pings('a', '10.5.0.1')).toBe(true);
    await namespace.commands('ip -n a link set eth0 address 52:54:00:aa:bb:01', 'ip neigh flush dev vmbr1001');
  });

  test('a rule that nft refuses stands in nobody’s way and is named', async () => {
    await inForce([A, B], [{ vni: 1_001, in: [rule('bad', 'tcp dport nonsense accept'), rule('no-ping', 'icmp type echo-request drop')], out: [] }]);
    expect(await pings('b', '10.5.0.9')).toBe(false);
    expect(reported.get(1_001)?.error).toMatch(/^in rule "tcp dport nonsense accept": /u);
    expect(reported.get(1_002)?.error).toBeNull();
    await inForce([A, B]);
    expect(await pings('b', '10.5.0.9')).toBe(true);
    expect(reported.get(1_001)?.error).toBeNull();
  });

  test('a refused rule that is added to others is left out and named, and the others go on', async () => {
    const noPing = rule('no-ping', 'icmp type echo-request drop');
    const others = [noPing, rule('web', 'tcp dport 80 accept')];
    await inForce([A, B], [{ vni: 1_001, in: others, out: [] }]);
    await inForce([A, B], [{ vni: 1_001, in: [rule('bad', 'tcp dport nonsense accept'), ...others], out: [] }]);
    expect(reported.get(1_001)?.error).toMatch(/^in rule "tcp dport nonsense accept": /u);
    expect(await pings('b', '10.5.0.9')).toBe(false);
    await inForce([A, B], [{ vni: 1_001, in: others, out: [] }]);
    expect(reported.get(1_001)?.error).toBeNull();
  });

  test('more refused rules than are tried leave the other network as it shall be', async () => {
    const bad = Array.from({ length: 40 }, (_, at) => rule(`bad-${at}`, `tcp dport nonsense${at} accept`));
    await inForce([A, B], [{ vni: 1_001, in: bad, out: [] }, { vni: 1_002, in: [rule('no-ping', 'icmp type echo-request drop')], out: [] }]);
    expect(reported.get(1_001)?.error).toMatch(/nonsense0 .*nonsense31 /u);
    expect(reported.get(1_002)?.error).toBeNull();
    expect(await pings('a', '10.6.0.9')).toBe(false);
    await inForce([A, B]);
  });

  test('a table with a set of ours in another form is made anew in one transaction, bad rules left out', async () => {
    const acl: NetworkAcl = { vni: 1_002, in: [rule('bad', 'tcp dport nonsense accept'), rule('no-ping', 'icmp type echo-request drop')], out: [] };
    for (const set of ['set inet pvc clients { type ipv4_addr; }', 'set inet pvc marks { type ipv4_addr; }']) {
      await namespace.commands('nft delete table inet pvc', 'nft add table inet pvc', `nft add ${set}`);
      reconciler.doubt();
      await inForce([A, B], [acl]);
      expect([set, await pings('a', '10.6.0.9')]).toEqual([set, false]);
      expect(reported.get(1_002)?.error).toMatch(/^in rule "tcp dport nonsense accept": /u);
      expect(reported.get(1_001)?.error).toBeNull();
    }
    await inForce([A, B]);
  });

  test('what somebody broke by hand is repaired; tables of others stay', async () => {
    const acl: NetworkAcl = { vni: 1_002, in: [rule('no-ping', 'icmp type echo-request drop')], out: [] };
    await namespace.commands('nft add table inet theirs', 'nft add chain inet theirs c');
    await inForce([A, B], [acl]);
    for (const damage of ['flush chain inet pvc in-1002', 'delete table inet pvc', 'flush map inet pvc in', 'add element inet pvc in { "vmbr9" : drop }', 'add chain inet pvc stray', 'delete table bridge pvc']) {
      await namespace.commands(`nft ${damage}`);
      reconciler.doubt();
      await inForce([A, B], [acl]);
      expect([damage, await pings('a', '10.6.0.9')]).toEqual([damage, false]);
      expect((await firewall.list()).get('inet')?.chains.has('stray')).toBe(false);
    }
    const tables = await namespace.run(['nft', 'list', 'tables'], { timeoutMs: 10_000 });
    expect(tables.stdout).toContain('table inet theirs');
  });

  test('what somebody breaks between our transaction and the end of nft is repaired in the next round', async () => {
    const acl: NetworkAcl = { vni: 1_002, in: [rule('no-ping', 'icmp type echo-request drop')], out: [] };
    await inForce([A, B]);
    let isBroken = false;
    const hasty = aReconciler({
      list: (signal) => firewall.list(signal),
      listen: (listener) => firewall.listen(listener),
      stop: () => undefined,
      apply: async (document, signal) => {
        const fault = await firewall.apply(document, signal);
        if (isBroken) return fault;
        isBroken = true;
        await namespace.commands('nft delete table inet pvc');
        hasty.doubt();
        return fault;
      },
    });
    mirror.fill('network-acl', [versioned('1002', acl, 7)]);
    const round = async (): Promise<boolean> => {
      await hasty.reconcile(FIREWALL_KEY, new AbortController().signal);
      return pings('a', '10.6.0.9');
    };
    expect([await round(), await round()]).toEqual([true, false]);
    await inForce([A, B]);
  });

  test('no file is left behind', async () => {
    expect(await readdir(directory)).toEqual([]);
  });
});
