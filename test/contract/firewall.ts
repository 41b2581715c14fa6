import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { delay, systemClock } from '../../common/clock.ts';
import type { ManagedNetwork, NetworkAcl } from '../../common/schema/network.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import type { Firewall, ObservedFirewall } from '../../node-daemon/drivers/firewall.ts';
import { desiredBase, desiredNetwork, desiredPorts, type FirewallPart } from '../../node-daemon/plans/firewall.ts';
import { diffFirewall, inForceAfter, RESET, TABLES } from '../../node-daemon/plans/firewall-diff.ts';
import { until } from '../support/until.ts';

export interface FirewallFixture {
  readonly firewall: Firewall;
  /** Changes something as another program would. */
  tamper(document: string): Promise<void>;
  /** Destination ports of a chain's rules, in order. */
  ports(chain: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Destination ports in lines of rules. */
export function portsIn(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /tcp dport (\d+)/u.exec(line)?.[1] ?? []);
}

const LIMIT_MS = 10_000;
/** Nft's monitor tells of a change within a few milliseconds. */
const QUIET_MS = 150;

function networkPart(network: ManagedNetwork, acl: NetworkAcl | undefined): FirewallPart {
  return desiredNetwork(network, acl, textDigest);
}

export function aNetwork(given: Partial<ManagedNetwork> = {}): ManagedNetwork {
  return {
    type: 'managed',
    vni: 1_001,
    description: 'office',
    mtu: null,
    domain: 'office.local',
    nameServers: [],
    ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: null },
    ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::1' },
    nat: true,
    antiSpoofing: true,
    ...given,
  };
}

const rule = (number: number): NetworkAcl['in'][number] => ({ description: `r${number}`, rule: `tcp dport ${number} ct state new accept` });

/** Tells whether a count has stood still since it was last asked, a moment before. */
function isQuiet(count: () => number): () => Promise<boolean> {
  let last = -1;
  return async () => {
    const before = last;
    last = count();
    await delay(systemClock, QUIET_MS);
    return before === count();
  };
}

