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
import { startNetworkNamespace, type NetworkNamespace } from '../../support/network-namespace.ts';

const missing = process.getuid?.() !== 0 ? 'needs root' : ['/usr/bin/unshare', '/usr/bin/nsenter', '/usr/sbin/nft', '/bin/ping', '/bin/busybox'].find((file) => !existsSync(file));

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
  const inside = async (guest: string, ...command: [string, ...string[]]): Promise<boolean> => {
    try {
      await namespace.run(['ip', 'netns', 'exec', guest, ...command], { timeoutMs: 10_000 });
      return true;
    } catch (error) {
      if (isAppError(error, 'component')) return false;
      throw error;
    }
  };
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
