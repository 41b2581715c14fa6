import type { z } from 'zod';
import type { osdStateView, OsdView } from '../common/view/osd.ts';
import type { PoolView } from '../common/view/pool.ts';
import type { SnapshotView } from '../common/view/snapshot.ts';
import type { VolumeView } from '../common/view/volume.ts';
import type { CallOptions } from './connection.ts';
import { download, upload, type ImageDownload, type ImageSource } from './image-transfer.ts';
import type { Given } from './operation.ts';
import { STORAGE } from './operations/storage.ts';
import { ServiceClient } from './service-client.ts';
import type { TransferOptions } from './transfer-limits.ts';

/** What a command answers: a sentence for people. */
type Done = Promise<{ message: string }>;
/** What a command answers that was a task of a node. */
type TaskDone = Promise<z.output<typeof STORAGE.addOsd.reply>>;
type CephText<T extends string> = Promise<{ type: T; primary_node: string | null; ceph_data: string }>;

/**
 * Ceph: OSDs, pools, volumes and their snapshots, all by their exact names. Commands answer when Ceph has carried them out. A size is bytes,
 * or text with one of the units K, M, G, T and P of 1024 each. Every method throws ClientError only: status 404 for a reading method, 510
 * for a command, when there is no such thing; 510 when the API or Ceph refuses or fails, or the cluster has no storage.
 */
export class StorageClient extends ServiceClient {
  /** What `ceph status` prints. */
  status(options?: CallOptions): CephText<'status'> {
    return this.connection.call(STORAGE.status, {}, options);
  }

  /** What `rados df` prints. */
  utilization(options?: CallOptions): CephText<'utilization'> {
    return this.connection.call(STORAGE.utilization, {}, options);
  }

