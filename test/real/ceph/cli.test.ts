import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { putVm, TOKEN } from '../../contract/api-support.ts';
import { aVmId } from '../../support/builders.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { pvc, type Ran } from '../../support/memory-terminal.ts';
import { until } from '../../support/until.ts';
import { imageNames, startScene, xmlWithDisks, type StorageScene } from './storage-support.ts';

describe.skipIf(cephMissing() !== undefined)('pvc storage', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms'] });
  });

  afterAll(() => scene.stop());

  const run = (line: string): Promise<Ran> => pvc({ PVC_API_URL: scene.api.base, PVC_API_TOKEN: TOKEN }, 'storage', ...line.split(' '));
  /** Standard output of a command that must succeed. */
  async function said(line: string): Promise<string> {
    const { code, stdout, stderr } = await run(line);
    expect([code, stderr], line).toEqual([0, '']);
    return stdout;
  }
  const rows = (text: string): string[][] => text.trimEnd().split('\n').map((one) => one.split(/ {2,}/u));
  const sizeOf = async (volume: string): Promise<unknown> => (await scene.json('rbd', 'info', `vms/${volume}`)).size;
  const snapshotsOf = async (volume: string): Promise<string[]> => ((await scene.json('rbd', 'snap', 'ls', `vms/${volume}`)) as { name: string }[]).map(({ name }) => name);
  const contentOf = async (volume: string): Promise<string> => (await scene.ceph.exec(['rbd', 'export', `vms/${volume}`, '-'])).slice(0, 3);

  test('what Ceph says of itself is shown as it is', async () => {
    expect(await said('status')).toMatch(/health: HEALTH_(.|\n)*osd: 2 osds: 2 up.*2 in/u);
    expect(await said('util')).toMatch(/^POOL_NAME.*\n(.*\n)*vms /u);
    expect(JSON.parse(await said('status --format json'))).toMatchObject({ type: 'status', primary_node: 'hv1' });
  });

  test('OSDs are listed with their figures, taken out and in, and flags are set', async () => {
    const dump = async (): Promise<{ osds: { osd: number; in: number }[]; flags_set: string[] }> => scene.json('ceph', 'osd', 'dump');
    expect(rows(await said('osd list --columns id,up,in')).slice(1)).toEqual([['0', 'up', 'in'], ['1', 'up', 'in']]);
    expect(await said('osd list --columns size,free,use')).toMatch(/\n[\d.]+ [GM]iB {2,}[\d.]+ [GM]iB {2,}[\d.]+ %\n/u);
    expect(await said('osd list osd.1 --columns id --format raw')).toBe('1\n');
    await said('osd out 1');
    expect([(await dump()).osds[1]?.in, await said('osd state 1 --columns up,in --format raw')]).toEqual([0, 'up\nout\n']);
    await said('osd in 1');
    expect(rows(await said('osd info 1'))).toContainEqual(['in', 'in']);
    await said('osd set noout');
    expect((await dump()).flags_set).toContain('noout');
    await said('osd unset noout');
    expect((await dump()).flags_set).not.toContain('noout');
    expect((await run('osd remove 1')).stderr).toMatch(/^pvc: OSD 1 on \S+ of node \S+ is removed, and its disk is emptied; its data \([\d.]+ \w*B in \d+ placement groups\) moves to other OSDs first: say --yes/u);
    expect(await run('osd remove 1 --yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('no OSD of a node has this number') });
  });

  test('a volume is added, grows, is copied and renamed', async () => {
    await said('volume add vms web1 10M');
    expect(rows(await said('volume list'))).toEqual([['POOL', 'NAME', 'SIZE', 'OBJECTS', 'SNAPSHOTS'], ['vms', 'web1', '10.0 MiB', '3', '0']]);
    await said('volume resize vms web1 20M');
    expect([await sizeOf('web1'), await said('volume scan vms web1')]).toEqual([20 * 1_024 ** 2, `volume vms/web1 has ${20 * 1_024 ** 2} bytes\n`]);
    await said('volume clone vms web1 copy');
    await said('volume rename vms copy other');
    expect(await imageNames(scene, 'vms')).toEqual(['other', 'web1']);
    expect(await run('volume resize vms web1 5M')).toMatchObject({ code: 1, stderr: expect.stringMatching(/smaller/u) });
    expect(await said('volume list ^oth --pool vms --columns name --format raw')).toBe('other\n');
  });

  test('a snapshot is made, renamed, come back to with a word about what is lost, and removed', async () => {
    await scene.ceph.exec(['rbd', 'import', '-', 'vms/data'], 'one'.padEnd(4_096));
    await said('snapshot add vms data before');
    await said('snapshot rename vms data before first');
    await scene.ceph.exec(['rbd', 'bench', '--io-type', 'write', '--io-total', '4K', '--io-size', '4K', 'vms/data']);
    await said('volume resize vms data 1M');
    expect(await snapshotsOf('data')).toEqual(['first']);
    expect(await contentOf('data')).not.toBe('one');
    const [{ timestamp } = { timestamp: '' }] = (await scene.json('rbd', 'snap', 'ls', 'vms/data')) as { timestamp: string }[];
    expect(rows(await said('snapshot list --pool vms --volume data'))).toEqual([['POOL', 'VOLUME', 'NAME', 'SIZE', 'CREATED'], ['vms', 'data', 'first', '4.00 KiB', timestamp]]);
    const info = await said('volume info vms data');
    expect(info.slice(info.indexOf('Snapshots'))).toMatch(/^Snapshots\nNAME.*\nfirst .*\n$/u);
    expect((await run('snapshot rollback vms data first')).stderr).toContain(`all that was written to volume vms/data since ${timestamp} is lost; its size becomes 4.00 KiB again, from 1.00 MiB: say --yes`);
    await said('snapshot rollback vms data first --yes');
    expect([await sizeOf('data'), await contentOf('data')]).toEqual([4_096, 'one']);
    expect((await run('snapshot remove vms data first')).stderr).toContain(`what volume vms/data was on ${timestamp} (snapshot first, 4.00 KiB) is lost`);
    await said('snapshot remove vms data first --yes');
    expect(await snapshotsOf('data')).toEqual([]);
  });

  test('a removal says what is lost with it, and whose disk it is', async () => {
    await said('volume add vms lost 10M');
    for (const name of ['a', 'b']) await said(`snapshot add vms lost ${name}`);
    expect((await run('volume remove vms lost')).stderr).toContain('volume vms/lost (10.0 MiB) is removed with all that is on it; lost with it: 2 snapshots (a, b): say --yes');
    await putVm(scene.api, { uuid: aVmId(1), name: 'db1', xml: xmlWithDisks('db1', aVmId(1), 'vms/lost') });
    expect((await run('volume remove vms lost')).stderr).toContain('it is a disk of VM db1: the cluster refuses');
    expect(await run('volume remove vms lost --yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('db1') });
    expect((await run('pool remove vms')).stderr).toMatch(/pool vms is removed with everything in it: .*; lost with it: \d volumes \(.*lost.*\), 2 snapshots; volumes of it are disks of VM db1: the cluster refuses/u);
    expect(await imageNames(scene, 'vms')).toContain('lost');
  });

  test('a shell completes the names of pools, volumes, snapshots and OSDs', async () => {
    const offered = async (line: string): Promise<string[]> => {
      const { code, stdout } = await pvc({ PVC_API_URL: scene.api.base, PVC_API_TOKEN: TOKEN }, 'complete', 'storage', ...line.split(' '));
      expect(code, line).toBe(0);
      return stdout.split('\n').map((one) => one.split('\t')[0] ?? '').filter((one) => one !== '');
    };
    await said('volume add vms named 10M');
    await said('snapshot add vms named here');
    expect(await offered('pool info v')).toEqual(['vms']);
    expect(await offered('volume info vms nam')).toEqual(['named']);
    expect(await offered('snapshot info vms named ')).toEqual(['here']);
    expect(await offered('osd out ')).toEqual(['0', '1']);
  });

  test('a pool is added, changed and removed', async () => {
    await said('pool add fast 8 --replcfg copies=2,mincopies=1');
    expect(rows(await said('pool list fast --columns name,tier,pgs,copies,mincopies'))).toEqual([['NAME', 'TIER', 'PGS', 'COPIES', 'MINCOPIES'], ['fast', 'default', '8', '2', '1']]);
    await said('pool set-pgs fast 16');
    expect((await scene.json('ceph', 'osd', 'pool', 'ls', 'detail')).find(({ pool_name }: { pool_name: string }) => pool_name === 'fast')).toMatchObject({ pg_num_target: 16 });
    // Its groups are split meanwhile, and who lists its volumes waits; a count that takes too long is none.
    await until(async () => rows(await said('pool info fast')).some((row) => row.join(' ') === 'volumes 0'), 60_000, 'the number of its volumes');
    await said('pool remove fast --yes');
    expect(await scene.json('ceph', 'osd', 'pool', 'ls')).not.toContain('fast');
    expect(await run('pool info fast')).toMatchObject({ code: 1, stderr: 'pvc: there is no such pool (pool: fast) - pvc storage pool list has the names\n' });
  });
});
