import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { AppError } from '../../../common/errors.ts';
import { silentLogger } from '../../../common/log.ts';
import type { Run } from '../../../common/process.ts';
import { IpLinkDriver } from '../../../node-daemon/drivers/ip-link-driver.ts';
import { planNetwork, type NetworkView } from '../../../node-daemon/plans/network.ts';
import { Machine, machineMissing } from '../../support/machine.ts';

const BOOT_LIMIT_MS = 480_000;
const VNI = 100;

/** This kernel may have no 8021q; the emulated machine's has. */
const missing = machineMissing();

/** Two hosts with a cable between their trunk devices, and a guest in each network. */
const HOSTS = `set -e
for host in a b; do ip netns add hv$host; ip -n hv$host link set lo up; done
ip -n hva link add eth1 type veth peer name eth1 netns hvb
for host in a b; do ip -n hv$host link set eth1 up; done`;

describe.skipIf(missing !== undefined)('a bridged network over real VLANs', { timeout: BOOT_LIMIT_MS }, () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await Machine.start({ prepare: '', files: {}, forwards: [] });
    await machine.exec(HOSTS);
  }, BOOT_LIMIT_MS);

  afterAll(async () => machine?.stop());

  const runOn = (host: string): Run => async (command, { input }) => {
    const words = command.map((word) => `'${word}'`).join(' ');
    const given = input === undefined ? '</dev/null' : `<<'END'\n${input}END\n`;
    try {
      return { stdout: await machine.exec(`ip netns exec hv${host} ${words} ${given}`), stderr: '' };
    } catch (error) {
      throw new AppError('component', 'command failed', { command, stderr: String(error) });
    }
  };

  const driverOf = (host: string): IpLinkDriver => new IpLinkDriver({ run: runOn(host), follow: async () => undefined, clock: systemClock, log: silentLogger });

  const viewOf = async (host: string, driver: IpLinkDriver): Promise<NetworkView> => ({
    vni: VNI,
    node: { name: `hv${host}`, address: '10.77.0.1', clusterDevice: 'eth0', bridgeDevice: 'eth1' },
    wanted: { spec: { type: 'bridged', vni: VNI, description: 'lan', mtu: null }, peers: [], complete: true, guests: new Map(), taps: [] },
    host: await driver.list([]),
    fresh: true,
  });

  test('is made from nothing, found right afterwards, carries tagged frames between hosts, and goes', async () => {
    for (const host of ['a', 'b']) {
      const driver = driverOf(host);
      const plan = planNetwork(await viewOf(host, driver));
      if (plan.kind === 'blocked') throw new Error(plan.why);
      expect(await driver.apply(plan.changes)).toEqual([]);
      expect(planNetwork(await viewOf(host, driver))).toMatchObject({ kind: 'changes', changes: [], mtu: 1_500 });
      expect((await driver.list([])).links.get('vlan100')).toMatchObject({ ours: true, up: true, master: 'vmbr100', vlan: { id: VNI, device: 'eth1' } });
    }
    const ping = (target: string): Promise<string> => machine.exec(`ip netns exec ga ping -c 1 -W 5 ${target}`);
    await machine.exec(`set -e
for host in a b; do
  ip netns add g$host
  ip -n hv$host link add tap$host type veth peer name eth0 netns g$host
  ip -n hv$host link set tap$host master vmbr100 up
  ip -n g$host link set eth0 up
done
ip -n ga address add 192.168.100.1/24 dev eth0
ip -n gb address add 192.168.100.2/24 dev eth0
ip -n hvb address add 192.168.100.3/24 dev eth1`);
    expect(await ping('192.168.100.2')).toContain('1 received');
    // Untagged on the same cable: another network.
    await expect(ping('192.168.100.3')).rejects.toThrow('0 received');
    const driver = driverOf('a');
    await driver.remove(['vlan100', 'vmbr100']);
    expect([...(await driver.list([])).links.keys()].sort()).toEqual(['eth1', 'lo', 'tapa']);
  });
});