  /** Sets or unsets a flag of the whole cluster, such as `noout`; see `ceph osd set`. */
  setOption(action: 'set' | 'unset', option: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.setOption, { action, option }, options);
  }

  /** The OSDs. `limit` is a regular expression found anywhere in the id or in the name, such as osd.0. */
  listOsds(filter: Given<typeof STORAGE.listOsds> = {}, options?: CallOptions): Promise<OsdView[]> {
    return this.connection.call(STORAGE.listOsds, filter, options);
  }

  /** One OSD with its statistics; `kb…` are KiB. */
  getOsd(osd: number, options?: CallOptions): Promise<OsdView> {
    return this.connection.call(STORAGE.getOsd, { osd }, options);
  }

  /** Makes an OSD of a whole disk of a node: an empty one, unless `zap`, which destroys what is on it. Answers when the OSD is up, or has left nothing behind. */
  addOsd(settings: Given<typeof STORAGE.addOsd>, options?: CallOptions): TaskDone {
    return this.connection.call(STORAGE.addOsd, settings, options);
  }

  /** Removes an OSD and empties its device. Its data moves away first, unless `force`: what only it holds is lost then. */
  removeOsd(osd: number, how: Given<typeof STORAGE.removeOsd, 'osd'>, options?: CallOptions): TaskDone {
    return this.connection.call(STORAGE.removeOsd, { ...how, osd }, options);
  }

  /** Whether an OSD is up, and in: 1 or 0. */
  osdState(osd: number, options?: CallOptions): Promise<z.output<typeof osdStateView>> {
    return this.connection.call(STORAGE.osdState, { osd }, options);
  }

  /** Takes an OSD in or out: data moves to it or away from it from then on. */
  setOsdState(osd: number, state: 'in' | 'out', options?: CallOptions): Done {
    return this.connection.call(STORAGE.setOsdState, { osd, state }, options);
  }

  /** The pools for volumes. `limit` is a regular expression found anywhere in the name. */
  listPools(filter: Given<typeof STORAGE.listPools> = {}, options?: CallOptions): Promise<PoolView[]> {
    return this.connection.call(STORAGE.listPools, filter, options);
  }

  /** One pool; sizes in bytes. */
  getPool(pool: string, options?: CallOptions): Promise<PoolView> {
    return this.connection.call(STORAGE.getPool, { pool }, options);
  }

  /** Adds a pool. `replcfg` such as `copies=3,mincopies=2`; `tier`: the disks to keep it on. */
  createPool(settings: Given<typeof STORAGE.createPool>, options?: CallOptions): Done {
    return this.connection.call(STORAGE.createPool, settings, options);
  }

  /** Changes the number of placement groups of a pool. */
  modifyPool(pool: string, changes: { pgs: number }, options?: CallOptions): Done {
    return this.connection.call(STORAGE.modifyPool, { ...changes, pool }, options);
  }

  /** Removes a pool with everything in it. 510: a VM has a disk there, or Ceph does not permit it. */
  removePool(pool: string, how: Given<typeof STORAGE.removePool, 'pool'>, options?: CallOptions): Done {
    return this.connection.call(STORAGE.removePool, { ...how, pool }, options);
  }

  /** The volumes. `pool` exactly; `limit` is a regular expression found anywhere in the name. */
  listVolumes(filter: Given<typeof STORAGE.listVolumes> = {}, options?: CallOptions): Promise<VolumeView[]> {
    return this.connection.call(STORAGE.listVolumes, filter, options);
  }

  /** One volume; `size_bytes` is its size. */
  getVolume(pool: string, volume: string, options?: CallOptions): Promise<VolumeView> {
    return this.connection.call(STORAGE.getVolume, { pool, volume }, options);
  }

  /** Adds a volume, which takes space only as it is written to. */
  createVolume(settings: Given<typeof STORAGE.createVolume>, options?: CallOptions): Done {
    return this.connection.call(STORAGE.createVolume, settings, options);
  }

  /** Renames a volume, or makes it larger: one of the two. 510: renaming a disk of a VM, or making it smaller. */
  modifyVolume(pool: string, volume: string, changes: Given<typeof STORAGE.modifyVolume, 'pool' | 'volume'>, options?: CallOptions): Done {
    return this.connection.call(STORAGE.modifyVolume, { ...changes, pool, volume }, options);
  }

  /** Removes a volume with its snapshots. 510: it is a disk of a VM, open, or others are clones of it. */
  removeVolume(pool: string, volume: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.removeVolume, { pool, volume }, options);
  }

  /** Looks at a volume again and says its size. */
  scanVolume(pool: string, volume: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.scanVolume, { pool, volume }, options);
  }

  /** Copies a volume within its pool, without its snapshots. */
  cloneVolume(pool: string, volume: string, newVolume: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.cloneVolume, { pool, volume, new_volume: newVolume }, options);
  }

  /**
   * Writes a raw image into a volume that is there, large enough, and open to nobody. Answers when all is written. A transfer that breaks leaves
   * the volume with a part of the image. 510: the cluster refuses, before anything is sent, or fails.
   */
  uploadVolume(pool: string, volume: string, image: ImageSource, options?: TransferOptions): Done {
    return upload(this.connection, { operation: STORAGE.uploadVolume, values: { pool, volume, image_format: 'raw' } }, image, options);
  }

  /** The contents of a volume as a raw image. While a guest writes to it, download a snapshot instead. */
  downloadVolume(pool: string, volume: string, options?: TransferOptions): Promise<ImageDownload> {
    return download(this.connection, STORAGE.downloadVolume, { pool, volume }, options);
  }

  /** The snapshots, of this pool and volume exactly, if given; `limit` is a regular expression found anywhere in the name. */
  listSnapshots(filter: Given<typeof STORAGE.listSnapshots> = {}, options?: CallOptions): Promise<SnapshotView[]> {
    return this.connection.call(STORAGE.listSnapshots, filter, options);
  }

  /** One snapshot; `size_bytes` is the volume's size when it was made. */
  getSnapshot(pool: string, volume: string, snapshot: string, options?: CallOptions): Promise<SnapshotView> {
    return this.connection.call(STORAGE.getSnapshot, { pool, volume, snapshot }, options);
  }

  /** Adds a snapshot of a volume. What the guest has not written out is not in it. */
  createSnapshot(pool: string, volume: string, snapshot: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.createSnapshot, { pool, volume, snapshot }, options);
  }

  /** Renames a snapshot. */
  renameSnapshot(snapshot: { pool: string; volume: string; snapshot: string }, newName: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.renameSnapshot, { ...snapshot, name: newName }, options);
  }

  /** Removes a snapshot. 510: others are clones of it. */
  removeSnapshot(pool: string, volume: string, snapshot: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.removeSnapshot, { pool, volume, snapshot }, options);
  }

  /** What a volume had when the snapshot was made, as a raw image. */
  downloadSnapshot(pool: string, volume: string, snapshot: string, options?: TransferOptions): Promise<ImageDownload> {
    return download(this.connection, STORAGE.downloadSnapshot, { pool, volume, snapshot }, options);
  }

  /** Makes a volume what it was when the snapshot was made; what was written since is lost. 510: a VM that has it as a disk runs. */
  rollBackSnapshot(pool: string, volume: string, snapshot: string, options?: CallOptions): Done {
    return this.connection.call(STORAGE.rollBackSnapshot, { pool, volume, snapshot }, options);
  }
}
