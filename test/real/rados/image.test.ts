import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { Rados } from '../../../common/rados/rados.ts';
import type { Rbd } from '../../../common/rados/rbd.ts';
import { toChunks, type RbdChunk } from '../../../common/rados/rbd-stream.ts';
import { cephMissing, startCephCluster, type CephCluster } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { collect } from '../../support/collect.ts';

const MIB = 1024 * 1024;
const FEATURES = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'];

/** What `rbd info` says, in its own words. */
interface Told {
  id: string;
  size: number;
  objects: number;
  order: number;
  features: string[];
  flags: string[];
  block_name_prefix: string;
  snapshot_count: number;
  op_features: string[];
  parent?: { pool: string; image: string; snapshot: string; overlap: number };
}

describe.skipIf(cephMissing() !== undefined)('images of a real Ceph', () => {
  let ceph: CephCluster;
  tellOnFailure(() => ceph);
  let rados: Rados;
  let rbd: Rbd;

  beforeAll(async () => {
    ceph = await startCephCluster({ osds: 1, pools: ['vms', 'other'] });
    rados = await Rados.connect({ configFile: ceph.configFile });
    rbd = rados.rbd('vms');
  });
  afterAll(async () => {
    await rados?.close();
    await ceph?.stop();
  });

  const command = async <T>(...words: string[]): Promise<T> => JSON.parse(await ceph.exec(['rbd', ...words, '--format', 'json'])) as T;
  const told = (image: string): Promise<Told> => command<Told>('info', image);

  test('a made image is what the rbd command says of it', async () => {
    const before = systemClock.nowMs();
    await rbd.create('made', 64 * MIB, { order: 20, features: ['layering', 'exclusive-lock'] });
    const info = await rbd.info('made');
    const { id, objects, block_name_prefix: blockNamePrefix } = await told('vms/made');
    expect(info).toMatchObject({ name: 'made', id, sizeBytes: 64 * MIB, order: 20, objectSizeBytes: MIB, objectCount: objects, blockNamePrefix, features: ['layering', 'exclusive-lock'] });
    expect(info).toMatchObject({ flags: [], snapshotCount: 0, children: [], overlapBytes: 0, stripeCount: 1, stripeUnitBytes: MIB });
    expect(info.parent).toBeUndefined();
    expect(info.dataPoolId).toBe(await rados.pools.lookup('vms'));
    for (const atMs of [info.createdAtMs, info.accessedAtMs, info.modifiedAtMs]) expect(Math.abs(atMs - before)).toBeLessThan(30_000);
    await expect(rbd.create('made', MIB)).rejects.toMatchObject({ code: 'exists', details: { image: 'made', errno: 17 } });
    await rbd.remove('made');
    expect(await rbd.list()).toEqual([]);
    await expect(rbd.info('made')).rejects.toMatchObject({ code: 'not-found', details: { pool: 'vms', image: 'made' } });
    await expect(rbd.remove('made')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('without options an image is as the cluster makes it', async () => {
    await rbd.create('default', 64 * MIB);
    await ceph.exec(['rbd', 'create', '--size', '64M', 'vms/reference']);
    const [made, reference] = [await rbd.info('default'), await rbd.info('reference')];
    expect(made).toMatchObject({ features: FEATURES, order: reference.order, stripeUnitBytes: reference.stripeUnitBytes });
    await rbd.remove('default');
    await rbd.remove('reference');
  });

  test('an image is resized, renamed and copied', async () => {
    await rbd.create('sized', 16 * MIB);
    await rbd.resize('sized', 32 * MIB);
    expect((await told('vms/sized')).size).toBe(32 * MIB);
    await expect(rbd.resize('sized', 8 * MIB)).rejects.toMatchObject({ code: 'invalid' });
    await rbd.resize('sized', 8 * MIB, { allowShrink: true });
    expect((await told('vms/sized')).size).toBe(8 * MIB);
    await rbd.rename('sized', 'renamed');
    await rbd.copy('renamed', { pool: 'other', image: 'copied' });
    expect(await rbd.list()).toEqual(['renamed']);
    expect((await told('other/copied')).size).toBe(8 * MIB);
    await expect(rbd.copy('renamed', { pool: 'other', image: 'copied' })).rejects.toMatchObject({ code: 'exists' });
    await rbd.remove('renamed');
    await rados.rbd('other').remove('copied');
  });

  test('features are switched', async () => {
    await rbd.create('features', MIB);
    await rbd.disableFeatures('features', ['fast-diff', 'object-map']);
    expect((await told('vms/features')).features).toEqual(['layering', 'exclusive-lock', 'deep-flatten']);
    await rbd.enableFeatures('features', ['object-map', 'fast-diff']);
    const info = await rbd.info('features');
    expect(info.features).toEqual(FEATURES);
    expect(info.flags).toEqual(['object-map-invalid', 'fast-diff-invalid']);
    await rbd.rebuildObjectMap('features');
    expect((await rbd.info('features')).flags).toEqual([]);
    await expect(rbd.enableFeatures('features', ['nonsense'])).rejects.toMatchObject({ code: 'invalid' });
    await rbd.remove('features');
  });

  test('snapshots are taken, listed, renamed, protected, rolled back to and removed', async () => {
    await rbd.create('snapped', 8 * MIB);
    await rbd.import('snapped', one(0, Buffer.alloc(MIB, 'first')));
    await rbd.snapshots.create('snapped', 's1');
    await rbd.import('snapped', one(0, Buffer.alloc(MIB, 'later')));
    await rbd.snapshots.create('snapped', 's2');
    await expect(rbd.snapshots.create('snapped', 's2')).rejects.toMatchObject({ code: 'exists' });
    await rbd.snapshots.rename('snapped', 's2', 'second');
    await rbd.snapshots.protect('snapped', 's1');
    const listed = await command<{ id: number; name: string; size: number; protected: string; timestamp: string }[]>('snap', 'ls', 'vms/snapped');
    const found = await rbd.snapshots.list('snapped');
    expect(found.map((snapshot) => [snapshot.id, snapshot.name, snapshot.sizeBytes, String(snapshot.isProtected)])).toEqual(listed.map((row) => [row.id, row.name, row.size, row.protected]));
    expect(found.map((snapshot) => [snapshot.name, snapshot.isProtected])).toEqual([['s1', true], ['second', false]]);
    await expect(rbd.snapshots.remove('snapped', 's1')).rejects.toMatchObject({ code: 'state', details: { reason: 'EBUSY' } });
    await expect(rbd.remove('snapped')).rejects.toMatchObject({ code: 'state', details: { reason: 'ENOTEMPTY' } });
    await rbd.snapshots.rollback('snapped', 's1');
    expect(await ceph.exec(['sh', '-c', 'rbd export vms/snapped - | head -c 5'])).toBe('first');
    const [second] = await collect(rbd.export('snapped', { snapshot: 'second' }));
    expect(Buffer.from(second?.data ?? []).toString('latin1', 0, 5)).toBe('later');
    await rbd.snapshots.unprotect('snapped', 's1');
    await rbd.snapshots.remove('snapped', 's1');
    await rbd.snapshots.remove('snapped', 'second');
    await expect(rbd.snapshots.remove('snapped', 'second')).rejects.toMatchObject({ code: 'not-found' });
    await rbd.remove('snapped');
  });

  test('a clone knows its parent, the parent its clones, until it is flattened', async () => {
    await rbd.create('base', 8 * MIB);
    await rbd.import('base', one(0, Buffer.alloc(MIB, 'base')));
    await rbd.snapshots.create('base', 'golden');
    await expect(rbd.clone('base', 'golden', { image: 'early' }, { cloneFormat: 1 })).rejects.toMatchObject({ code: 'invalid' });
    await rbd.snapshots.protect('base', 'golden');
    await rbd.clone('base', 'golden', { pool: 'other', image: 'clone' });
    const clones = rados.rbd('other');
    expect(await clones.info('clone')).toMatchObject({ parent: { pool: 'vms', image: 'base', snapshot: 'golden', isInTrash: false }, overlapBytes: 8 * MIB });
    expect((await told('other/clone')).parent).toMatchObject({ pool: 'vms', image: 'base', snapshot: 'golden' });
    const base = await rbd.info('base');
    expect(base.children.map((child) => [child.pool, child.image])).toEqual([['other', 'clone']]);
    expect(await rbd.children('base')).toEqual(base.children);
    const [listing] = await clones.listInfo();
    const [golden] = await rbd.snapshots.list('base');
    expect(listing?.parent).toEqual({ poolId: await rados.pools.lookup('vms'), namespace: '', imageId: base.id, snapshotId: golden?.id });
    await expect(rbd.snapshots.unprotect('base', 'golden')).rejects.toMatchObject({ code: 'state', details: { reason: 'EBUSY' } });
    await clones.flatten('clone');
    expect((await clones.info('clone')).parent).toBeUndefined();
    expect((await clones.listInfo())[0]?.parent).toBeUndefined();
    await rbd.snapshots.unprotect('base', 'golden');
    await rbd.snapshots.remove('base', 'golden');
    await rbd.remove('base');
    await clones.remove('clone');
  });

  test('what an image takes part in is told, and a snapshot that only a clone needs is nobody\'s', async () => {
    await rbd.create('second', MIB);
    await rbd.snapshots.create('second', 'golden');
    await rbd.clone('second', 'golden', { image: 'child' }, { cloneFormat: 2 });
    await rbd.snapshots.remove('second', 'golden');
    const listings = await rbd.listInfo();
    for (const [name, opFeatures] of [['child', ['clone-child']], ['second', ['clone-parent', 'snap-trash']]] as const) {
      expect((await rbd.info(name)).opFeatures).toEqual(opFeatures);
      expect((await told(`vms/${name}`)).op_features).toEqual(opFeatures);
      expect(listings.find((one) => one.name === name)?.opFeatures).toEqual(opFeatures);
    }
    expect(await rbd.snapshots.list('second')).toEqual([]);
    expect(listings.find(({ name }) => name === 'second')?.snapshots.map(({ isOfUser }) => isOfUser)).toEqual([false]);
    await rbd.remove('child');
    await rbd.remove('second');
  });

  test('the listing tells of every image what looking at each tells', async () => {
    expect(await rbd.listInfo()).toEqual([]);
    const names = Array.from({ length: 40 }, (_, at) => `listed-${String(at).padStart(2, '0')}`);
    await Promise.all(names.map((name, at) => rbd.create(name, (at + 1) * MIB, at % 2 === 0 ? {} : { order: 21, features: ['layering'] })));
    await rbd.snapshots.create('listed-00', 'a');
    await rbd.snapshots.create('listed-00', 'b');
    await rbd.snapshots.protect('listed-00', 'a');
    const listings = await rbd.listInfo();
    expect(listings.map((listing) => listing.name)).toEqual(names);
    expect(await rbd.list()).toEqual(names);
    for (const listing of listings) {
      const { id, sizeBytes, order, features, opFeatures, flags, createdAtMs, accessedAtMs, modifiedAtMs } = await rbd.info(listing.name);
      expect(listing).toMatchObject({ id, sizeBytes, order, features, opFeatures, flags, createdAtMs, accessedAtMs, modifiedAtMs });
    }
    expect(listings[0]?.snapshots).toEqual((await rbd.snapshots.list('listed-00')).map((one) => ({ ...one, isOfUser: true })));
    expect(listings[0]?.snapshots.map(({ isProtected }) => isProtected)).toEqual([true, false]);
    await rbd.snapshots.unprotect('listed-00', 'a');
    for (const name of ['a', 'b']) await rbd.snapshots.remove('listed-00', name);
    await Promise.all(names.map((name) => rbd.remove(name)));
    expect(await rbd.listInfo()).toEqual([]);
  });

  test('metadata is kept with the image', async () => {
    await rbd.create('meta', MIB);
    await rbd.metadata.set('meta', 'owner', 'grüße');
    await rbd.metadata.set('meta', 'conf_rbd_cache', 'false');
    expect([...(await rbd.metadata.list('meta'))]).toEqual([['conf_rbd_cache', 'false'], ['owner', 'grüße']]);
    expect((await ceph.exec(['rbd', 'image-meta', 'get', 'vms/meta', 'owner'])).trim()).toBe('grüße');
    await rbd.metadata.remove('meta', 'owner');
    await expect(rbd.metadata.get('meta', 'owner')).rejects.toMatchObject({ code: 'not-found' });
    expect(await rbd.metadata.get('meta', 'conf_rbd_cache')).toBe('false');
    await rbd.remove('meta');
  });

  test('what the rbd command exports is what was imported, and the other way round', async () => {
    const file = join(ceph.folder, 'disk.raw');
    const data = Buffer.alloc(22 * MIB);
    for (const [at, length] of [[0, 1_000], [5 * MIB - 10, 2 * MIB], [21 * MIB + 7, 333]] as const) randomBytes(length).copy(data, at);
    await rbd.create('stream', data.byteLength);
    await rbd.import('stream', toChunks(pieces(data)));
    await ceph.exec(['rbd', 'export', '--no-progress', 'vms/stream', file]);
    expect(digest(await readFile(file))).toBe(digest(data));
    const chunks = await collect(rbd.export('stream'));
    // Of six regions of 4 MiB, those from 8 to 20 MiB are empty.
    expect(chunks.map((chunk) => chunk.offsetBytes / MIB)).toEqual([0, 4, 20]);
    const copy = Buffer.alloc(data.byteLength);
    for (const chunk of chunks) copy.set(chunk.data, chunk.offsetBytes);
    expect(digest(copy)).toBe(digest(data));
    await writeFile(file, data);
    await ceph.exec(['rbd', 'import', '--no-progress', file, 'vms/imported']);
    expect((await collect(rbd.export('imported'))).map(digested)).toEqual(chunks.map(digested));
    const { used_size: usedBytes } = (await command<{ images: { used_size: number }[] }>('du', 'vms/stream')).images[0] ?? { used_size: 0 };
    expect(usedBytes).toBe(10 * MIB);
    await rbd.remove('stream');
    await rbd.remove('imported');
  });

  test('an export that is left early leaves the image closed, and an import beyond its end is refused', async () => {
    await rbd.create('left', 16 * MIB);
    await rbd.import('left', toChunks(pieces(Buffer.alloc(16 * MIB, 'x'))));
    for await (const chunk of rbd.export('left')) {
      expect(chunk.offsetBytes).toBe(0);
      break;
    }
    await expect(rbd.import('left', one(16 * MIB - 1, Buffer.from('ab')))).rejects.toMatchObject({ code: 'invalid' });
    await expect(rbd.import('left', failing())).rejects.toThrow('source failed');
    expect(await rbd.locks.watchers('left')).toEqual([]);
    await rbd.remove('left');
  });

  test.each(['lock', 'owner'] as const)('locks and watchers of others are seen, and a %s is broken', async (way) => {
    await rbd.create('locked', 8 * MIB);
    const other = await Rados.connect({ configFile: ceph.configFile });
    const client = `client.${String(await other.instanceId())}`;
    const address = await other.addresses();
    const inUse = async (): Promise<void> => {
      await expect(rbd.remove('locked')).rejects.toMatchObject({ code: 'state', details: { reason: 'EBUSY' } });
    };
    const look = async (): Promise<void> => {
      const { isExclusive, lockers } = await rbd.locks.lockers('locked');
      expect(isExclusive).toBe(true);
      expect(lockers).toMatchObject([{ client, address }]);
      expect(lockers[0]?.cookie).toMatch(/^auto \d+$/u);
      const watchers = await rbd.locks.watchers('locked');
      expect(watchers).toMatchObject([{ address, clientId: Number(await other.instanceId()) }]);
      const status = await command<{ watchers: { address: string; client: number; cookie: number }[] }>('status', 'vms/locked');
      expect(watchers.map((watcher) => String(watcher.cookie))).toEqual(status.watchers.map((watcher) => String(watcher.cookie)));
      expect(await rbd.locks.owners('locked')).toEqual({ mode: 'exclusive', owners: [address] });
      if (way === 'lock') await rbd.locks.breakLock('locked', lockers[0] ?? { client: '', cookie: '' });
      else await rbd.locks.breakOwner('locked', address);
    };
    const failure = await other.rbd('vms').import('locked', looking([inUse, look])).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'unknown-outcome' });
    expect(await ceph.exec(['ceph', 'osd', 'blocklist', 'ls'])).toContain(address);
    expect((await rbd.locks.lockers('locked')).lockers).toEqual([]);
    await expect(rbd.locks.breakLock('locked', { client: 'client.1', cookie: 'none' })).rejects.toMatchObject({ code: 'not-found' });
    // Whoever was blocklisted has another connection with its next call.
    expect(await other.addresses()).not.toBe(address);
    await other.close();
    await rbd.remove('locked');
  });

  test('a lock of one own stays until it is broken, and keeps others off', async () => {
    await rbd.create('held', MIB, { features: ['layering'] });
    const other = await Rados.connect({ configFile: ceph.configFile, options: { rbd_blocklist_on_break_lock: 'false' } });
    await rbd.locks.lock('held', 'for maintenance');
    await expect(other.rbd('vms').locks.lock('held', 'mine')).rejects.toMatchObject({ code: 'state' });
    const { lockers } = await rbd.locks.lockers('held');
    expect(lockers).toMatchObject([{ client: `client.${String(await rados.instanceId())}`, cookie: 'for maintenance' }]);
    expect(await ceph.exec(['rbd', 'lock', 'ls', 'vms/held'])).toContain('for maintenance');
    await other.rbd('vms').locks.breakLock('held', lockers[0] ?? { client: '', cookie: '' });
    expect((await rbd.locks.lockers('held')).lockers).toEqual([]);
    await other.close();
    await rbd.remove('held');
  });

  test('a hundred images are made and removed at once', async () => {
    const names = Array.from({ length: 100 }, (_, at) => `many-${at}`);
    await Promise.all(names.map((name) => rbd.create(name, MIB)));
    expect(await rbd.list()).toHaveLength(100);
    await Promise.all(names.map((name) => rbd.remove(name)));
    expect(await rbd.list()).toEqual([]);
  });
});

async function* one(offsetBytes: number, data: Uint8Array): AsyncGenerator<RbdChunk> {
  yield { offsetBytes, data };
}

/** Writes, lets somebody look, and writes again. */
async function* looking(looks: readonly (() => Promise<void>)[]): AsyncGenerator<RbdChunk> {
  for (const look of looks) {
    // More than may be on the way at once, so that the first are written when the look begins.
    for (let at = 0; at < 8; at += 1) yield { offsetBytes: at * 4_096, data: Buffer.alloc(4_096, 'w') };
    await look();
  }
  yield { offsetBytes: MIB, data: Buffer.alloc(4_096, 'w') };
}

async function* failing(): AsyncGenerator<RbdChunk> {
  yield { offsetBytes: 0, data: Buffer.alloc(4_096, 'f') };
  throw new Error('source failed');
}

/** As a file or a request gives them. */
async function* pieces(data: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.byteLength; at += 100_001) yield data.subarray(at, at + 100_001);
}

/** Comparing arrays of bytes one by one would take minutes. */
function digested(chunk: RbdChunk): [number, string] {
  return [chunk.offsetBytes, digest(chunk.data)];
}

function digest(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
