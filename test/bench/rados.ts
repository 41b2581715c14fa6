import { systemClock } from '../../common/clock.ts';
import { Rados } from '../../common/rados/rados.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import type { LoneBench } from './bench.ts';
import { figure, median, type Figure } from './figure.ts';

const IMAGES = 1_000;
const ROUNDS = 20;
const TOGETHER = 16;
const MANY = 100;
const SIZE_BYTES = 1024 ** 3;

/** What calls of the library take, beside the commands that do the same; one OSD on this machine. */
export const rados: LoneBench = {
  name: 'rados',
  async measure() {
    const ceph = await startCephCluster({ osds: 1, pools: ['vms'] });
    try {
      return await measureOn(ceph);
    } finally {
      await ceph.stop();
    }
  },
};

async function measureOn(ceph: CephCluster): Promise<Figure[]> {
  const connects = await samples(5, async () => (await Rados.connect({ configFile: ceph.configFile })).close());
  const connection = await Rados.connect({ configFile: ceph.configFile });
  try {
    const rbd = connection.rbd('vms');
    const status = (): Promise<unknown> => connection.monCommand({ prefix: 'status', format: 'json' }, { isRead: true });
    await rbd.create('first', SIZE_BYTES);
    const names = Array.from({ length: MANY }, (_, at) => `many-${at}`);
    const figures = [
      figure('rados-connect-and-close', median(connects), 'ms', null),
      figure('rados-mon-status', median(await samples(ROUNDS, status)), 'ms', null),
      figure('ceph-command-status', median(await samples(3, () => ceph.exec(['ceph', 'status']))), 'ms', null),
      figure('rados-image-create', median(await samples(ROUNDS, (at) => rbd.create(`one-${at}`, SIZE_BYTES))), 'ms', null),
      figure('rbd-command-create', median(await samples(5, (at) => ceph.exec(['rbd', 'create', '--size', '1G', `vms/command-${at}`]))), 'ms', null),
      figure(`rados-image-create-${MANY}-by-${TOGETHER}`, await timed(() => together(names, (name) => rbd.create(name, SIZE_BYTES))), 'ms', null),
      figure('rados-image-info', median(await samples(ROUNDS, () => rbd.info('first'))), 'ms', null),
    ];
    const more = Array.from({ length: IMAGES - (await rbd.list()).length }, (_, at) => `more-${at}`);
    await together(more, (name) => rbd.create(name, SIZE_BYTES));
    return [
      ...figures,
      figure(`rados-image-names-${IMAGES}`, median(await samples(ROUNDS, () => rbd.list())), 'ms', null),
      figure(`rados-image-listing-${IMAGES}`, median(await samples(ROUNDS, () => rbd.listInfo())), 'ms', null),
      figure(`rbd-command-names-${IMAGES}`, median(await samples(3, () => ceph.exec(['rbd', 'ls', 'vms']))), 'ms', null),
      figure(`rbd-command-listing-${IMAGES}`, await timed(() => ceph.exec(['rbd', 'ls', '-l', 'vms'])), 'ms', null),
    ];
  } finally {
    await connection.close();
  }
}

async function samples(count: number, work: (at: number) => Promise<unknown>): Promise<number[]> {
  const found: number[] = [];
  for (let at = 0; at < count; at += 1) found.push(await timed(() => work(at)));
  return found;
}

/** All of them, a few at a time. */
async function together(names: readonly string[], work: (name: string) => Promise<void>): Promise<void> {
  const queue = names.values();
  const worker = async (): Promise<void> => {
    for (const name of queue) await work(name);
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}
