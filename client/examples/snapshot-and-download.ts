import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ClientError } from '../client-error.ts';
import type { Connection } from '../connection.ts';
import { StorageClient } from '../storage-client.ts';
import { VmClient } from '../vm-client.ts';

export interface SavedVolume {
  pool: string;
  volume: string;
  sizeBytes: number;
}

/**
 * Makes a snapshot of the first volume of a VM, writes what it has to a new file, as a raw image, and removes the snapshot. The guest goes on
 * meanwhile; what it has not written out is not in the image.
 */
export async function snapshotAndDownload(connection: Connection, { vm, snapshot, file }: { vm: string; snapshot: string; file: string }): Promise<SavedVolume> {
  const storage = new StorageClient(connection);
  const { disks } = await new VmClient(connection).get(vm);
  const [pool, volume] = disks.find(({ type }) => type === 'rbd')?.name.split('/') ?? [];
  if (pool === undefined || volume === undefined) throw new ClientError('arguments', `VM ${vm} has no volume`);
  await storage.createSnapshot(pool, volume, snapshot);
  try {
    const { sizeBytes, bytes } = await storage.downloadSnapshot(pool, volume, snapshot);
    await pipeline(bytes, createWriteStream(file, { flags: 'wx' }));
    return { pool, volume, sizeBytes };
  } finally {
    await storage.removeSnapshot(pool, volume, snapshot);
  }
}