/** What a driver of the packet filter must do, whatever is behind it: our own plans are its documents. */
export function firewallContract(name: string, makeFixture: () => Promise<FirewallFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`firewall: ${name}`, () => {
    let fixture: FirewallFixture;

    beforeAll(async () => {
      fixture = await makeFixture();
    });

    afterAll(async () => fixture.stop());

    beforeEach(async () => {
      expect(await fixture.firewall.apply(RESET.join('\n'))).toBeUndefined();
    });

    const base = desiredBase({ prefixes: ['10.77.0.0/24', 'fd00:77::/64'], devices: ['eth1'], upstreamDevice: 'eth0' }, textDigest);
    const mac = '52:54:00:aa:bb:01';
    const ports = desiredPorts([{ mac, network: aNetwork(), reservation: { mac, ip4: '10.5.0.9', ip6: '2001:db8:5::9', hostname: null } }], textDigest);
    const apply = async (parts: readonly FirewallPart[]): Promise<void> => {
      const changes = diffFirewall(parts, await fixture.firewall.list());
      expect(await fixture.firewall.apply([...TABLES, ...changes.flatMap(({ lines }) => lines)].join('\n'))).toBeUndefined();
    };
    const plain = (observed: ObservedFirewall): unknown => Object.fromEntries([...observed].map(([family, { chains, marks, sets }]) => [family, { chains: Object.fromEntries([...chains].sort().map(([name, { mark, ruleCount }]) => [name, [mark, ruleCount]])), marks: Object.fromEntries([...marks].sort()), sets: Object.fromEntries([...sets].sort().map(([set, held]) => [set, [...held].sort()])) }]));

    test('without our tables nothing is listed', async () => {
      await fixture.firewall.apply(RESET.join('\n'));
      expect(plain(await fixture.firewall.list())).toEqual({});
    });

    test('what was applied is listed, and nothing is left to be done', async () => {
      const parts = [base, ports, networkPart(aNetwork(), { vni: 1_001, in: [rule(22), rule(80)], out: [rule(25)] })];
      await apply(parts);
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter(parts)));
      expect(diffFirewall(parts, await fixture.firewall.list())).toEqual([]);
    });

    test('a changed rule changes its chain alone; a network that is gone takes its chains and elements along', async () => {
      const other = networkPart(aNetwork({ vni: 7, ip4: { network: '10.7.0.0/24', gateway: '10.7.0.1', dhcp: null }, ip6: null }), undefined);
      await apply([base, ports, networkPart(aNetwork(), { vni: 1_001, in: [rule(22)], out: [] }), other]);
      const changed = [base, ports, networkPart(aNetwork(), { vni: 1_001, in: [rule(23)], out: [] })];
      const changes = diffFirewall(changed, await fixture.firewall.list());
      expect(changes.map(({ vni, lines }) => [vni, lines.filter((line) => line.startsWith('add rule')).length])).toEqual([[undefined, 0], [1_001, 1]]);
      await apply(changed);
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter(changed)));
      await apply([base]);
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter([base])));
    });

    test.each([
      ['at the end', [22, 23, 80]],
      ['at the beginning', [80, 22, 23]],
      ['in the middle', [22, 80, 23]],
    ])('one rule more %s is one line, and the chain is as it shall be', async (_where, order) => {
      const before = [base, networkPart(aNetwork(), { vni: 1_001, in: [rule(22), rule(23)], out: [] })];
      const after = [base, networkPart(aNetwork(), { vni: 1_001, in: order.map(rule), out: [] })];
      await apply(before);
      const lines = diffFirewall(after, inForceAfter(before)).flatMap((change) => change.lines);
      expect(lines.filter((line) => / (rule|chain) /u.test(line))).toHaveLength(1);
      expect(await fixture.firewall.apply([...TABLES, ...lines].join('\n'))).toBeUndefined();
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter(after)));
      expect((await fixture.ports('in-1001')).map(Number)).toEqual(order);
    });

    test('rules more at the end are a line each, and the others are not touched', async () => {
      const before = [base, networkPart(aNetwork(), { vni: 1_001, in: [rule(22), rule(23)], out: [] })];
      const after = [base, networkPart(aNetwork(), { vni: 1_001, in: [22, 23, 80, 22, 81].map(rule), out: [] })];
      await apply(before);
      const lines = diffFirewall(after, inForceAfter(before)).flatMap((change) => change.lines);
      expect(lines.filter((line) => / (rule|chain) /u.test(line))).toHaveLength(3);
      expect(await fixture.firewall.apply([...TABLES, ...lines].join('\n'))).toBeUndefined();
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter(after)));
      expect((await fixture.ports('in-1001')).map(Number)).toEqual([22, 23, 80, 22, 81]);
    });

    test('a document with one bad rule changes nothing and the fault names its line', async () => {
      await apply([base]);
      const bad = networkPart(aNetwork(), { vni: 1_001, in: [rule(22), { description: 'x', rule: 'tcp dport bogus accept' }], out: [] });
      const document = [...TABLES, ...diffFirewall([base, bad], await fixture.firewall.list()).flatMap(({ lines }) => lines)];
      const fault = await fixture.firewall.apply(document.join('\n'));
      expect(document[(fault?.line ?? 0) - 1]).toContain('bogus');
      expect(fault?.message).not.toBe('');
      expect(plain(await fixture.firewall.list())).toEqual(plain(inForceAfter([base])));
    });

    test('a change by somebody else is told and found; one of our own is not told', async () => {
      const parts = [base, networkPart(aNetwork(), { vni: 1_001, in: [rule(22), rule(23)], out: [] })];
      let told = 0;
      const unlisten = fixture.firewall.listen(() => (told += 1));
      await fixture.tamper('add table inet pvc');
      const byHand = async (): Promise<boolean> => {
        await fixture.tamper('add chain inet pvc by-hand');
        await fixture.tamper('delete chain inet pvc by-hand');
        return told > 0;
      };
      // The first changes may come before a monitor is at work.
      await until(byHand, LIMIT_MS, 'the monitor');
      await apply(parts);
      await until(isQuiet(() => told), LIMIT_MS, 'the end of what was told');
      const before = told;
      await apply([base, networkPart(aNetwork(), { vni: 1_001, in: [rule(22)], out: [] })]);
      await apply(parts);
      await fixture.tamper('flush chain inet pvc in-1001');
      await until(() => told > before, LIMIT_MS, 'the change by hand');
      expect(told).toBe(before + 1);
      expect(diffFirewall(parts, await fixture.firewall.list()).map(({ vni }) => vni)).toEqual([1_001]);
      unlisten();
    });
  });
}
