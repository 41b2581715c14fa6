import { expect, test } from 'vitest';
import { pathOf } from '../../common/schema/resources.ts';
import { vmStatistics } from '../../common/schema/vm-statistics.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aNodeName, aVmId } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import type { DomainStats } from '../drivers/hypervisor.ts';
import { VmStatisticsReporter } from './vm-statistics.ts';

const HV1 = aNodeName('hv1');
const PATH = pathOf('vm-statistics', HV1);

function aGuest(number: number, cpuNs = 1): DomainStats {
  return { uuid: aVmId(number), vcpus: 1, memoryMib: 512, figures: { cpuNs: [cpuNs, 0, 0], memory: {}, disks: {}, interfaces: {}, vnc: null } };
}

async function started(): Promise<{ store: MemoryStore; zookeeper: MemoryZooKeeper; reporter: VmStatisticsReporter }> {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock });
  const store = new MemoryStore({ zookeeper, clock, name: 'hv1' });
  await store.start(new AbortController().signal);
  return { store, zookeeper, reporter: new VmStatisticsReporter({ node: HV1, store }) };
}

test('all guests stand in one document, which is written only when a figure differs', async () => {
  const { store, reporter } = await started();
  await reporter.report([aGuest(1), aGuest(2)]);
  await reporter.report([aGuest(1), aGuest(2)]);
  expect(await store.read(PATH)).toMatchObject({ version: 0 });
  await reporter.report([aGuest(1, 2)]);
  const entry = await store.read(PATH);
  expect(entry?.version).toBe(1);
  expect(Object.keys(vmStatistics.parse(entry?.value).vms)).toEqual([aVmId(1)]);
});

test('a node that starts again goes on with the document of its last daemon, and a lost answer is made good', async () => {
  const { store, zookeeper, reporter } = await started();
  await reporter.report([aGuest(1)]);
  const next = new VmStatisticsReporter({ node: HV1, store });
  zookeeper.loseReply('hv1', 'done');
  await next.report([aGuest(1, 2)]);
  zookeeper.loseReply('hv1', 'not-done');
  await next.report([aGuest(1, 3)]);
  expect((await store.read(PATH))?.value).toMatchObject({ vms: { [aVmId(1)]: { cpuNs: [3, 0, 0] } } });
});

test('as many guests as are counted fit into a document', async () => {
  const { store, reporter } = await started();
  const large = 2 ** 60;
  const device = [large, large, large, large] as [number, number, number, number];
  const figures = { cpuNs: [large, large, large] as [number, number, number], memory: Object.fromEntries('abcdefghij'.split('').map((name) => [`balloon_${name}`, 2 ** 24])), disks: { sda: device, sdb: device }, interfaces: { '52:54:00:00:00:01': [...device, ...device] as never }, vnc: { listen: '0.0.0.0', port: 5_900 } };
  await reporter.report(Array.from({ length: 3_000 }, (_, number) => ({ ...aGuest(number), figures })));
  expect(Object.keys(vmStatistics.parse((await store.read(PATH))?.value).vms)).toHaveLength(1_000);
});
