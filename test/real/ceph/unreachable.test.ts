import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { aZooKeeper, ask, startApi } from '../../contract/api-support.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { until } from '../../support/until.ts';
import { startScene, type StorageScene } from './storage-support.ts';

/** Requests that do not need what hangs. */
const OTHERS_LIMIT_MS = 20;
/** On a machine with much else to do nothing takes 20 ms; then as many times as long as before. */
const OTHERS_FACTOR_MAX = 4;
/** What one operation may take here. */
const OPERATION_LIMIT_S = 3;
/** That, and a little for a busy machine; less than the default of one operation. */
const STORAGE_LIMIT_MS = OPERATION_LIMIT_S * 1_000 + 10_000;
/** The storage is looked at each 5 s, and further apart when a look takes long, as on a busy machine. */
const LOOK_LIMIT_MS = 60_000;

async function elapsed<T>(work: () => Promise<T>): Promise<{ result: T; elapsedMs: number }> {
  const beganMs = systemClock.monotonicMs();
  const result = await work();
  return { result, elapsedMs: systemClock.monotonicMs() - beganMs };
}

/** The middle one: all at once on a machine that others use too, the slowest would tell of the machine. */
async function usual(count: number, work: () => Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  for (let at = 0; at < count; at += 1) samples.push((await elapsed(work)).elapsedMs);
  return middle(samples);
}

function middle(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? NaN;
}

describe.skipIf(cephMissing() !== undefined)('storage that does not answer', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms'], operationTimeoutS: OPERATION_LIMIT_S });
  });

  afterAll(() => scene.stop());

  test('the state of the cluster at a glance has the storage', async () => {
    const { api, ceph } = scene;
    await scene.command('/volume', { query: { pool: 'vms', volume: 'a', size: '8M' } });
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'a', snapshot: 's' } });
    const seen = async (): Promise<any> => (await ask(api.base, '/status')).body; // eslint-disable-line @typescript-eslint/no-explicit-any -- a reply
    await until(async () => (await seen()).snapshots === 1, LOOK_LIMIT_MS);
    const status = await seen();
    expect(status).toMatchObject({ osds: { total: 2, 'up,in': 2 }, pools: 1, volumes: 1, snapshots: 1, resources: { disk: { total: 8 * 2 ** 20 } } });
    expect(status.detail.osd).toEqual([{ id: '0', up: 'up', in: 'in' }, { id: '1', up: 'up', in: 'in' }]);
    await ceph.exec(['ceph', 'osd', 'set', 'noout']);
    await ceph.osds[1]?.kill();
    await until(async () => (await seen()).cluster_health.messages.some(({ id }: { id: string }) => id === 'CEPH_OSDMAP_FLAGS'), LOOK_LIMIT_MS);
    expect((await seen()).health).toBe('Degraded');
    await until(async () => (await seen()).osds['down,in'] === 1, LOOK_LIMIT_MS);
    ceph.osds[1]?.start();
    await ceph.exec(['ceph', 'osd', 'unset', 'noout']);
    await until(async () => (await scene.ask('/osd/1/state')).body.up === 1, 60_000, 'the OSD is up again');
  });

  test('OSDs that hang cost storage calls a clear error within their limit, and others nothing', async () => {
    const { api, ceph } = scene;
    await scene.command('/volume', { query: { pool: 'vms', volume: 'held', size: '8M' } });
    const others = (): Promise<number> => usual(100, () => ask(api.base, '/status'));
    const status = (): Promise<number> => usual(20, () => scene.ask('/status'));
    const before = { others: await others(), status: await status() };
    // All of them: nobody is left to report them, and they stay in the map as up, which is the worst case.
    for (const osd of ceph.osds) osd.pause();
    try {
      const hanging = [
        scene.ask('/volume', { method: 'POST', query: { pool: 'vms', volume: 'b', size: '8M' } }),
        scene.ask('/volume/vms/held'),
        scene.ask('/volume'),
        scene.ask('/volume/snapshot', { method: 'POST', query: { pool: 'vms', volume: 'held', snapshot: 's' } }),
        scene.ask('/volume/vms/held', { method: 'DELETE' }),
      ].map((work) => elapsed(() => work));
      expect(await others()).toBeLessThan(Math.max(OTHERS_LIMIT_MS, OTHERS_FACTOR_MAX * before.others));
      expect(await status()).toBeLessThan(Math.max(OTHERS_LIMIT_MS, OTHERS_FACTOR_MAX * before.status));
      expect((await scene.ask('/pool')).body).toMatchObject([{ name: 'vms', volume_count: null }]);
      for (const { result, elapsedMs } of await Promise.all(hanging)) {
        expect([result.code, result.text]).toEqual([510, expect.stringMatching(/time limit|timed out|ETIMEDOUT|may have/u)]);
        expect(elapsedMs).toBeLessThan(STORAGE_LIMIT_MS);
      }
    } finally {
      for (const osd of ceph.osds) osd.resume();
    }
    await until(async () => (await scene.ask('/volume/vms/held')).code === 200, 60_000, 'the OSDs answer again');
  });

  test('monitors that hang, and come back: a clear error within the limit, and then all is as before', async () => {
    const { api, ceph } = scene;
    expect((await scene.ask('/pool')).code).toBe(200);
    ceph.mon.pause();
    try {
      const { result, elapsedMs } = await elapsed(() => scene.ask('/osd'));
      expect(result.code).toBe(510);
      expect(elapsedMs).toBeLessThan(STORAGE_LIMIT_MS);
      await until(async () => (await ask(api.base, '/status')).text.includes('STORAGE_NOT_SEEN'), LOOK_LIMIT_MS);
    } finally {
      ceph.mon.resume();
    }
    await until(async () => (await scene.ask('/osd')).code === 200, 30_000);
    await until(async () => !(await ask(api.base, '/status')).text.includes('STORAGE_NOT_SEEN'), LOOK_LIMIT_MS);
  });

  test('without any Ceph the API starts at once, and says so to storage calls', async () => {
    const ceph = { config_file: '/nonexistent/ceph.conf', client: 'client.admin', keyring_file: '/nonexistent/keyring' };
    const { result: api, elapsedMs } = await elapsed(() => startApi({ zookeeper: aZooKeeper(), ceph }));
    try {
      expect(elapsedMs).toBeLessThan(2_000);
      for (const path of ['/status', '/df', '/osd', '/pool', '/volume']) expect((await ask(api.base, `/storage/ceph${path}`)).code).toBe(510);
      expect((await ask(api.base, '/vm')).code).toBe(200);
    } finally {
      const { elapsedMs: stopMs } = await elapsed(() => api.stop());
      expect(stopMs).toBeLessThan(5_000);
    }
  });
});
