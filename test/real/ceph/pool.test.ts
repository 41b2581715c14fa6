import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { drop, putVm } from '../../contract/api-support.ts';
import { aVmId } from '../../support/builders.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { startScene, xmlWithDisks, type StorageScene } from './storage-support.ts';

/** OSDs go on to report for seconds after a change, and the API's figures are some seconds old. */
const FIGURES = { timeout: 60_000, interval: 500 };

describe.skipIf(cephMissing() !== undefined)('pools', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms'] });
  });

  afterAll(() => scene.stop());

  async function setting(pool: string, name: string): Promise<unknown> {
    return ((await scene.json('ceph', 'osd', 'pool', 'get', pool, name)) as Record<string, unknown>)[name];
  }

  /** What a request could change; Ceph changes other fields by itself, such as what it has removed of snapshots. */
  async function settings(): Promise<unknown> {
    const pools = (await scene.json('ceph', 'osd', 'pool', 'ls', 'detail')) as Record<string, unknown>[];
    return pools.map((pool) => ['pool_name', 'size', 'min_size', 'pg_num_target', 'crush_rule', 'application_metadata'].map((key) => pool[key]));
  }

  async function poolNames(query: Record<string, string> = {}): Promise<string[]> {
    const { code, body } = await scene.ask('/pool', { query });
    expect(code).toBe(200);
    return (body as { name: string }[]).map(({ name }) => name);
  }

  async function refusal(path: string, options: Parameters<StorageScene['ask']>[1]): Promise<string> {
    const answer = await scene.ask(path, options);
    expect([answer.code, answer.text]).toEqual([510, expect.any(String)]);
    return (answer.body as { message: string }).message;
  }

  test('a pool is made as it was asked for, for volumes', async () => {
    expect(await scene.command('/pool', { query: { pool: 'one', pgs: '16', replcfg: 'copies=2,mincopies=2' } })).toBe('pool one is added');
    expect(await Promise.all(['size', 'min_size', 'pg_num', 'pg_autoscale_mode'].map((name) => setting('one', name)))).toEqual([2, 2, 16, 'off']);
    expect(await scene.json('ceph', 'osd', 'pool', 'application', 'get', 'one')).toEqual({ rbd: {} });
    await scene.command('/volume', { query: { pool: 'one', volume: 'x', size: '1M' } });
    await scene.command('/pool/single', { query: { pgs: '8', replcfg: 'copies=1,mincopies=1' } });
    expect(await Promise.all(['size', 'min_size'].map((name) => setting('single', name)))).toEqual([1, 1]);
  });

  test('without a replication Ceph decides', async () => {
    await scene.command('/pool', { query: { pool: 'default', pgs: '8' } });
    expect([await setting('default', 'size'), await setting('default', 'min_size')]).toEqual([2, 1]);
  });

  test('a pool can be kept on disks of one class', async () => {
    const classes = (await scene.json('ceph', 'osd', 'crush', 'class', 'ls')) as string[];
    const tier = classes[0] ?? '';
    await scene.command('/pool', { query: { pool: 'tiered', pgs: '8', tier } });
    expect((await scene.ask('/pool/tiered')).body.tier).toBe(tier);
    const other = ['hdd', 'ssd', 'nvme'].find((one) => !classes.includes(one)) ?? '';
    expect(await refusal('/pool', { method: 'POST', query: { pool: 'nowhere', pgs: '8', tier: other } })).toContain(other);
    expect(await poolNames()).not.toContain('nowhere');
  });

  test('the figures are those of Ceph', async () => {
    await scene.ceph.exec(['rbd', 'import', '-', 'vms/data'], 'x'.repeat(100_000));
    await vi.waitFor(async () => {
      const { body } = await scene.ask('/pool/vms');
      const df = (await scene.json('ceph', 'df', 'detail')).pools.find(({ name }: { name: string }) => name === 'vms');
      const rados = (await scene.json('rados', 'df')).pools.find(({ name }: { name: string }) => name === 'vms');
      expect(body).toMatchObject({ name: 'vms', volume_count: 1, pgs: '8', tier: 'default', copies: 2, mincopies: 1 });
      expect(body.stats).toEqual({
        id: df.id,
        free_bytes: expect.any(Number),
        used_bytes: df.stats.bytes_used,
        stored_bytes: df.stats.stored,
        used_percent: expect.any(Number),
        num_objects: rados.num_objects,
        num_object_clones: rados.num_object_clones,
        num_object_copies: rados.num_object_copies,
        num_objects_missing_on_primary: rados.num_objects_missing_on_primary,
        num_objects_unfound: rados.num_objects_unfound,
        num_objects_degraded: rados.num_objects_degraded,
        read_ops: rados.read_ops,
        read_bytes: rados.read_bytes,
        write_ops: rados.write_ops,
        write_bytes: rados.write_bytes,
      });
      expect(body.stats.free_bytes / df.stats.max_avail).toBeCloseTo(1, 1);
    }, FIGURES);
    expect((await scene.ask('/pool', { query: { limit: '^vms$' } })).body).toHaveLength(1);
  });

  test('pools come and go with what others do, and only those for volumes are shown', async () => {
    await scene.ceph.exec(['ceph', 'osd', 'pool', 'create', 'by-hand', '8']);
    expect(await poolNames()).not.toContain('by-hand');
    await scene.ceph.exec(['ceph', 'osd', 'pool', 'application', 'enable', 'by-hand', 'rbd']);
    expect(await poolNames({ limit: 'hand' })).toEqual(['by-hand']);
    await scene.ceph.exec(['ceph', 'osd', 'pool', 'rm', 'by-hand', 'by-hand', '--yes-i-really-really-mean-it']);
    expect(await poolNames({ limit: 'hand' })).toEqual([]);
    expect((await scene.ask('/pool/by-hand')).code).toBe(404);
    expect((await scene.ask('/pool/device_health_metrics')).code).toBe(404);
  });

  test('what cannot be is refused by its name, and changes nothing', async () => {
    const before = await settings();
    const create = (query: Record<string, string>): Promise<string> => refusal('/pool', { method: 'POST', query });
    expect(await create({ pool: 'vms', pgs: '8' })).toContain('exists');
    expect(await create({ pool: 'device_health_metrics', pgs: '8' })).toContain('exists');
    for (const pool of ['', '--x', 'a/b', '.mgr', 'a b', 'x'.repeat(200)]) expect(await create({ pool, pgs: '8' })).toContain('pool');
    for (const pgs of ['', '0', '-8', '1.5', 'x', '65537']) expect(await create({ pool: 'x', pgs })).toContain('pgs');
    for (const replcfg of ['3', 'copies=0', 'copies=2,mincopies=3', 'size=2']) expect(await create({ pool: 'x', pgs: '8', replcfg })).toContain('replcfg');
    // More than Ceph permits for two OSDs.
    expect(await create({ pool: 'x', pgs: '65536' })).toContain('pg_num');
    expect(await settings()).toEqual(before);
  });

  test('placement groups can be made more', async () => {
    await scene.command('/pool/default', { method: 'PUT', query: { pgs: '16' } });
    expect((await scene.ask('/pool/default')).body.pgs).toBe('16');
    expect(await refusal('/pool/absent', { method: 'PUT', query: { pgs: '16' } })).toContain('absent');
  });

  test('of requests for the same name at once one is done', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => scene.ask('/pool', { method: 'POST', query: { pool: 'same', pgs: '8' } })));
    expect(answers.map(({ code }) => code).sort()).toEqual([200, 510, 510]);
  });

  test('a pool is removed only when that is really meant, and not while a VM has a disk in it', async () => {
    expect(await refusal('/pool/one', { method: 'DELETE' })).toContain('yes_i_really_mean_it');
    expect(await refusal('/pool/one', { method: 'DELETE', query: { yes_i_really_mean_it: 'no' } })).toContain('yes_i_really_mean_it');
    await putVm(scene.api, { uuid: aVmId(1), name: 'web1', xml: xmlWithDisks('web1', aVmId(1), 'one/x') });
    expect(await refusal('/pool/one', { method: 'DELETE', query: 'yes_i_really_mean_it' })).toContain('web1');
    await drop(scene.api, 'vm', aVmId(1));
    await scene.command('/pool/one', { method: 'DELETE', query: 'yes_i_really_mean_it' });
    expect((await scene.json('ceph', 'osd', 'pool', 'ls')) as string[]).not.toContain('one');
    expect(await refusal('/pool/one', { method: 'DELETE', query: 'yes-i-really-mean-it=yes' })).toContain('one');
  });

  test('a pool that is made anew under the name of a removed one can be used at once', async () => {
    const make = (): Promise<string> => scene.command('/pool', { query: { pool: 'again', pgs: '8' } });
    await make();
    for (let times = 0; times < 5; times += 1) {
      await scene.command('/volume', { query: { pool: 'again', volume: 'v', size: '1M' } });
      await scene.command('/pool/again', { method: 'DELETE', query: 'yes_i_really_mean_it' });
      await make();
    }
    expect((await scene.ask('/volume', { query: { pool: 'again' } })).body).toEqual([]);
  });

  test("Ceph's own refusal of a removal is told in its words", async () => {
    await scene.ceph.exec(['ceph', 'config', 'set', 'mon', 'mon_allow_pool_delete', 'false']);
    await scene.ceph.exec(['ceph', 'tell', 'mon.a', 'injectargs', '--mon_allow_pool_delete=false']);
    expect(await refusal('/pool/same', { method: 'DELETE', query: 'yes_i_really_mean_it' })).toContain('mon_allow_pool_delete');
    expect((await scene.json('ceph', 'osd', 'pool', 'ls')) as string[]).toContain('same');
  });
});
