import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClientError } from '../../../client/client-error.ts';
import { StorageClient } from '../../../client/storage-client.ts';
import type { Logger } from '../../../common/log.ts';
import { Rados } from '../../../common/rados/rados.ts';
import type { RbdPiece } from '../../../common/rados/rbd-stream.ts';
import { drop, putVm, putVmStatus, TOKEN } from '../../contract/api-support.ts';
import { aVmId } from '../../support/builders.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { until } from '../../support/until.ts';
import { startScene, xmlWithDisks, type StorageScene } from './storage-support.ts';

const MIB = 2 ** 20;
/** At once in the API. */
const IMAGES_MAX = 8;

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Data at a few places, zeros elsewhere, and an end within a sector. */
function sparse(): Buffer {
  const data = Buffer.alloc(22 * MIB + 777);
  for (const [at, length] of [[0, 1_000], [5 * MIB - 10, 2 * MIB], [22 * MIB + 7, 700]] as const) randomBytes(length).copy(data, at);
  return data;
}

describe.skipIf(cephMissing() !== undefined)('images in and out of volumes', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);
  let client: StorageClient;
  /** Another client of Ceph. */
  let rados: Rados;
  const warnings: object[] = [];
  const errors: object[] = [];
  const log: Logger = { error: (fields) => void errors.push(fields), warn: (fields) => void warnings.push(fields), info: () => undefined, debug: () => undefined, child: () => log };

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: ['vms'], log });
    client = new StorageClient(scene.api.base.replace('/api/v1', ''), TOKEN);
    rados = await Rados.connect({ configFile: scene.ceph.configFile, keyringFile: scene.ceph.keyringFile });
  });

  afterAll(async () => {
    expect(errors).toEqual([]);
    client.close();
    await rados.close();
    await scene.stop();
  });

  const rbd = (...words: string[]): Promise<string> => scene.ceph.exec(['rbd', ...words]);
  const create = (volume: string, sizeBytes: number): Promise<void> => rados.rbd('vms').create(volume, sizeBytes);
  const send = (volume: string, data: Uint8Array): Promise<{ message: string }> => client.uploadVolume('vms', volume, { sizeBytes: data.byteLength, bytes: pieces(data) });
  /** What rbd itself reads. */
  async function exported(volume: string): Promise<Buffer> {
    const file = join(scene.ceph.folder, 'exported.raw');
    await rbd('export', '--no-progress', `vms/${volume}`, file);
    const data = await readFile(file);
    await writeFile(file, '');
    await scene.ceph.exec(['rm', file]);
    return data;
  }
  async function downloaded(volume: string, snapshot?: string): Promise<Buffer> {
    const { sizeBytes, bytes } = await (snapshot === undefined ? client.downloadVolume('vms', volume) : client.downloadSnapshot('vms', volume, snapshot));
    const data = Buffer.concat(await bytes.toArray());
    expect(data.byteLength).toBe(sizeBytes);
    return data;
  }
  const usedBytes = async (volume: string): Promise<unknown> => (await scene.json('rbd', 'du', `vms/${volume}`)).images[0].used_size;

  /** A request that is only begun. */
  function begin(volume: string, headers: Record<string, string | number>, query = 'image_format=raw'): ClientRequest {
    const { hostname, port, pathname } = new URL(scene.api.base);
    const call = request({ hostname, port, method: 'POST', path: `${pathname}/storage/ceph/volume/vms/${volume}/upload?${query}`, headers: { 'X-Api-Key': TOKEN, ...headers } });
    call.on('error', () => undefined);
    return call;
  }

  async function answer(call: ClientRequest): Promise<{ code: number | undefined; message: string }> {
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    const { message } = JSON.parse(Buffer.concat(await response.toArray()).toString()) as { message: string };
    return { code: response.statusCode, message };
  }

  describe('bytes', () => {
    test('that are uploaded are what rbd exports, and what rbd imports is downloaded', async () => {
      const data = sparse();
      await create('up', data.byteLength);
      expect(await send('up', data)).toEqual({ message: `volume vms/up has the image of ${data.byteLength} bytes` });
      expect(digest(await exported('up'))).toBe(digest(data));
      expect(digest(await downloaded('up'))).toBe(digest(data));
      // Of six objects, those from 8 to 20 MiB are all zero; the last one is as large as the volume's end.
      expect(await usedBytes('up')).toBe(10 * MIB + 777);
      const file = join(scene.ceph.folder, 'imported.raw');
      await writeFile(file, data);
      await rbd('import', '--no-progress', file, 'vms/imported');
      expect(digest(await downloaded('imported'))).toBe(digest(data));
    });

    test('come in a form too, as the existing command line sends it', async () => {
      const data = sparse();
      await create('form', data.byteLength + 5 * MIB);
      const form = new FormData();
      form.set('note', 'nobody looks at it');
      form.set('file', new Blob([new Uint8Array(data)]), 'disk.raw');
      const response = await fetch(`${scene.api.base}/storage/ceph/volume/vms/form/upload?image_format=raw&file_size=${data.byteLength}`, { method: 'POST', headers: { 'X-Api-Key': TOKEN }, body: form });
      expect([response.status, await response.json()]).toEqual([200, { message: `volume vms/form has the image of ${data.byteLength} bytes` }]);
      expect(digest((await exported('form')).subarray(0, data.byteLength))).toBe(digest(data));
    });

    test('of zeros take the place of what was there, and no space; what lies beyond them stays', async () => {
      await create('full', 16 * MIB);
      await rados.rbd('vms').import('full', one(Buffer.alloc(16 * MIB, 'x')));
      await send('full', Buffer.alloc(13 * MIB));
      const now = await exported('full');
      expect([now.subarray(0, 13 * MIB).every((byte) => byte === 0), now.subarray(13 * MIB).every((byte) => byte === 0x78)]).toEqual([true, true]);
      expect(await usedBytes('full')).toBe(4 * MIB);
    });

    test('of a snapshot are what the volume had then', async () => {
      const [then, now] = [sparse(), sparse()];
      await create('snapped', then.byteLength);
      await send('snapped', then);
      await client.createSnapshot('vms', 'snapped', 's1');
      await send('snapped', now);
      expect([digest(await downloaded('snapped', 's1')), digest(await downloaded('snapped'))]).toEqual([digest(then), digest(now)]);
      const old = await scene.ask('/snapshot/vms/snapped/s1/download', { method: 'HEAD' });
      expect([old.code, old.headers.get('content-length'), old.headers.get('content-type')]).toEqual([200, String(then.byteLength), 'application/octet-stream']);
    });

    test('of a gibibyte go both ways without being held', async () => {
      const sizeBytes = 1_024 * MIB;
      await create('large', sizeBytes);
      const sum = createHash('sha256');
      const source = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < sizeBytes; at += MIB) {
          const piece = at % (16 * MIB) === 0 ? randomBytes(MIB) : Buffer.alloc(MIB);
          sum.update(piece);
          yield piece;
        }
      };
      const before = process.memoryUsage().rss;
      let peak = before;
      const onProgress = (): void => void (peak = Math.max(peak, process.memoryUsage.rss()));
      await client.uploadVolume('vms', 'large', { sizeBytes, bytes: source() }, { onProgress });
      const { bytes } = await client.downloadVolume('vms', 'large', { onProgress });
      const back = createHash('sha256');
      for await (const piece of bytes) back.update(piece as Buffer);
      expect(back.digest('hex')).toBe(sum.digest('hex'));
      expect((peak - before) / MIB).toBeLessThan(250);
      await client.removeVolume('vms', 'large');
    }, 240_000);
  });

  describe('an upload is refused before a byte is sent', () => {
    const OCTETS = { 'Content-Type': 'application/octet-stream', 'Content-Length': 8 * MIB };
    const FORM = { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': 8 * MIB };

    beforeAll(() => create('target', 8 * MIB));

    test.each<[what: string, headers: Record<string, string | number>, query: string, message: string | RegExp]>([
      ['of another format', OCTETS, 'image_format=qcow2', 'the request is not valid (image_format: must be raw; make another image so first: qemu-img convert -O raw IMAGE IMAGE.raw)'],
      ['of no format', OCTETS, '', 'the request is not valid (image_format: is required)'],
      ['of an unknown size', { 'Content-Type': 'application/octet-stream', 'Transfer-Encoding': 'chunked' }, 'image_format=raw', /size of the image must be known/u],
      ['of two sizes', OCTETS, 'image_format=raw&file_size=5', /file_size is not what Content-Length says/u],
      ['in a form without file_size', FORM, 'image_format=raw', /size of the image must be known/u],
      ['in a form without boundary', { ...FORM, 'Content-Type': 'multipart/form-data' }, 'image_format=raw&file_size=5', /form cannot be read/u],
      ['of another type', { ...OCTETS, 'Content-Type': 'application/json' }, 'image_format=raw', /an image comes as application\/octet-stream/u],
      ['that is compressed', { ...OCTETS, 'Content-Encoding': 'gzip' }, 'image_format=raw', /must not be compressed/u],
      ['that is larger than the volume', { ...OCTETS, 'Content-Length': 8 * MIB + 1 }, 'image_format=raw', 'the volume is smaller than the image (volume: vms/target, volumeBytes: 8388608, imageBytes: 8388609)'],
    ])('%s', async (_what, headers, query, message) => {
      const call = begin('target', { ...headers, Expect: '100-continue' }, query);
      let isAskedFor = false;
      call.on('continue', () => (isAskedFor = true));
      call.flushHeaders();
      expect(await answer(call)).toEqual({ code: 510, message: typeof message === 'string' ? message : expect.stringMatching(message) });
      expect(isAskedFor).toBe(false);
      call.destroy();
    });

    test('into a volume that is not there, and without a token', async () => {
      await expect(send('absent', Buffer.alloc(9))).rejects.toMatchObject({ status: 510, message: 'there is no such volume (volume: vms/absent)' });
      const stranger = new StorageClient(scene.api.base.replace('/api/v1', ''), 'not a token that is known');
      await expect(stranger.uploadVolume('vms', 'target', { sizeBytes: 9, bytes: pieces(Buffer.alloc(9)) })).rejects.toMatchObject({ status: 401 });
      stranger.close();
    });

    test('into the disk of a VM that runs', async () => {
      await putVm(scene.api, { uuid: aVmId(1), name: 'web1', xml: xmlWithDisks('web1', aVmId(1), 'vms/target') });
      await putVmStatus(scene.api, aVmId(1));
      await expect(send('target', Buffer.alloc(9))).rejects.toMatchObject({ status: 510, message: expect.stringMatching(/^VMs that run have this volume as a disk.*web1/u) });
      await drop(scene.api, 'vm-status', aVmId(1));
      await send('target', Buffer.alloc(9, 'y'));
      await drop(scene.api, 'vm', aVmId(1));
    });

    test('into a volume that another client has open', async () => {
      let close = (): void => undefined;
      const held = rados.rbd('vms').import('target', waiting(new Promise((resolve) => (close = resolve))));
      await until(async () => (await rados.rbd('vms').locks.watchers('target')).length > 0, 10_000);
      await expect(send('target', Buffer.alloc(9))).rejects.toMatchObject({ status: 510, message: expect.stringMatching(/^somebody has this volume open \(volume: vms\/target, clients: [\d.:/]+\)$/u) });
      close();
      await held;
      await send('target', Buffer.alloc(9));
    });
  });

  describe('an upload that breaks', () => {
    const closed = (volume: string) => until(async () => (await rados.rbd('vms').locks.watchers(volume)).length === 0, 20_000, 'the image is closed');

    test('because its client leaves is told in the log, leaves the volume closed, and can be done again', async () => {
      await create('broken', 32 * MIB);
      const call = begin('broken', { 'Content-Type': 'application/octet-stream', 'Content-Length': 32 * MIB });
      call.write(Buffer.alloc(9 * MIB, 'a'));
      await until(async () => (await exported('broken')).includes('aaa'), 20_000, 'a part is written');
      warnings.splice(0);
      call.destroy();
      await closed('broken');
      await until(() => warnings.length > 0, 10_000);
      expect(warnings).toEqual([{ volume: 'vms/broken', error: 'the client left before the end of its image' }]);
      const whole = Buffer.alloc(32 * MIB, 'b');
      await send('broken', whole);
      expect(digest(await exported('broken'))).toBe(digest(whole));
    });

    test('because the form ends early is answered with the volume that has a part', async () => {
      await create('short', 16 * MIB);
      const head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.raw"\r\nContent-Type: application/octet-stream\r\n\r\n';
      const end = '\r\n--x--\r\n';
      const call = begin('short', { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': head.length + 6 * MIB + end.length }, `image_format=raw&file_size=${7 * MIB}`);
      for (const part of [head, Buffer.alloc(6 * MIB, 'c'), end]) call.write(part);
      call.end();
      expect(await answer(call)).toEqual({ code: 510, message: expect.stringMatching(/^the image was not written as a whole: the volume has a part of it \(volume: vms\/short, why: the image is smaller than was said/u) });
      await closed('short');
    });

    test.each([['more', 9], ['fewer', 7]] as const)('because its source has %s bytes than it said is an error of its own', async (_what, mib) => {
      await create(`lying-${mib}`, 16 * MIB);
      const failure = client.uploadVolume('vms', `lying-${mib}`, { sizeBytes: 8 * MIB, bytes: pieces(Buffer.alloc(mib * MIB, 'd')) });
      await expect(failure).rejects.toMatchObject({ kind: 'arguments', message: expect.stringMatching(/than was said/u) });
      await closed(`lying-${mib}`);
    });

    test('because its caller has enough ends at once', async () => {
      await create('aborted', 16 * MIB);
      const stop = new AbortController();
      const failure = client.uploadVolume('vms', 'aborted', { sizeBytes: 16 * MIB, bytes: endless() }, { signal: stop.signal, onProgress: (bytes) => (bytes > 5 * MIB ? stop.abort() : undefined) });
      await expect(failure).rejects.toMatchObject({ kind: 'aborted' });
      await closed('aborted');
      await create('idle', 16 * MIB);
      const idle = client.uploadVolume('vms', 'idle', { sizeBytes: 16 * MIB, bytes: endless() }, { timeoutMs: 5 });
      await expect(idle).rejects.toMatchObject({ kind: 'timeout' });
      await closed('idle');
    });
  });

  test('while an image is uploaded its volume is locked, and another one into it is refused; others go on', async () => {
    await create('one', 8 * MIB);
    await create('two', 8 * MIB);
    const first = begin('one', { 'Content-Type': 'application/octet-stream', 'Content-Length': 8 * MIB, Expect: '100-continue' });
    first.flushHeaders();
    await once(first, 'continue');
    expect((await rados.rbd('vms').locks.lockers('one')).lockers).toHaveLength(1);
    await expect(send('one', Buffer.alloc(9))).rejects.toMatchObject({ status: 510, message: 'another image is being written to this volume (volume: vms/one)' });
    await expect(client.removeVolume('vms', 'one')).rejects.toMatchObject({ status: 510 });
    const [one, two] = [Buffer.alloc(8 * MIB, '1'), Buffer.alloc(8 * MIB, '2')];
    await send('two', two);
    first.end(one);
    expect(await answer(first)).toMatchObject({ code: 200 });
    expect([digest(await exported('one')), digest(await exported('two'))]).toEqual([digest(one), digest(two)]);
    expect((await rados.rbd('vms').locks.lockers('one')).lockers).toEqual([]);
  });

  describe('a download', () => {
    const data = Buffer.alloc(48 * MIB, 'z');

    beforeAll(async () => {
      await create('down', data.byteLength);
      await send('down', data);
    });

    test('whose reader leaves ends, and makes room for another', async () => {
      for (let number = 0; number < 2 * IMAGES_MAX; number += 1) {
        const { bytes } = await client.downloadVolume('vms', 'down');
        for await (const piece of bytes) if ((piece as Buffer).byteLength > 0) break;
      }
      expect(digest(await downloaded('down'))).toBe(digest(data));
    });

    test('too many at once are refused, with a word when to come again', async () => {
      const open = await Promise.all(Array.from({ length: IMAGES_MAX }, () => client.downloadVolume('vms', 'down')));
      await expect(client.downloadVolume('vms', 'down')).rejects.toMatchObject({ status: 429, details: expect.arrayContaining(['retry after: 30 s']) });
      for (const { bytes } of open) bytes.destroy();
      await until(() => client.downloadVolume('vms', 'down').then(({ bytes }) => Boolean(bytes.destroy()), () => false), 20_000, 'there is room');
    });

    test('that fails in the middle breaks instead of ending', async () => {
      await create('shrinking', 64 * MIB);
      await send('shrinking', Buffer.alloc(64 * MIB, 'w'));
      const { bytes } = await client.downloadVolume('vms', 'shrinking');
      await rbd('resize', '--size', '8M', '--allow-shrink', '--no-progress', 'vms/shrinking');
      const failure = await bytes.toArray().then(() => undefined, (error: unknown) => error);
      expect(failure).toBeInstanceOf(ClientError);
      expect(failure).toMatchObject({ kind: 'connection' });
    });

    test('of a snapshot that is removed in the middle breaks, too', async () => {
      await client.createSnapshot('vms', 'down', 'gone');
      const { bytes } = await client.downloadSnapshot('vms', 'down', 'gone');
      await client.removeSnapshot('vms', 'down', 'gone');
      await expect(bytes.toArray()).rejects.toMatchObject({ kind: 'connection' });
    });

    test('of what is not there is answered as such', async () => {
      await expect(client.downloadVolume('vms', 'absent')).rejects.toMatchObject({ status: 404, message: 'there is no such volume (volume: vms/absent)' });
      await expect(client.downloadSnapshot('vms', 'down', 'absent')).rejects.toMatchObject({ status: 404, message: 'there is no such snapshot (snapshot: vms/down@absent)' });
      await expect(client.downloadSnapshot('vms', 'absent', 's')).rejects.toMatchObject({ status: 404 });
    });
  });
});

async function* pieces(data: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.byteLength; at += 300_001) yield data.subarray(at, at + 300_001);
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield randomBytes(65_536);
}

async function* one(data: Uint8Array): AsyncGenerator<RbdPiece> {
  yield { offsetBytes: 0, data };
}

/** Nothing, until somebody says so. */
// eslint-disable-next-line require-yield -- it only holds the image open
async function* waiting(end: Promise<void>): AsyncGenerator<RbdPiece> {
  await end;
}
