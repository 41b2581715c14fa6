import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aZooKeeper, ask, startApi } from '../../contract/api-support.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { until } from '../../support/until.ts';
import { startScene, type StorageScene } from './storage-support.ts';

describe.skipIf(cephMissing() !== undefined)('the storage cluster', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms'] });
  });

  afterAll(() => scene.stop());

  /** Ages and rates of a status change by themselves. */
  function steady(text: string): string {
    return text.replaceAll(/\((?:since|age) [^)]*\)|\(active, since [^)]*\)/gu, '()').replaceAll(/^ *(?:usage|objects|io|client|pgs):.*$/gmu, '');
  }

  test.each([['/status'], ['']])('%s is what ceph status prints', async (path) => {
    const print = async (): Promise<string> => steady((await scene.ceph.exec(['ceph', 'status'])).trimEnd());
    let [before, after, code, body] = ['', 'not asked', 0, {} as { ceph_data: string }];
    // The cluster is new, and what its manager says of it may change at any time.
    await until(async () => {
      before = await print();
      ({ code, body } = await scene.ask(path));
      after = await print();
      return before === after;
    }, 60_000, 'a status that stays');
    expect(code).toBe(200);
    expect(body).toEqual({ type: 'status', primary_node: 'hv1', ceph_data: expect.any(String) });
    expect(steady(body.ceph_data)).toBe(after);
    expect(body.ceph_data).toContain('osd: 2 osds: 2 up');
  });

  test.each([['/df'], ['/utilization']])('%s is what rados df prints', async (path) => {
    const { body } = await scene.ask(path);
    const printed = await scene.ceph.exec(['rados', 'df']);
    expect(body).toMatchObject({ type: 'utilization', primary_node: 'hv1' });
    const figures = (text: string): string => text.replaceAll(/\d+(?:\.\d+)?(?: [KMGT]?i?B)?/gu, 'N').replaceAll(/ +/gu, ' ');
    expect(figures(body.ceph_data)).toBe(figures(printed.trimEnd()));
  });

  test('flags are set and unset', async () => {
    const flags = async (): Promise<string[]> => (await scene.json('ceph', 'osd', 'dump')).flags_set as string[];
    expect(await scene.command('/cluster-option', { query: { action: 'set', option: 'noout' } })).toBe('option noout is set');
    await scene.command('/option', { query: { action: 'set', option: 'noscrub' } });
    expect(await flags()).toEqual(expect.arrayContaining(['noout', 'noscrub']));
    await scene.command('/cluster-option', { form: { action: 'unset', option: 'noout' } });
    await scene.command('/cluster-option', { form: { action: 'unset', option: 'noscrub' } });
    expect(await flags()).not.toContain('noout');
    for (const [action, option] of [['set', 'nothing'], ['reset', 'noout'], ['set', ''], ['set', 'noout --yes']]) {
      expect((await scene.ask('/cluster-option', { method: 'POST', query: { action: action ?? '', option: option ?? '' } })).code).toBe(510);
    }
  });

  test('the OSDs are those of Ceph', async () => {
    const { code, body } = await scene.ask('/osd');
    expect(code).toBe(200);
    const dump = (await scene.json('ceph', 'osd', 'dump')).osds as { osd: number; uuid: string }[];
    const [df] = (await scene.json('ceph', 'osd', 'df')).nodes as { kb: number; pgs: number; crush_weight: number }[];
    expect(body.map(({ id, fsid }: { id: string; fsid: string }) => [id, fsid])).toEqual(dump.map(({ osd, uuid }) => [String(osd), uuid]));
    const [metadata] = (await scene.json('ceph', 'osd', 'metadata')) as { hostname: string; bluestore_bdev_path: string }[];
    expect(body[0]).toMatchObject({ node: metadata?.hostname, device: metadata?.bluestore_bdev_path, is_split: false, db_device: null });
    const row = (await scene.ceph.exec(['ceph', 'osd', 'status'])).split('\n').find((line) => /^ *0 /u.test(line)) ?? '';
    const { stats } = body[0];
    expect(stats).toMatchObject({ up: 1, in: 1, primary_affinity: 1, kb: df?.kb, pgs: df?.pgs, weight: df?.crush_weight, reweight: 1, node: metadata?.hostname, state: 'exists,up' });
    expect(row).toContain(stats.state);
    expect(stats.used).toMatch(/^\d+(\.\d+)?[kMGT]?$/u);
    expect(stats.avail).toMatch(/^\d+(\.\d+)?[kMGT]?$/u);
    expect(stats.utilization).toBeGreaterThan(0);
    expect((await scene.ask('/osd/0')).body).toMatchObject({ id: '0', fsid: dump[0]?.uuid });
    const limited = async (limit: string): Promise<string[]> => (await scene.ask('/osd', { query: { limit } })).body.map(({ id }: { id: string }) => id);
    expect([await limited('^1$'), await limited('osd.0'), await limited('osd'), await limited('7')]).toEqual([['1'], ['0'], ['0', '1'], []]);
  });

  test('an OSD goes out, and in, and a stopped one is down', async () => {
    const isIn = async (): Promise<number> => ((await scene.json('ceph', 'osd', 'dump')).osds as { osd: number; in: number }[]).find(({ osd }) => osd === 1)?.in ?? -1;
    expect((await scene.ask('/osd/1/state')).body).toEqual({ id: '1', in: 1, up: 1 });
    await scene.command('/osd/1/state', { query: { state: 'out' } });
    expect(await isIn()).toBe(0);
    expect((await scene.ask('/osd/1/state')).body).toEqual({ id: '1', in: 0, up: 1 });
    expect((await scene.ask('/osd/1')).body.stats.in).toBe(0);
    await scene.command('/osd/1/state', { query: { state: 'in' } });
    expect(await isIn()).toBe(1);
    await scene.ceph.osds[1]?.kill();
    await until(async () => (await scene.ask('/osd/1/state')).body.up === 0, 30_000);
    scene.ceph.osds[1]?.start();
    await until(async () => (await scene.ask('/osd/1/state')).body.up === 1, 30_000);
  });

  test('an OSD that does not exist is 404 to a GET and 510 to a command', async () => {
    for (const path of ['/osd/9', '/osd/9/state']) expect((await scene.ask(path)).code).toBe(404);
    const answer = await scene.ask('/osd/9/state', { method: 'POST', query: { state: 'in' } });
    expect([answer.code, answer.text]).toEqual([510, expect.stringContaining('OSD')]);
    for (const id of ['x', '-1', '01x', 'all']) expect((await scene.ask(`/osd/${id}`)).code).toBe(510);
  });
});

