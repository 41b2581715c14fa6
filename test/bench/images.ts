import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { StorageClient } from '../../client/storage-client.ts';
import { systemClock } from '../../common/clock.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import { startZooKeeper } from '../support/zookeeper-server.ts';
import { startApi, type ApiProcess } from './api-process.ts';
import type { LoneBench } from './bench.ts';
import { figure, median, type Figure } from './figure.ts';

const POOL = 'vms';
const MIB = 2 ** 20;
/** Random bytes: nothing of it is zero. */
const SIZE_MIB = 256;
const ROUNDS = 3;

/** An image in and out of a volume, against the commands that do the same between a file and the volume, in turns. */
export const images: LoneBench = {
  name: 'images',
  async measure() {
    const folder = await mkdtemp(join(tmpdir(), 'pvc-bench-'));
    const ensemble = await startZooKeeper(1);
    const ceph = await startCephCluster({ osds: 1, pools: [POOL] });
    try {
      const api = await startApi(folder, ensemble.hosts[0] ?? '', { config_file: ceph.configFile, client: 'client.admin', keyring_file: ceph.keyringFile });
      try {
        return await measureOn({ api, ceph, folder });
      } finally {
        await api.stop();
      }
    } finally {
      await ceph.stop();
      await ensemble.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function measureOn({ api, ceph, folder }: { api: ApiProcess; ceph: CephCluster; folder: string }): Promise<Figure[]> {
  const file = join(folder, 'image.raw');
  const out = join(folder, 'out.raw');
  await fill(file);
  const client = new StorageClient(api.url, api.token);
  const before = (await api.memoryMib()).now;
  const times = { upload: [] as number[], rbdImport: [] as number[], download: [] as number[], rbdExport: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const [ours, theirs] = [`ours-${round}`, `theirs-${round}`];
    times.upload.push(await timed(() => upload(client, ours, file)));
    times.rbdImport.push(await timed(() => ceph.exec(['rbd', 'import', '--no-progress', file, `${POOL}/${theirs}`])));
    times.download.push(await timed(() => download(client, ours, out)));
    await rm(out);
    times.rbdExport.push(await timed(() => ceph.exec(['rbd', 'export', '--no-progress', `${POOL}/${theirs}`, out])));
    await rm(out);
    for (const volume of [ours, theirs]) await client.removeVolume(POOL, volume);
  }
  client.close();
  const ms = { upload: median(times.upload), rbdImport: median(times.rbdImport), download: median(times.download), rbdExport: median(times.rbdExport) };
  return [
    figure(`image-upload-${SIZE_MIB}`, ms.upload / 1_000, 's', null),
    figure(`image-upload-${SIZE_MIB}-ratio`, ms.upload / ms.rbdImport, 'times', null),
    figure(`image-download-${SIZE_MIB}`, ms.download / 1_000, 's', null),
    figure(`image-download-${SIZE_MIB}-ratio`, ms.download / ms.rbdExport, 'times', null),
    figure('image-api-memory', (await api.memoryMib()).peak - before, 'MiB', null),
  ];
}

async function fill(file: string): Promise<void> {
  const handle = await open(file, 'wx');
  for (let mib = 0; mib < SIZE_MIB; mib += 1) await handle.write(randomBytes(MIB));
  await handle.close();
}

async function upload(client: StorageClient, volume: string, file: string): Promise<void> {
  const sizeBytes = SIZE_MIB * MIB;
  await client.createVolume({ pool: POOL, volume, size: sizeBytes });
  await client.uploadVolume(POOL, volume, { sizeBytes, bytes: createReadStream(file, { highWaterMark: MIB }) });
}

async function download(client: StorageClient, volume: string, file: string): Promise<void> {
  const { bytes } = await client.downloadVolume(POOL, volume);
  await pipeline(bytes, createWriteStream(file));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}
