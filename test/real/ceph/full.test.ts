import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { ask, type AskOptions } from '../../contract/api-support.ts';
import { aVmId } from '../../support/builders.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { until } from '../../support/until.ts';
import { imageNames, startScene, xmlWithDisks, type StorageScene } from './storage-support.ts';

/** The monitors know within seconds, on a busy machine too. */
const KNOWN_LIMIT_MS = 60_000;
const OPERATION_LIMIT_S = 5;
/** Nothing waits for an operation of an OSD to end; a part of its limit, for a busy machine. */
const REFUSAL_LIMIT_MS = 4_000;
/** More than Ceph has when it is empty, of each OSD's 4 GiB: a fresh one has 0.15 %. */
const NOTHING = 0.0004;
const ROOM = { nearfull: 0.85, backfillfull: 0.9, full: 0.95 };

/** Of an OSD, when it is made slow. */
const OPERATION_MS = 10;

type Query = Record<string, string>;

describe.skipIf(cephMissing() !== undefined)('a Ceph that is full', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 1, pools: ['vms', 'slow', 'small'], operationTimeoutS: OPERATION_LIMIT_S });
    for (const volume of ['a', 'b']) await scene.command('/volume', { query: { pool: 'vms', volume, size: '64M' } });
    await scene.ceph.exec(['rbd', 'import', '-', 'vms/data'], 'x'.repeat(10 * 2 ** 20));
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'data', snapshot: 's' } });
    await scene.ceph.exec(['rbd', 'bench', '--io-type', 'write', '--io-size', '1M', '--io-total', '8M', 'vms/data']);
  });

  afterAll(() => scene.stop());

  async function setRatios(ratios: typeof ROOM): Promise<void> {
    for (const [name, ratio] of Object.entries(ratios)) await scene.ceph.exec(['ceph', 'osd', `set-${name}-ratio`, String(ratio)]);
  }

  async function setDelay(delayMs: number): Promise<void> {
    const settings = { duration: delayMs / 1_000, probability: delayMs > 0 ? 1 : 0 };
    for (const [name, value] of Object.entries(settings)) await scene.ceph.exec(['ceph', 'tell', 'osd.0', 'config', 'set', `osd_debug_inject_dispatch_delay_${name}`, String(value)]);
  }

  async function flagsOf(pool: string): Promise<string[]> {
    const { pools } = (await scene.json('ceph', 'osd', 'dump')) as { pools: { pool_name: string; flags_names: string }[] };
    return pools.find(({ pool_name }) => pool_name === pool)?.flags_names.split(',') ?? [];
  }

  const isFull = async (): Promise<boolean> => (await flagsOf('vms')).includes('full');

  async function fill(): Promise<void> {
    await setRatios({ nearfull: NOTHING, backfillfull: NOTHING, full: NOTHING });
    await until(isFull, KNOWN_LIMIT_MS, 'Ceph is full');
  }

  async function empty(): Promise<void> {
    await setRatios(ROOM);
    await until(async () => !(await isFull()), KNOWN_LIMIT_MS, 'Ceph is not full any more');
  }

  /** @returns the message of a request that is refused soon. */
  async function refusal(method: string, path: string, query: Query = {}, given: Pick<AskOptions, 'raw'> = {}): Promise<string> {
    const beganMs = systemClock.monotonicMs();
    const { code, text } = await ask(scene.api.base, path, { ...given, method, query });
    expect([method, path, code, text]).toEqual([method, path, 510, expect.any(String)]);
    expect(systemClock.monotonicMs() - beganMs).toBeLessThan(REFUSAL_LIMIT_MS);
    return text;
  }

  /** All that a half-done change would leave a mark on. */
  async function marks(): Promise<unknown> {
    const names = await imageNames(scene, 'vms');
    const images = await Promise.all(names.map(async (name) => [await scene.json('rbd', 'info', `vms/${name}`), await scene.json('rbd', 'snap', 'ls', `vms/${name}`)]));
    return { names, images, objects: (await scene.ceph.exec(['rados', '-p', 'vms', 'ls'])).split('\n').sort() };
  }

  describe('while an OSD has no room', () => {
    beforeAll(fill);
    afterAll(empty);

    test('refuses what needs room, soon and by the OSD, and leaves no part of it', async () => {
      const before = await marks();
      const disks = xmlWithDisks('web1', aVmId(1), 'vms/new1', 'vms/new2');
      const requests: [string, string, Query][] = [
        ['POST', '/storage/ceph/volume', { pool: 'vms', volume: 'new', size: '1G' }],
        ['PUT', '/storage/ceph/volume/vms/a', { size: '20G' }],
        ['PUT', '/storage/ceph/volume/vms/a', { name: 'renamed' }],
        ['POST', '/storage/ceph/volume/vms/data/clone', { new_volume: 'copy' }],
        ['POST', '/storage/ceph/volume/snapshot', { pool: 'vms', volume: 'a', snapshot: 'new' }],
        ['POST', '/storage/ceph/volume/snapshot/vms/data/s/rollback', {}],
        ['POST', '/vm', { node: 'hv1', xml: disks, create_volumes: '1G' }],
      ];
      const image = { raw: { type: 'application/octet-stream', body: 'x'.repeat(1_024) } };
      for (const [method, path, query] of requests) expect(await refusal(method, path, query)).toMatch(/Ceph is full.*osd\.0/u);
      expect(await refusal('POST', '/storage/ceph/volume/vms/a/upload', { image_format: 'raw' }, image)).toMatch(/Ceph is full.*osd\.0/u);
      expect(await marks()).toEqual(before);
    });

    test('is read as ever, and its state says so', async () => {
      for (const path of ['/volume', '/volume/vms/data', '/volume/snapshot', '/volume/snapshot/vms/data/s', '/pool', '/osd', '/df']) expect([path, (await scene.ask(path)).code]).toEqual([path, 200]);
      expect((await scene.ask('/status')).body.ceph_data).toMatch(/HEALTH_ERR\s+1 full osd/u);
      const seen = async (): Promise<any> => (await ask(scene.api.base, '/status')).body; // eslint-disable-line @typescript-eslint/no-explicit-any -- a reply
      await until(async () => (await seen()).cluster_health.messages.some(({ id }: { id: string }) => id === 'CEPH_OSD_FULL'), KNOWN_LIMIT_MS, 'the cluster says it too');
    });

    test('gives room by removals, also where nothing was removed before', async () => {
      await scene.command('/volume/snapshot/vms/data/s', { method: 'DELETE' });
      for (const volume of ['data', 'b']) await scene.command(`/volume/vms/${volume}`, { method: 'DELETE' });
      expect(await imageNames(scene, 'vms')).toEqual(['a']);
      // What a snapshot has kept is trimmed a moment later.
      await until(async () => !(await scene.ceph.exec(['rados', '-p', 'vms', 'ls'])).includes('rbd_data'), KNOWN_LIMIT_MS, 'no data is left');
      expect(await scene.json('rbd', 'trash', 'ls', '--all', 'vms')).toEqual([]);
    });
  });

  test('goes on when there is room again', async () => {
    await scene.command('/volume', { query: { pool: 'vms', volume: 'after', size: '64M' } });
    await scene.command('/volume/vms/a', { method: 'PUT', query: { size: '128M' } });
    await scene.command('/volume/snapshot', { query: { pool: 'vms', volume: 'a', snapshot: 'after' } });
    await scene.command('/volume/vms/a/clone', { query: { new_volume: 'copy' } });
    const info = await scene.json('rbd', 'info', 'vms/a');
    expect([info.size, info.flags, await imageNames(scene, 'vms')]).toEqual([128 * 2 ** 20, [], ['a', 'after', 'copy']]);
  });

  test('by a quota of one pool says so, and has room in the others', async () => {
    await scene.command('/volume', { query: { pool: 'small', volume: 'first', size: '1M' } });
    await scene.ceph.exec(['ceph', 'osd', 'pool', 'set-quota', 'small', 'max_objects', '1']);
    await until(async () => (await flagsOf('small')).includes('full_quota'), KNOWN_LIMIT_MS, 'the quota is reached');
    expect(await refusal('POST', '/storage/ceph/volume', { pool: 'small', volume: 'second', size: '1M' })).toContain('quota');
    await scene.command('/volume', { query: { pool: 'vms', volume: 'elsewhere', size: '1M' } });
  });

  test('for the second volume of a VM leaves neither of them, and no VM', async () => {
    const xml = xmlWithDisks('web2', aVmId(2), 'vms/web2_root', 'small/web2_data');
    expect(await refusal('POST', '/vm', { node: 'hv1', xml, create_volumes: '8M' })).toContain('quota');
    expect([...(await imageNames(scene, 'vms')), ...(await imageNames(scene, 'small'))].filter((name) => name.startsWith('web2'))).toEqual([]);
    expect((await ask(scene.api.base, '/vm')).body).toEqual([]);
  });

  describe('in the middle of a copy', () => {
    beforeAll(async () => {
      await scene.ceph.exec(['rbd', 'create', '--size', '64M', '--object-size', '64K', 'slow/long']);
      await scene.ceph.exec(['rbd', 'bench', '--io-type', 'write', '--io-pattern', 'seq', '--io-size', '1M', '--io-total', '64M', 'slow/long']);
      // Each operation takes so long: a copy of a thousand objects has a middle.
      await setDelay(OPERATION_MS);
    });
    afterAll(() => setDelay(0));

    /** Begins a copy; resolves when it has got somewhere. */
    async function beginCopy(name: string): Promise<{ answer: ReturnType<StorageScene['ask']> }> {
      const answer = scene.ask('/volume/slow/long/clone', { method: 'POST', query: { new_volume: name } });
      await until(async () => (await imageNames(scene, 'slow')).includes(name), KNOWN_LIMIT_MS, 'the copy has begun');
      return { answer };
    }

    /** What was asked of Ceph before may be done by now; a client that was cut off has the image open for its last half a minute. */
    const removePart = (): Promise<void> =>
      until(async () => {
        const { code, text } = await scene.ask('/volume/slow/part', { method: 'DELETE' });
        return code === 200 || text.includes('no such volume');
      }, KNOWN_LIMIT_MS, 'the part is gone');

    test('ends it, and leaves no part that looks like a whole', async () => {
      const { answer } = await beginCopy('part');
      await fill();
      const { code, text } = await answer;
      await empty();
      expect([code, text]).toEqual([510, expect.stringMatching(/Ceph is full|ENOSPC/u)]);
      expect(await imageNames(scene, 'slow')).toEqual(['long']);
    });

    test('or an OSD that hangs ends it; a part that cannot be removed is named, and can be removed later', async () => {
      const { answer } = await beginCopy('part');
      scene.ceph.osds[0]?.pause();
      try {
        const { code, text } = await answer;
        expect([code, text]).toEqual([510, expect.stringContaining('volumes_left: slow/part')]);
      } finally {
        scene.ceph.osds[0]?.resume();
        await setDelay(0);
      }
      await removePart();
      expect(await imageNames(scene, 'slow')).toEqual(['long']);
    });
  });
});
