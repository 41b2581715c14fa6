import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import { errnoOf } from '../../../common/rados/errno.ts';
import { Rados } from '../../../common/rados/rados.ts';
import { cephMissing, startCephCluster, type CephCluster } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { collect } from '../../support/collect.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** Reads and writes as client.admin with Debian's own binding; the program is given on standard input. */
const PYTHON = ['/usr/bin/python3', '-'];
const PROLOGUE = `import os, rados
cluster = rados.Rados(conffile=os.environ['CEPH_CONF'])
cluster.connect()
ioctx = cluster.open_ioctx('objects')
`;

describe.skipIf(cephMissing() !== undefined)('rados on a real Ceph', () => {
  let ceph: CephCluster;
  tellOnFailure(() => ceph);
  let rados: Rados;

  beforeAll(async () => {
    ceph = await startCephCluster({ osds: 1, pools: ['objects'] });
    rados = await Rados.connect({ configFile: ceph.configFile });
  });
  afterAll(async () => {
    await rados?.close();
    await ceph?.stop();
  });

  const python = async (program: string): Promise<string> => (await ceph.exec(PYTHON, `${PROLOGUE}${program}\ncluster.shutdown()\n`)).trim();

  test('version, fsid, address and statistics are those that the commands tell', async () => {
    expect(await rados.fsid()).toBe(ceph.fsid);
    expect(await rados.version()).toBe(await python('v = cluster.version(); print(f"{v.major}.{v.minor}.{v.extra}")'));
    expect(await rados.addresses()).toMatch(/^127\.\d+\.\d+\.\d+:0\/\d+$/u);
    const { totalBytes, usedBytes, availableBytes } = await rados.clusterStatistics();
    const { stats } = JSON.parse(await ceph.exec(['ceph', 'df', '-f', 'json'])) as { stats: { total_bytes: number } };
    expect(totalBytes).toBe(stats.total_bytes);
    expect(usedBytes + availableBytes).toBe(totalBytes);
  });

  test('time limits are set in Ceph itself', async () => {
    const other = await Rados.connect({ configFile: ceph.configFile, operationTimeoutMs: 7_000, connectTimeoutMs: 3_000, options: { rados_osd_op_timeout: '0' } });
    const names = ['client_mount_timeout', 'rados_mon_op_timeout', 'rados_osd_op_timeout'];
    const values = await Promise.all(names.map((name) => other.setting(name)));
    await other.close();
    expect(values.map(Number)).toEqual([3, 7, 7]);
  });

  test('commands of monitors, manager and OSD are answered, with their input', async () => {
    const status = await rados.monCommand({ prefix: 'status', format: 'json' }, { isRead: true });
    expect((JSON.parse(status.output.toString()) as { fsid: string }).fsid).toBe(ceph.fsid);
    const set = await rados.monCommand({ prefix: 'config-key set', key: 'test/key' }, { input: 'a value' });
    expect(set.status).toContain('test/key');
    expect(await ceph.exec(['ceph', 'config-key', 'get', 'test/key'])).toBe('a value');
    const pgs = await rados.mgrCommand({ prefix: 'pg stat', format: 'json' }, { isRead: true });
    expect(JSON.parse(pgs.output.toString())).toHaveProperty('pg_summary');
    const version = await rados.osdCommand(0, { prefix: 'version' }, { isRead: true });
    expect(JSON.parse(version.output.toString())).toHaveProperty('version');
  });

  test('a command that Ceph refuses tells number and words of Ceph, and no argument', async () => {
    const failure = await rados.monCommand({ prefix: 'osd pool set', pool: 'none', var: 'size', val: '3' }).catch((error: unknown) => error);
    expect(isAppError(failure, 'not-found')).toBe(true);
    expect(failure).toMatchObject({ details: { errno: 2, reason: 'ENOENT', prefix: 'osd pool set', status: expect.stringContaining('unrecognized pool') as string } });
    expect(JSON.stringify(failure)).not.toContain('"val"');
    await expect(rados.osdCommand(99, { prefix: 'version' })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('pools are made, found, listed and deleted', async () => {
    await rados.pools.create('made');
    expect(await rados.pools.list()).toContain('made');
    expect(await rados.pools.exists('made')).toBe(true);
    const pools = JSON.parse(await ceph.exec(['ceph', 'osd', 'lspools', '-f', 'json'])) as { poolnum: number; poolname: string }[];
    expect(await rados.pools.lookup('made')).toBe(pools.find((pool) => pool.poolname === 'made')?.poolnum);
    await expect(rados.pools.create('made')).rejects.toMatchObject({ code: 'exists' });
    await rados.pools.delete('made');
    expect(await rados.pools.exists('made')).toBe(false);
    await expect(rados.pools.delete('made')).rejects.toMatchObject({ code: 'not-found' });
    await expect(rados.ioctx('made').stat('x')).rejects.toMatchObject({ code: 'not-found', details: { pool: 'made' } });
  });

  test('a pool is placed by the rule that is asked for', async () => {
    await ceph.exec(['ceph', 'osd', 'crush', 'rule', 'create-replicated', 'other', 'default', 'osd']);
    const { rule_id: crushRule } = JSON.parse(await ceph.exec(['ceph', 'osd', 'crush', 'rule', 'dump', 'other', '-f', 'json'])) as { rule_id: number };
    await rados.pools.create('ruled', { crushRule });
    expect(JSON.parse(await ceph.exec(['ceph', 'osd', 'pool', 'get', 'ruled', 'crush_rule', '-f', 'json']))).toMatchObject({ crush_rule: 'other' });
    await rados.pools.delete('ruled');
    await expect(rados.pools.create('unruled', { crushRule: 99 })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('objects are written, read, lengthened, cut and removed', async () => {
    const ioctx = rados.ioctx('objects');
    await ioctx.writeFull('o', Buffer.from('hello'));
    await ioctx.append('o', Buffer.from(' world'));
    await ioctx.write('o', Buffer.from('J'), 0);
    expect((await ioctx.read('o')).toString()).toBe('Jello world');
    expect(await ceph.exec(['rados', '-p', 'objects', 'get', 'o', '-'])).toBe('Jello world');
    expect((await ioctx.read('o', { offsetBytes: 6, lengthBytes: 3 })).toString()).toBe('wor');
    expect((await ioctx.read('o', { offsetBytes: 100, lengthBytes: 3 })).byteLength).toBe(0);
    await ioctx.truncate('o', 5);
    const { sizeBytes, modifiedAtMs } = await ioctx.stat('o');
    expect(sizeBytes).toBe(5);
    expect(Math.abs(modifiedAtMs - systemClock.nowMs())).toBeLessThan(60_000);
    await ioctx.remove('o');
    await expect(ioctx.read('o')).rejects.toMatchObject({ code: 'not-found', details: { pool: 'objects', object: 'o', errno: 2 } });
  });

  test('an object that is placed by another key than its name is found by it only, as with python3-rados', async () => {
    const ioctx = rados.ioctx('objects');
    await ioctx.withLocator('beside').writeFull('placed', Buffer.from('here'));
    await expect(ioctx.read('placed')).rejects.toMatchObject({ code: 'not-found' });
    expect((await ioctx.withLocator('beside').read('placed')).toString()).toBe('here');
    expect(await python(`ioctx.set_locator_key('beside')
print(ioctx.read('placed').decode())`)).toBe('here');
    expect((await collect(ioctx.withLocator('another').objects())).find(({ name }) => name === 'placed')).toEqual({ name: 'placed', namespace: '', locator: 'beside' });
    await ioctx.withLocator('beside').remove('placed');
  });

  test('an object has a version, which grows with each write', async () => {
    const ioctx = rados.ioctx('objects');
    await ioctx.writeFull('counted', Buffer.from('a'));
    const { version } = await ioctx.stat('counted');
    await ioctx.append('counted', Buffer.from('b'));
    expect((await ioctx.stat('counted')).version).toBeGreaterThan(version);
    expect(await python(`ioctx.stat('counted')
print(ioctx.get_last_version())`)).toBe(String((await ioctx.stat('counted')).version));
    await ioctx.remove('counted');
  });

  test('large and empty values come back as they were', async () => {
    const ioctx = rados.ioctx('objects');
    const large = Buffer.alloc(8 * 1024 * 1024, 'large value ');
    await ioctx.writeFull('large', large);
    expect((await ioctx.read('large')).equals(large)).toBe(true);
    await ioctx.writeFull('empty', Buffer.alloc(0));
    expect((await ioctx.read('empty')).byteLength).toBe(0);
    await ioctx.setXattr('large', 'big', large.subarray(0, 60_000));
    expect((await ioctx.xattr('large', 'big')).equals(large.subarray(0, 60_000))).toBe(true);
    await ioctx.remove('large');
    await ioctx.remove('empty');
  });

  test('attributes and omap entries are kept with the object', async () => {
    const ioctx = rados.ioctx('objects');
    await ioctx.writeFull('kept', Buffer.from('x'));
    await ioctx.setXattr('kept', 'one', Buffer.from([0, 1, 2]));
    await ioctx.setXattr('kept', 'two', Buffer.alloc(0));
    expect([...(await ioctx.xattrs('kept'))].map(([name, value]) => [name, [...value]])).toEqual([['one', [0, 1, 2]], ['two', []]]);
    await ioctx.removeXattr('kept', 'two');
    await expect(ioctx.xattr('kept', 'two')).rejects.toMatchObject({ code: 'not-found' });
    const entries = Array.from({ length: 3_000 }, (_, at): [string, Buffer] => [`key-${String(at).padStart(5, '0')}`, Buffer.from(`value ${at}`)]);
    await ioctx.setOmap('kept', new Map([...entries, ['other', Buffer.from('o')]]));
    const read = await collect(ioctx.omap('kept', { prefix: 'key-' }));
    expect(read.map(([key, value]) => [key, value.toString()])).toEqual(entries.map(([key, value]) => [key, value.toString()]));
    await ioctx.removeOmap('kept', entries.map(([key]) => key));
    expect((await ceph.exec(['rados', '-p', 'objects', 'listomapkeys', 'kept'])).trim()).toBe('other');
    await ioctx.remove('kept');
  });

  test('a listing has every object of its namespace and of no other', async () => {
    const names = Array.from({ length: 1_300 }, (_, at) => `listed-${at}`);
    const ioctx = rados.ioctx('objects', 'here');
    await Promise.all(names.map((name) => ioctx.writeFull(name, Buffer.from('x'))));
    await rados.ioctx('objects', 'there').writeFull('elsewhere', Buffer.from('x'));
    const found = await collect(ioctx.objects());
    expect(found.map((one) => one.name).sort()).toEqual(names.toSorted());
    expect(new Set(found.map((one) => one.namespace))).toEqual(new Set(['here']));
    for await (const one of ioctx.objects()) {
      expect(one.name).toMatch(/^listed-/u);
      break;
    }
  });

  test("Debian's python3-rados reads what was written here", async () => {
    const ioctx = rados.ioctx('objects');
    await ioctx.writeFull('from-node', Buffer.from([0, 1, 254, 255]));
    await ioctx.setXattr('from-node', 'lang', Buffer.from('de_DE'));
    await ioctx.setOmap('from-node', new Map([['k', Buffer.from([0, 9])]]));
    const seen = await python(`print(list(ioctx.read('from-node')), ioctx.get_xattr('from-node', 'lang'))
with rados.ReadOpCtx() as op:
    entries, ret = ioctx.get_omap_vals(op, '', '', 10)
    ioctx.operate_read_op(op, 'from-node')
    print([(k, list(v)) for k, v in entries])`);
    expect(seen).toBe("[0, 1, 254, 255] b'de_DE'\n[('k', [0, 9])]");
  });

  test("what Debian's python3-rados wrote is read here", async () => {
    await python(`ioctx.write_full('from-python', bytes([7, 0, 8]))
ioctx.set_xattr('from-python', 'lang', b'en_US')
with rados.WriteOpCtx() as op:
    ioctx.set_omap(op, ('k',), (bytes([0, 5]),))
    ioctx.operate_write_op(op, 'from-python')`);
    const ioctx = rados.ioctx('objects');
    expect([...(await ioctx.read('from-python'))]).toEqual([7, 0, 8]);
    expect((await ioctx.xattr('from-python', 'lang')).toString()).toBe('en_US');
    expect((await collect(ioctx.omap('from-python'))).map(([key, value]) => [key, [...value]])).toEqual([['k', [0, 5]]]);
  });

  test('a project that has nothing of this one imports it by its name, and ends when it is closed', async () => {
    const project = join(ceph.folder, 'project');
    await mkdir(join(project, 'node_modules'), { recursive: true });
    await symlink(ROOT, join(project, 'node_modules', 'pvc'));
    const program = `import { Rados } from 'pvc/rados';
      import { isZero } from 'pvc/rados/rbd-stream';
      import { isAppError } from 'pvc/errors';
      const rados = await Rados.connect({ configFile: process.argv[2] });
      const missing = await rados.rbd('objects').info('none').catch((error) => isAppError(error, 'not-found'));
      console.log(await rados.fsid(), missing, isZero(Buffer.alloc(9)));
      await rados.close();`;
    await writeFile(join(project, 'main.mjs'), program);
    expect(await ceph.exec([process.execPath, join(project, 'main.mjs'), ceph.configFile])).toBe(`${ceph.fsid} true true`);
  });

  test('what cannot be a C string is refused before Ceph sees it', async () => {
    const ioctx = rados.ioctx('objects');
    const failure = await ioctx.writeFull('a\0b', Buffer.from('x')).catch((error: unknown) => error);
    expect(isAppError(failure, 'invalid')).toBe(true);
    expect(errnoOf(failure)).toBeUndefined();
  });
});
