import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { startScene, type StorageScene } from './storage-support.ts';

describe.skipIf(cephMissing() !== undefined)('snapshots', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms', 'fast'] });
    for (const volume of ['vms/a', 'vms/b', 'fast/a']) await scene.ceph.exec(['rbd', 'create', '--size', '10M', volume]);
  });

  afterAll(() => scene.stop());

  async function list(query: Record<string, string> = {}): Promise<string[]> {
    const { code, body } = await scene.ask('/volume/snapshot', { query });
    expect(code).toBe(200);
    return (body as { pool: string; volume: string; snapshot: string }[]).map(({ pool, volume, snapshot }) => `${pool}/${volume}@${snapshot}`);
  }

  async function refusal(path: string, options: Parameters<StorageScene['ask']>[1]): Promise<string> {
    const answer = await scene.ask(path, options);
    expect([answer.code, answer.text]).toEqual([510, expect.any(String)]);
    return (answer.body as { message: string }).message;
  }

  async function ofRbd(volume: string): Promise<string[]> {
    return ((await scene.json('rbd', 'snap', 'ls', volume)) as { name: string }[]).map(({ name }) => name);
  }

  test('a snapshot that is added is what rbd says it is, under both paths', async () => {
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'a', snapshot: 'one' } });
    await scene.command('/snapshot', { query: { pool: 'vms', volume: 'a', snapshot: 'two' } });
    await scene.command('/volume/snapshot/fast/a/three', {});
    const [first] = (await scene.json('rbd', 'snap', 'ls', 'vms/a')) as { id: number; size: number; timestamp: string }[];
    const { body } = await scene.ask('/volume/snapshot/vms/a/one');
    expect(body).toEqual({ pool: 'vms', volume: 'a', snapshot: 'one', stats: { id: first?.id, name: 'one', size: '10M', size_bytes: first?.size, protected: false, timestamp: first?.timestamp } });
    expect((await scene.ask('/snapshot/vms/a/one')).body).toEqual(body);
    expect(await ofRbd('vms/a')).toEqual(['one', 'two']);
    expect((await scene.ask('/volume/vms/a')).body.stats.snapshot_count).toBe(2);
  });

  test('a list of all volumes tells of each snapshot what the list of its own tells', async () => {
    await scene.ceph.exec(['rbd', 'snap', 'protect', 'vms/a@one']);
    const all = (await scene.ask('/volume/snapshot')).body as { pool: string; volume: string; snapshot: string; stats: { protected: boolean } }[];
    expect(all.map(({ stats }) => stats.protected)).toEqual([false, true, false]);
    for (const one of all) expect((await scene.ask(`/volume/snapshot/${one.pool}/${one.volume}/${one.snapshot}`)).body).toEqual(one);
    await scene.ceph.exec(['rbd', 'snap', 'unprotect', 'vms/a@one']);
  });

  test('the filters combine freely', async () => {
    expect(await list()).toEqual(['fast/a@three', 'vms/a@one', 'vms/a@two']);
    expect(await list({ pool: 'vms' })).toEqual(['vms/a@one', 'vms/a@two']);
    expect(await list({ volume: 'a' })).toEqual(['fast/a@three', 'vms/a@one', 'vms/a@two']);
    expect(await list({ volume: 'a', limit: 't' })).toEqual(['fast/a@three', 'vms/a@two']);
    expect(await list({ pool: 'vms', limit: '^o' })).toEqual(['vms/a@one']);
    expect(await list({ pool: 'fast', volume: 'b' })).toEqual([]);
    expect((await scene.ask('/volume/snapshot', { query: { pool: 'absent' } })).code).toBe(404);
  });

  test('a snapshot that rbd made or removed is so at once', async () => {
    await scene.ceph.exec(['rbd', 'snap', 'create', 'vms/b@made', '--no-progress']);
    expect(await list({ limit: 'made' })).toEqual(['vms/b@made']);
    await scene.ceph.exec(['rbd', 'snap', 'rename', 'vms/b@made', 'vms/b@named']);
    expect(await list({ volume: 'b' })).toEqual(['vms/b@named']);
    await scene.ceph.exec(['rbd', 'snap', 'rm', 'vms/b@named', '--no-progress']);
    expect(await list({ volume: 'b' })).toEqual([]);
    expect((await scene.ask('/volume/snapshot/vms/b/named')).code).toBe(404);
  });

  test('a snapshot is renamed, and removed', async () => {
    await scene.command('/volume/snapshot/vms/a/two', { method: 'PUT', query: { new_name: 'second' } });
    await scene.command('/volume/snapshot/vms/a/second', { method: 'PUT', query: { name: '2nd' } });
    expect(await ofRbd('vms/a')).toEqual(['one', '2nd']);
    expect(await refusal('/volume/snapshot/vms/a/2nd', { method: 'PUT', query: { name: 'one' } })).toContain('exists');
    await scene.command('/volume/snapshot/vms/a/2nd', { method: 'DELETE' });
    expect(await ofRbd('vms/a')).toEqual(['one']);
  });

  test('a roll-back brings back the contents', async () => {
    await scene.ceph.exec(['rbd', 'import', '-', 'vms/text'], 'before');
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'text', snapshot: 's' } });
    await scene.ceph.exec(['rbd', 'resize', '--size', '1M', 'vms/text', '--no-progress']);
    await scene.ceph.exec(['rbd', 'bench', '--io-type', 'write', '--io-pattern', 'seq', '--io-size', '4K', '--io-total', '64K', '--io-threads', '1', 'vms/text']);
    expect(await scene.ceph.exec(['rbd', 'export', '--no-progress', 'vms/text', '-'])).not.toContain('before');
    await scene.command('/snapshot/vms/text/s/rollback', {});
    expect(await scene.ceph.exec(['rbd', 'export', '--no-progress', 'vms/text', '-'])).toBe('before');
  });

  test('what cannot be is refused by its name, and changes nothing', async () => {
    const before = await ofRbd('vms/a');
    const create = (query: Record<string, string>): Promise<string> => refusal('/volume/snapshot', { method: 'POST', query });
    expect(await create({ pool: 'vms', volume: 'a', snapshot: 'one' })).toContain('exists');
    expect(await create({ pool: 'vms', volume: 'absent', snapshot: 'x' })).toContain('vms/absent');
    expect(await create({ pool: 'absent', volume: 'a', snapshot: 'x' })).toContain('absent/a');
    for (const snapshot of ['', '-x', 'a@b', 'a/b', '..', 'x'.repeat(200)]) expect(await create({ pool: 'vms', volume: 'a', snapshot })).toContain('snapshot');
    expect(await refusal('/volume/snapshot/vms/a/absent', { method: 'DELETE' })).toContain('vms/a@absent');
    expect(await refusal('/volume/snapshot/vms/a/absent', { method: 'PUT', query: { name: 'x' } })).toContain('vms/a@absent');
    expect(await refusal('/volume/snapshot/vms/a/absent/rollback', { method: 'POST' })).toContain('vms/a@absent');
    expect(await ofRbd('vms/a')).toEqual(before);
  });

  test('a snapshot with clones stays, and the refusal names them', async () => {
    await scene.ceph.exec(['rbd', 'snap', 'protect', 'vms/a@one']);
    await scene.ceph.exec(['rbd', 'clone', 'vms/a@one', 'fast/child']);
    expect(await refusal('/volume/snapshot/vms/a/one', { method: 'DELETE' })).toContain('fast/child');
    expect(await ofRbd('vms/a')).toEqual(['one']);
    await scene.ceph.exec(['rbd', 'rm', 'fast/child', '--no-progress']);
    await scene.command('/volume/snapshot/vms/a/one', { method: 'DELETE' });
    expect(await ofRbd('vms/a')).toEqual([]);
  });
});
