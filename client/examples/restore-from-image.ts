import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { VmView } from '../../common/view/vm.ts';
import type { Connection } from '../connection.ts';
import { StorageClient } from '../storage-client.ts';
import { VmClient } from '../vm-client.ts';

export interface Restored {
  /** Of the VM. */
  name: string;
  pool: string;
  /** Of the new volume. */
  volume: string;
  /** A raw image. */
  file: string;
}

/**
 * Writes an image into a new volume, and defines and starts a VM with it, and waits until it runs. A volume whose image did not get there
 * whole is removed again.
 * @param definition the libvirt domain definition of the VM of this name, given its disk's element.
 * @param limitMs longest wait for the start, in milliseconds.
 */
export async function restoreFromImage(
  connection: Connection,
  { name, pool, volume, file }: Restored,
  { definition, limitMs }: { definition: (name: string, disk: string) => string; limitMs: number },
): Promise<VmView> {
  const [storage, vms] = [new StorageClient(connection), new VmClient(connection)];
  const { size: sizeBytes } = await stat(file);
  await storage.createVolume({ pool, volume, size: sizeBytes });
  try {
    await storage.uploadVolume(pool, volume, { sizeBytes, bytes: createReadStream(file) });
  } catch (error) {
    await storage.removeVolume(pool, volume);
    throw error;
  }
  await vms.define(definition(name, `<disk type="network"><driver name="qemu" type="raw"/><source protocol="rbd" name="${pool}/${volume}"/><target dev="vda" bus="virtio"/></disk>`));
  await vms.start(name);
  return vms.waitVm(name, 'start', { limitMs });
}
