import { systemClock } from '../../common/clock.ts';
import { aManagedNetwork, aNodeName, aRunningVm, aStatus, aVmId } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { VxlanHosts, type RunningNetworks } from '../support/vxlan-hosts.ts';
import type { LoneBench } from './bench.ts';
import { figure, median, type Figure } from './figure.ts';

const NETWORKS = 100;
const FROM_NOTHING_BAR_S = 5;
const RESTART_BAR_S = 1;
/** Guests elsewhere, all in one network. */
const GUESTS = 2_000;
const MOVES = 20;
const LIMIT_MS = 120_000;

/** The links of 100 managed networks on a node among three, and the forwarding entry of one guest among thousands. */
export const networkLinks: LoneBench = {
  name: 'network-links',
  async measure() {
    const hosts = await VxlanHosts.start(3, 1_550);
    try {
      await hosts.announce();
      for (let vni = 1; vni <= NETWORKS; vni += 1) await hosts.put('network', String(vni), aManagedNetwork({ vni }));
      return [...(await starts(hosts)), ...(await moves(hosts))];
    } finally {
      await hosts.stop();
    }
  },
};

async function starts(hosts: VxlanHosts): Promise<Figure[]> {
  const nothing = await timed(async () => isIdle(await hosts.daemon('hv1')));
  const upBefore = await linksUp(hosts);
  if (upBefore !== 2 * NETWORKS) throw new Error(`${upBefore} links are up`);
  const restarts: number[] = [];
  for (let round = 0; round < 3; round += 1) restarts.push(await timed(async () => isIdle(await hosts.daemon('hv1'))));
  return [figure(`links-from-nothing-${NETWORKS}`, nothing / 1_000, 's', FROM_NOTHING_BAR_S), figure(`links-restart-${NETWORKS}`, median(restarts) / 1_000, 's', RESTART_BAR_S)];
}

/** Every network was looked at and is reported as up. */
async function isIdle(running: RunningNetworks): Promise<void> {
  const { controller } = running;
  await until(() => controller.counts().queued + controller.counts().running === 0, LIMIT_MS, 'nothing is left to do');
  if (controller.counts().failing > 0) throw new Error('a network failed');
}

async function linksUp(hosts: VxlanHosts): Promise<number> {
  const links = JSON.parse(await hosts.on('hv1', 'ip -json link show')) as { ifname: string; flags: string[] }[];
  return links.filter((link) => /^(vmbr|vxlan)/u.test(link.ifname) && link.flags.includes('UP')).length;
}

async function moves(hosts: VxlanHosts): Promise<Figure[]> {
  const put = async (number: number, owner: string): Promise<void> => {
    const uuid = aVmId(number);
    const interfaces = [{ mac: `52:54:00:00:${[number >> 8, number & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`, vni: 1 }];
    await hosts.put('vm', uuid, aRunningVm({ uuid, node: aNodeName(owner), interfaces }));
    await hosts.put('vm-status', uuid, aStatus({ owner: aNodeName(owner) }));
  };
  const entry = async (number: number): Promise<string> => {
    const mac = `52:54:00:00:${[number >> 8, number & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
    return hosts.on('hv1', `bridge fdb get ${mac} dev vxlan1 self`).catch(() => '');
  };
  const filled = await timed(async () => {
    for (let number = 1; number <= GUESTS; number += 1) await put(number, 'hv2');
    await until(async () => (await entry(GUESTS)).includes('10.77.0.2'), LIMIT_MS, 'all guests are known');
  });
  const took: number[] = [];
  for (let number = 1; number <= MOVES; number += 1) {
    took.push(
      await timed(async () => {
        await put(number, 'hv3');
        await until(async () => (await entry(number)).includes('10.77.0.3'), LIMIT_MS, 'the entry has moved');
      }),
    );
  }
  return [figure(`links-guests-${GUESTS}`, filled / 1_000, 's', null), figure(`links-entry-moved-${GUESTS}`, median(took), 'ms', null)];
}

async function timed(work: () => Promise<void>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}
