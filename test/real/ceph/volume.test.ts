import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aVmId } from '../../support/builders.ts';
import { putVm, putVmStatus, drop } from '../../contract/api-support.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { imageNames, startScene, xmlWithDisks, type StorageScene } from './storage-support.ts';

const GIB = 2 ** 30;
/** At once, as many as the API has to manage. */
const AT_ONCE = 16;

describe.skipIf(cephMissing() !== undefined)('volumes', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms', 'fast'] });
  });

  afterAll(() => scene.stop());

  async function names(query: Record<string, string> = {}): Promise<string[]> {
    const { code, body } = await scene.ask('/volume', { query });
    expect(code).toBe(200);
    return (body as { name: string; pool: string }[]).map(({ pool, name }) => `${pool}/${name}`);
  }

  async function refusal(path: string, options: Parameters<StorageScene['ask']>[1]): Promise<string> {
    const answer = await scene.ask(path, options);
    expect([answer.code, answer.text]).toEqual([510, expect.any(String)]);
    return (answer.body as { message: string }).message;
  }

  test('a volume that is added is what rbd says it is', async () => {
    expect(await scene.command('/volume', { query: { pool: 'vms', volume: 'web1_sda', size: '20G' } })).toBe('volume vms/web1_sda is added');
    const info = await scene.json('rbd', 'info', 'vms/web1_sda');
    expect(info.size).toBe(20 * GIB);
    const { code, body } = await scene.ask('/volume/vms/web1_sda');
    expect(code).toBe(200);
    expect(body).toMatchObject({ name: 'web1_sda', pool: 'vms' });
    expect(body.stats).toEqual({ ...info, size: '20G', size_bytes: 20 * GIB });
    expect((await scene.ask('/volume', { query: { pool: 'vms', limit: '^web1_sda$' } })).body).toEqual([body]);
  });

  test('a size is bytes or has a unit, in a form or in JSON, and the path can name the volume', async () => {
    await scene.command('/volume', { form: { pool: 'vms', volume: 'bytes', size: '1073741824' } });
    await scene.command('/volume', { json: { pool: 'vms', volume: 'number', size: 4_194_304 } });
    await scene.command('/volume/vms/path', { query: { size: '1.5g' } });
    const sizes = await Promise.all(['bytes', 'number', 'path'].map(async (name) => (await scene.json('rbd', 'info', `vms/${name}`)).size as number));
    expect(sizes).toEqual([GIB, 4 * 2 ** 20, 1.5 * GIB]);
  });

  test('a volume that rbd made, changed or removed is so at once', async () => {
    await names();
    await scene.ceph.exec(['rbd', 'create', '--size', '100M', 'fast/made']);
    expect(await names({ pool: 'fast' })).toEqual(['fast/made']);
    expect((await scene.ask('/volume/fast/made')).body.stats.size_bytes).toBe(100 * 2 ** 20);
    await scene.ceph.exec(['rbd', 'rename', 'fast/made', 'fast/renamed']);
    expect(await names({ pool: 'fast' })).toEqual(['fast/renamed']);
    await scene.ceph.exec(['rbd', 'resize', '--size', '200M', 'fast/renamed', '--no-progress']);
    expect((await scene.ask('/volume/fast/renamed')).body.stats.size).toBe('200M');
    await scene.ceph.exec(['rbd', 'rm', 'fast/renamed', '--no-progress']);
    expect(await names({ pool: 'fast' })).toEqual([]);
    expect((await scene.ask('/volume/fast/renamed')).code).toBe(404);
  });

  test('the list is filtered by pool and by a fuzzy name, and is sorted', async () => {
    for (const name of ['b-list', 'a-list']) await scene.command('/volume', { query: { pool: 'fast', volume: name, size: '1M' } });
    expect(await names({ limit: '-list' })).toEqual(['fast/a-list', 'fast/b-list']);
    expect(await names({ limit: '^a-' })).toEqual(['fast/a-list']);
    expect(await names({ limit: '-list', pool: 'vms' })).toEqual([]);
    expect((await scene.ask('/volume', { query: { pool: 'absent' } })).code).toBe(404);
    expect((await scene.ask('/volume', { query: { limit: '(' } })).code).toBe(510);
  });

  test('what cannot be is refused by its name, and changes nothing', async () => {
    const before = await imageNames(scene, 'vms');
    const create = (query: Record<string, string>): Promise<string> => refusal('/volume', { method: 'POST', query });
    expect(await create({ pool: 'vms', volume: 'web1_sda', size: '1G' })).toContain('exists');
    expect(await create({ pool: 'absent', volume: 'x', size: '1G' })).toContain('absent');
    for (const volume of ['--image-format', '../x', 'a/b', 'a@b', '.', '', 'x'.repeat(200), 'a b']) expect(await create({ pool: 'vms', volume, size: '1G' })).toContain('volume');
    for (const size of ['', '0', '-1G', '20X', '1G --force', '99999P']) expect(await create({ pool: 'vms', volume: 'x', size })).toContain('size');
    expect(await imageNames(scene, 'vms')).toEqual(before);
  });

  test('a volume is made larger, never smaller, and renamed, one at a time', async () => {
    const path = '/volume/vms/change';
    const put = (query: Record<string, string>): Promise<string> => scene.command(path, { method: 'PUT', query });
    await scene.command('/volume', { query: { pool: 'vms', volume: 'change', size: '1G' } });
    await put({ size: '2G' });
    await put({ new_size: '3G' });
    expect((await scene.json('rbd', 'info', 'vms/change')).size).toBe(3 * GIB);
    expect(await refusal(path, { method: 'PUT', query: { size: '1G' } })).toContain('smaller');
    expect(await refusal(path, { method: 'PUT', query: { size: '4G', name: 'other' } })).toContain('not both');
    expect(await refusal(path, { method: 'PUT' })).toContain('not both');
    expect(await refusal(path, { method: 'PUT', query: { name: 'web1_sda' } })).toContain('exists');
    expect((await scene.json('rbd', 'info', 'vms/change')).size).toBe(3 * GIB);
    await put({ name: 'changed' });
    expect(await imageNames(scene, 'vms')).toContain('changed');
    expect(await refusal(path, { method: 'PUT', query: { size: '4G' } })).toContain('vms/change');
  });

  test('a copy is a whole volume of its own with the same contents', async () => {
    await scene.ceph.exec(['rbd', 'import', '-', 'vms/original'], 'some contents');
    await scene.ceph.exec(['rbd', 'snap', 'create', 'vms/original@s', '--no-progress']);
    await scene.command('/volume/vms/original/clone', { query: { new_volume: 'copy' } });
    expect(await scene.ceph.exec(['rbd', 'export', '--no-progress', 'vms/copy', '-'])).toBe('some contents');
    expect((await scene.json('rbd', 'info', 'vms/copy')).parent).toBeUndefined();
    expect(await refusal('/volume/vms/original/clone', { method: 'POST', query: { new_volume: 'copy' } })).toContain('exists');
    await scene.command('/volume/vms/original', { method: 'DELETE' });
    expect(await scene.ceph.exec(['rbd', 'export', '--no-progress', 'vms/copy', '-'])).toBe('some contents');
  });

  test('a disk of a VM is neither removed nor renamed, and the refusal says whose it is', async () => {
    await scene.command('/volume', { query: { pool: 'vms', volume: 'disk', size: '1G' } });
    await putVm(scene.api, { uuid: aVmId(1), name: 'web1', xml: xmlWithDisks('web1', aVmId(1), 'vms/disk') });
    expect(await refusal('/volume/vms/disk', { method: 'DELETE' })).toContain('web1');
    expect(await refusal('/volume/vms/disk', { method: 'PUT', query: { name: 'other' } })).toContain('web1');
    await scene.command('/volume/vms/disk', { method: 'PUT', query: { size: '2G' } });
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'disk', snapshot: 's1' } });
    await putVmStatus(scene.api, aVmId(1));
    expect(await refusal('/volume/snapshot/vms/disk/s1/rollback', { method: 'POST' })).toContain('web1');
    await drop(scene.api, 'vm-status', aVmId(1));
    await scene.command('/volume/snapshot/vms/disk/s1/rollback', {});
    await drop(scene.api, 'vm', aVmId(1));
    await scene.command('/volume/vms/disk', { method: 'DELETE' });
    expect(await imageNames(scene, 'vms')).not.toContain('disk');
  });

  test('a volume is removed with its snapshots, but not while others are clones of one', async () => {
    await scene.ceph.exec(['rbd', 'create', '--size', '10M', 'vms/parent']);
    for (const name of ['a', 'b']) await scene.ceph.exec(['rbd', 'snap', 'create', `vms/parent@${name}`, '--no-progress']);
    await scene.ceph.exec(['rbd', 'snap', 'protect', 'vms/parent@a']);
    await scene.ceph.exec(['rbd', 'clone', 'vms/parent@a', 'fast/child']);
    const message = await refusal('/volume/vms/parent', { method: 'DELETE' });
    expect(message).toContain('fast/child');
    expect((await scene.json('rbd', 'snap', 'ls', 'vms/parent')).map(({ name }: { name: string }) => name)).toEqual(['a', 'b']);
    await scene.ceph.exec(['rbd', 'rm', 'fast/child', '--no-progress']);
    await scene.command('/volume/vms/parent', { method: 'DELETE' });
    expect(await imageNames(scene, 'vms')).not.toContain('parent');
  });

  test('what does not exist is 404 to a GET and 510 to a command', async () => {
    expect((await scene.ask('/volume/vms/absent')).code).toBe(404);
    expect((await scene.ask('/volume/absent/absent')).code).toBe(404);
    expect(await refusal('/volume/vms/absent', { method: 'DELETE' })).toContain('vms/absent');
    expect(await refusal('/volume/vms/absent/clone', { method: 'POST', query: { new_volume: 'x' } })).toContain('vms/absent');
  });

  test(`${AT_ONCE} volumes at once: made, given snapshots, and removed, none lost and none left`, async () => {
    const numbers = Array.from({ length: AT_ONCE }, (_, number) => number);
    await Promise.all(numbers.map((number) => scene.command('/volume', { query: { pool: 'fast', volume: `many-${number}`, size: '64M' } })));
    expect((await imageNames(scene, 'fast')).filter((name) => name.startsWith('many-'))).toHaveLength(AT_ONCE);
    expect(await names({ limit: '^many-' })).toHaveLength(AT_ONCE);
    await Promise.all(numbers.map((number) => scene.command('/volume/snapshot', { query: { pool: 'fast', volume: `many-${number}`, snapshot: 's' } })));
    const { body } = await scene.ask('/volume/snapshot', { query: { pool: 'fast', limit: '^s$' } });
    expect(body).toHaveLength(AT_ONCE);
    for (const number of numbers) expect(await scene.json('rbd', 'snap', 'ls', `fast/many-${number}`)).toHaveLength(1);
    await Promise.all(numbers.map((number) => scene.command(`/volume/fast/many-${number}`, { method: 'DELETE' })));
    expect((await imageNames(scene, 'fast')).filter((name) => name.startsWith('many-'))).toEqual([]);
    expect(await names({ limit: '^many-' })).toEqual([]);
  });

  test('of requests for the same name at once one is done and the others are told that it exists', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => scene.ask('/volume', { method: 'POST', query: { pool: 'fast', volume: 'same', size: '1M' } })));
    expect(answers.map(({ code }) => code).sort()).toEqual([200, ...Array<number>(7).fill(510)]);
    for (const { code, text } of answers) if (code === 510) expect(text).toContain('exists');
  });
});