describe('a cluster without storage', () => {
  test('says so to every request that is right', async () => {
    const api = await startApi({ zookeeper: aZooKeeper() });
    try {
      const requests: [string, string, string][] = [
        ['GET', '', ''], ['GET', '/status', ''], ['GET', '/df', ''], ['POST', '/cluster-option', 'action=set&option=noout'], ['GET', '/osd', ''], ['GET', '/osd/0', ''], ['GET', '/osd/0/state', ''],
        ['POST', '/osd/0/state', 'state=in'], ['GET', '/pool', ''], ['POST', '/pool', 'pool=a&pgs=8'], ['GET', '/pool/a', ''], ['PUT', '/pool/a', 'pgs=8'], ['DELETE', '/pool/a', 'yes_i_really_mean_it'],
        ['GET', '/volume', ''], ['POST', '/volume', 'pool=a&volume=b&size=1'], ['GET', '/volume/a/b', ''], ['PUT', '/volume/a/b', 'size=1'], ['DELETE', '/volume/a/b', ''], ['POST', '/volume/a/b/clone', 'new_volume=c'],
        ['GET', '/volume/snapshot', ''], ['POST', '/volume/snapshot', 'pool=a&volume=b&snapshot=c'], ['GET', '/volume/snapshot/a/b/c', ''], ['PUT', '/volume/snapshot/a/b/c', 'name=d'], ['DELETE', '/volume/snapshot/a/b/c', ''],
        ['POST', '/volume/snapshot/a/b/c/rollback', ''],
      ];
      for (const [method, path, query] of requests) {
        const answer = await ask(api.base, `/storage/ceph${path}`, { method, query });
        expect([method, path, answer.code, answer.text]).toEqual([method, path, 510, expect.stringContaining('has no storage')]);
      }
    } finally {
      await api.stop();
    }
  });
});
