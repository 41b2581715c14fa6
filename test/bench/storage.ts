import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import { startZooKeeper } from '../support/zookeeper-server.ts';
import { startApi } from './api-process.ts';
import { figure, median, quantile, type Figure } from './figure.ts';
import { sample, type BenchClient } from './http-client.ts';

/** The bars of the issue: a command's time is 50 times ours; a hundred volumes, 16 at once, take a third of the time of as many commands. */
const STATUS_BAR = 1 / 50;
const CREATE_BAR = 1;
const MANY_BAR = 1 / 3;
const LIST_BAR_MS = 25;
const OTHERS_BAR_MS = 20;

const AT_ONCE = 16;
const MANY = 100;
const LISTED = 1_000;
const COMMANDS = 11;
const POOL = 'vms';

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}

async function commands(count: number, command: (number: number) => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let number = 0; number < count; number += 1) samples.push(await elapsed(() => command(number)));
  return samples;
}

interface Scene {
  ceph: CephCluster;
  client: BenchClient;
}

function create(client: BenchClient, volume: string) {
  return client.post('/api/v1/storage/ceph/volume', { pool: POOL, volume, size: '1G' });
}

async function status({ ceph, client }: Scene): Promise<Figure[]> {
  const ours = median(await sample({ warmUp: 20, count: 200 }, () => client.get('/api/v1/storage/ceph/status')));
  const theirs = median(await commands(COMMANDS, () => ceph.exec(['ceph', 'status'])));
  return [figure('storage-status', ours, 'ms', null), figure('storage-status-ratio', ours / theirs, 'times', STATUS_BAR)];
}

async function oneVolume({ ceph, client }: Scene): Promise<Figure[]> {
  const ours = median(await sample({ warmUp: 2, count: 30 }, (number) => create(client, `one-${number}`)));
  const theirs = median(await commands(COMMANDS, (number) => ceph.exec(['rbd', 'create', '--size', '1G', `${POOL}/theirs-${number}`])));
  return [figure('volume-create', ours, 'ms', null), figure('volume-create-ratio', ours / theirs, 'times', CREATE_BAR)];
}

/** `count` volumes, 16 at once. */
async function createMany(client: BenchClient, name: string, count: number): Promise<void> {
  const clients = Array.from({ length: AT_ONCE }, () => client.another());
  const numbers = Array.from({ length: count }, (_, number) => number).values();
  await Promise.all(
    clients.map(async (one) => {
      for (const number of numbers) {
        const reply = await create(one, `${name}-${number}`);
        if (reply.status !== 200) throw new Error(reply.body);
      }
      one.close();
    }),
  );
}

/** Not the first ones: the threads that make volumes side by side are started when they are first needed. */
async function manyVolumes({ ceph, client }: Scene): Promise<Figure[]> {
  await createMany(client, 'first', AT_ONCE * 2);
  const ours = await elapsed(() => createMany(client, 'many', MANY));
  const theirs = (await commands(MANY, (number) => ceph.exec(['rbd', 'create', '--size', '1G', `${POOL}/by-command-${number}`]))).reduce((sum, one) => sum + one, 0);
  return [figure(`volumes-${MANY}-at-once`, ours / 1_000, 's', null), figure(`volumes-${MANY}-ratio`, ours / theirs, 'times', MANY_BAR)];
}

async function list({ client }: Scene): Promise<Figure[]> {
  const now = volumesOf((await client.get('/api/v1/storage/ceph/volume')).body);
  await createMany(client, 'listed', LISTED - now);
  const samples = await sample({ warmUp: 5, count: 200 }, async () => {
    const reply = await client.get('/api/v1/storage/ceph/volume');
    if (volumesOf(reply.body) !== LISTED) throw new Error('the list lacks a volume');
    return reply;
  });
  return [figure(`volume-list-${LISTED}`, median(samples), 'ms', LIST_BAR_MS), figure(`volume-list-${LISTED}-slowest`, quantile(samples, 1), 'ms', null)];
}

function volumesOf(body: string): number {
  return body.split('"block_name_prefix"').length - 1;
}

/** Other calls while the only OSD hangs, and as many storage calls as it takes to fill every thread hang with it. */
async function hungOsd({ ceph, client }: Scene): Promise<Figure[]> {
  const [osd] = ceph.osds;
  osd?.pause();
  const hanging = Array.from({ length: AT_ONCE }, () => client.another());
  const replies = hanging.map((one, number) => elapsed(() => create(one, `hung-${number}`)));
  try {
    const others = await sample({ warmUp: 20, count: 500 }, () => client.get('/api/v1/status'));
    const cephStatus = await sample({ warmUp: 5, count: 100 }, () => client.get('/api/v1/storage/ceph/status'));
    const slowest = Math.max(...(await Promise.all(replies)));
    return [figure('hung-osd-others-p99', quantile(others, 0.99), 'ms', OTHERS_BAR_MS), figure('hung-osd-status', median(cephStatus), 'ms', null), figure('hung-osd-refusal', slowest / 1_000, 's', null)];
  } finally {
    osd?.resume();
    for (const one of hanging) one.close();
  }
}

/** A Ceph with one OSD that nobody would call down when it hangs. */
async function measure(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'pvc-bench-'));
  const ensemble = await startZooKeeper(1);
  const ceph = await startCephCluster({ osds: 1, pools: [POOL], settings: ['mon osd report timeout = 900'] });
  try {
    const api = await startApi(folder, ensemble.hosts[0] ?? '', { config_file: ceph.configFile, client: 'client.admin', keyring_file: ceph.keyringFile });
    try {
      const scene = { ceph, client: api.client };
      const figures: Figure[] = [];
      for (const part of [status, oneVolume, manyVolumes, list, hungOsd]) figures.push(...(await part(scene)));
      return figures;
    } finally {
      await api.stop();
    }
  } finally {
    await ceph.stop();
    await ensemble.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

export const storage = { name: 'storage', measure };
