import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HostLink, LinkChange, LinkDriver } from '../../node-daemon/drivers/link.ts';
import { until } from '../support/until.ts';

export interface LinkFixture {
  /** Not started. */
  readonly driver: LinkDriver;
  /** A device of the host with an MTU of 1,550 bytes, which carries tunnels from 10.77.0.1. */
  readonly underlay: string;
  /** As a person would, without our mark. */
  addBridge(name: string): Promise<void>;
  removeLink(name: string): Promise<void>;
  stop(): Promise<void>;
}

const LIMIT_MS = 10_000;

/** What a driver of links must do, whatever is behind it. Skipped, and counted as such, when something it needs is `missing`. */
export function linkDriverContract(name: string, makeFixture: () => Promise<LinkFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`links: ${name}`, () => {
    let fixture: LinkFixture;
    let driver: LinkDriver;
    const told: string[] = [];

    beforeAll(async () => {
      fixture = await makeFixture();
      driver = fixture.driver;
      driver.listen({ link: (link) => told.push(link) });
      await driver.start(new AbortController().signal);
    });

    afterAll(async () => {
      await driver.stop();
      await fixture.stop();
    });

    const link = async (wanted: string): Promise<HostLink | undefined> => (await driver.list([])).links.get(wanted);

    const tables = async (...devices: string[]): Promise<Record<string, string[]>> => {
      const { fdb } = await driver.list(devices);
      return Object.fromEntries(devices.map((device) => [device, (fdb.get(device) ?? []).map((entry) => `${entry.kind} ${entry.mac} ${entry.dst}`).sort()]));
    };

    const vxlan = (vni: number): LinkChange => ({ do: 'add-vxlan', name: `vxlan${vni}`, vni, local: '10.77.0.1', device: fixture.underlay, mtu: 1_450 });
    const bridge = (vni: number): LinkChange => ({ do: 'add-bridge', name: `vmbr${vni}`, mac: '02:50:00:00:00:07', mtu: 1_450 });

    test('a made bridge and its tunnel are ours, as they were asked for, and up only when told', async () => {
      expect(await driver.apply([bridge(7), vxlan(7)])).toEqual([]);
      expect(await link('vmbr7')).toMatchObject({ kind: 'bridge', ours: true, up: false, mtu: 1_450, mac: '02:50:00:00:00:07', bridge: { stp: false, forwardDelay: 0, mcastSnooping: false } });
      expect(await link('vxlan7')).toMatchObject({ kind: 'vxlan', ours: true, up: false, mtu: 1_450, vxlan: { vni: 7, local: '10.77.0.1', device: fixture.underlay, port: 4_789, learning: true } });
      const finish: LinkChange[] = ['vmbr7', 'vxlan7'].flatMap((one) => [{ do: 'silence', name: one } as const, { do: 'set-up', name: one } as const]);
      expect(await driver.apply([{ do: 'set-master', name: 'vxlan7', master: 'vmbr7' }, ...finish, { do: 'set-mtu', name: 'vxlan7', mtu: 1_400 }])).toEqual([]);
      expect(await link('vxlan7')).toMatchObject({ up: true, master: 'vmbr7', ipv6: false, mtu: 1_400 });
      expect(await link('vmbr7')).toMatchObject({ up: true, ipv6: false });
    });

    test('a link that somebody else made is not ours', async () => {
      await fixture.addBridge('vmbr9');
      expect(await link('vmbr9')).toMatchObject({ kind: 'bridge', ours: false });
      expect(await link(fixture.underlay)).toMatchObject({ ours: false, mtu: 1_550 });
    });

    test('a change that is refused is told, and the others are done', async () => {
      const again = bridge(7);
      const nowhere: LinkChange = { do: 'set-up', name: 'nowhere' };
      const failures = await driver.apply([again, nowhere, bridge(8), { do: 'set-mtu', name: 'vmbr8', mtu: 1_300 }, { do: 'remove-mac', device: 'vxlan7', mac: '52:54:00:00:00:99' }]);
      expect(failures.map(({ change }) => change.do)).toEqual(['add-bridge', 'set-up', 'remove-mac']);
      expect(failures.map(({ why }) => why)).toEqual([expect.stringContaining('exists'), expect.stringContaining('nowhere'), expect.stringContaining('No such')]);
      expect(await link('vmbr8')).toMatchObject({ mtu: 1_300 });
    });

    test('forwarding entries come, move and go, and are listed for the devices that were asked for', async () => {
      const device = 'vxlan7';
      const mac = '52:54:00:00:00:01';
      expect(await driver.apply([{ do: 'add-flood', device, dst: '10.77.0.2' }, { do: 'add-flood', device, dst: '10.77.0.3' }, { do: 'set-mac', device, mac, dst: '10.77.0.2' }])).toEqual([]);
      expect(await tables(device)).toEqual({ [device]: ['flood 00:00:00:00:00:00 10.77.0.2', 'flood 00:00:00:00:00:00 10.77.0.3', `told ${mac} 10.77.0.2`] });
      expect(await driver.apply([{ do: 'set-mac', device, mac, dst: '10.77.0.3' }, { do: 'remove-flood', device, dst: '10.77.0.2' }])).toEqual([]);
      expect(await tables(device)).toEqual({ [device]: ['flood 00:00:00:00:00:00 10.77.0.3', `told ${mac} 10.77.0.3`] });
      expect(await driver.apply([{ do: 'remove-mac', device, mac }])).toEqual([]);
      expect(await tables(device, 'vxlan404')).toEqual({ [device]: ['flood 00:00:00:00:00:00 10.77.0.3'], vxlan404: [] });
    });

    test('many tables at once are the same as each alone', async () => {
      const vnis = [21, 22, 23, 24, 25];
      const changes = vnis.flatMap((vni): LinkChange[] => [vxlan(vni), { do: 'add-flood', device: `vxlan${vni}`, dst: `10.77.0.${vni}` }]);
      expect(await driver.apply(changes)).toEqual([]);
      const all = await tables(...vnis.map((vni) => `vxlan${vni}`));
      for (const vni of vnis) expect(all[`vxlan${vni}`]).toEqual((await tables(`vxlan${vni}`))[`vxlan${vni}`]);
      expect(all['vxlan25']).toEqual(['flood 00:00:00:00:00:00 10.77.0.25']);
    });

    test('calls that come together have each its own answer', async () => {
      const [made, refused, listed] = await Promise.all([driver.apply([bridge(31)]), driver.apply([bridge(7)]), driver.list([])]);
      expect(made).toEqual([]);
      expect(refused).toHaveLength(1);
      expect(listed.links.get('vmbr7')).toBeDefined();
      expect(await link('vmbr31')).toBeDefined();
    });

    test('a removal takes all of its links, and one that is not there is fine', async () => {
      await driver.remove(['vxlan21', 'vxlan22', 'nowhere', 'vmbr31']);
      const { links } = await driver.list([]);
      expect(['vxlan21', 'vxlan22', 'vmbr31', 'vxlan23', 'vmbr9'].filter((one) => links.has(one))).toEqual(['vxlan23', 'vmbr9']);
      await driver.remove(['vxlan21']);
      await driver.remove([]);
    });

    test('a link that is removed by hand is told of, and its ports have no bridge any more', async () => {
      // The monitor may be on its way yet.
      await until(
        async () => {
          await driver.apply([{ do: 'set-mtu', name: 'vmbr7', mtu: told.length % 2 === 0 ? 1_400 : 1_401 }]);
          return told.includes('vmbr7');
        },
        LIMIT_MS,
        'events come',
      );
      told.length = 0;
      await fixture.removeLink('vmbr7');
      await until(() => told.includes('vmbr7') && told.includes('vxlan7'), LIMIT_MS, 'the removal is told');
      expect((await link('vxlan7'))?.master).toBeUndefined();
      expect(await link('vmbr7')).toBeUndefined();
    });

    test('frames inside of bridges are kept out of the packet filter of IP, once', async () => {
      expect(await driver.keepBridgesOutOfFilter()).toBe(true);
      expect(await driver.keepBridgesOutOfFilter()).toBe(false);
    });

    test('after its end nothing is told', async () => {
      await driver.stop();
      await driver.stop();
      told.length = 0;
      await driver.apply([{ do: 'set-mtu', name: 'vmbr8', mtu: 1_310 }]);
      await driver.list([]);
      expect(told).toEqual([]);
    });
  });
}
