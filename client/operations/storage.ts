import { z } from 'zod';
import { poolTier } from '../../common/schema/pool.ts';
import { osdStateView, osdView } from '../../common/view/osd.ts';
import { poolView } from '../../common/view/pool.ts';
import { snapshotView } from '../../common/view/snapshot.ts';
import { volumeView } from '../../common/view/volume.ts';
import { operation } from '../operation.ts';
import { flag, limit, message, name, nothing, text } from './values.ts';

const node = name;
const osd = z.int().min(0);
const pool = name;
const volume = name;
const snapshot = name;
const SNAPSHOT_PATH = '/storage/ceph/volume/snapshot/:pool/:volume/:snapshot';
const meant = z.literal(true);
const textOf = <T extends string>(type: T) => z.object({ type: z.literal(type), primary_node: z.string().nullable(), ceph_data: z.string() });
const osdTask = message.extend({ task_id: z.string().optional(), task_name: z.string().optional(), run_on: z.string().optional() });

export const STORAGE = {
  status: operation({ method: 'GET', path: '/storage/ceph/status', values: nothing, reply: textOf('status') }),
  utilization: operation({ method: 'GET', path: '/storage/ceph/df', values: nothing, reply: textOf('utilization') }),
  setOption: operation({ method: 'POST', path: '/storage/ceph/cluster-option', slow: true, values: z.strictObject({ action: z.enum(['set', 'unset']), option: name }), reply: message }),
  listOsds: operation({ method: 'GET', path: '/storage/ceph/osd', values: z.strictObject({ limit }), reply: z.array(osdView) }),
  getOsd: operation({ method: 'GET', path: '/storage/ceph/osd/:osd', values: z.strictObject({ osd }), reply: osdView }),
  addOsd: operation({
    method: 'POST',
    path: '/storage/ceph/osd',
    slow: true,
    values: z.strictObject({ node, device: name, weight: z.number().min(0), zap: flag, yes_i_really_mean_it: meant.optional() }),
    reply: osdTask,
  }),
  removeOsd: operation({ method: 'DELETE', path: '/storage/ceph/osd/:osd', slow: true, values: z.strictObject({ osd, yes_i_really_mean_it: meant, force: flag }), reply: osdTask }),
  osdState: operation({ method: 'GET', path: '/storage/ceph/osd/:osd/state', values: z.strictObject({ osd }), reply: osdStateView }),
  setOsdState: operation({ method: 'POST', path: '/storage/ceph/osd/:osd/state', slow: true, values: z.strictObject({ osd, state: z.enum(['in', 'out']) }), reply: message }),
  listPools: operation({ method: 'GET', path: '/storage/ceph/pool', values: z.strictObject({ limit }), reply: z.array(poolView) }),
  getPool: operation({ method: 'GET', path: '/storage/ceph/pool/:pool', values: z.strictObject({ pool }), reply: poolView }),
  createPool: operation({
    method: 'POST',
    path: '/storage/ceph/pool',
    slow: true,
    values: z.strictObject({ pool, pgs: z.int().min(1), replcfg: text.optional(), tier: poolTier.optional() }),
    reply: message,
  }),
  modifyPool: operation({ method: 'PUT', path: '/storage/ceph/pool/:pool', slow: true, values: z.strictObject({ pool, pgs: z.int().min(1) }), reply: message }),
  removePool: operation({ method: 'DELETE', path: '/storage/ceph/pool/:pool', slow: true, values: z.strictObject({ pool, yes_i_really_mean_it: meant }), reply: message }),
  listVolumes: operation({ method: 'GET', path: '/storage/ceph/volume', values: z.strictObject({ pool: pool.optional(), limit }), reply: z.array(volumeView) }),
  getVolume: operation({ method: 'GET', path: '/storage/ceph/volume/:pool/:volume', values: z.strictObject({ pool, volume }), reply: volumeView }),
  createVolume: operation({ method: 'POST', path: '/storage/ceph/volume', slow: true, values: z.strictObject({ pool, volume, size: z.union([text, z.int().min(1)]) }), reply: message }),
  modifyVolume: operation({
    method: 'PUT',
    path: '/storage/ceph/volume/:pool/:volume',
    slow: true,
    values: z.strictObject({ pool, volume, name: name.optional(), size: z.union([text, z.int().min(1)]).optional() }),
    reply: message,
  }),
  removeVolume: operation({ method: 'DELETE', path: '/storage/ceph/volume/:pool/:volume', slow: true, values: z.strictObject({ pool, volume }), reply: message }),
  scanVolume: operation({ method: 'POST', path: '/storage/ceph/volume/:pool/:volume/scan', slow: true, values: z.strictObject({ pool, volume }), reply: message }),
  uploadVolume: operation({
    method: 'POST',
    path: '/storage/ceph/volume/:pool/:volume/upload',
    body: 'image',
    values: z.strictObject({ pool, volume, image_format: z.literal('raw'), file_size: z.int().min(1).optional() }),
    reply: message,
  }),
  downloadVolume: operation({ method: 'GET', path: '/storage/ceph/volume/:pool/:volume/download', values: z.strictObject({ pool, volume }), reply: z.unknown() }),
  cloneVolume: operation({ method: 'POST', path: '/storage/ceph/volume/:pool/:volume/clone', slow: true, values: z.strictObject({ pool, volume, new_volume: name }), reply: message }),
  listSnapshots: operation({
    method: 'GET',
    path: '/storage/ceph/volume/snapshot',
    values: z.strictObject({ pool: pool.optional(), volume: volume.optional(), limit }),
    reply: z.array(snapshotView),
  }),
  getSnapshot: operation({ method: 'GET', path: SNAPSHOT_PATH, values: z.strictObject({ pool, volume, snapshot }), reply: snapshotView }),
  createSnapshot: operation({ method: 'POST', path: '/storage/ceph/volume/snapshot', slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
  renameSnapshot: operation({ method: 'PUT', path: SNAPSHOT_PATH, slow: true, values: z.strictObject({ pool, volume, snapshot, name }), reply: message }),
  removeSnapshot: operation({ method: 'DELETE', path: SNAPSHOT_PATH, slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
  downloadSnapshot: operation({ method: 'GET', path: `${SNAPSHOT_PATH}/download`, values: z.strictObject({ pool, volume, snapshot }), reply: z.unknown() }),
  rollBackSnapshot: operation({ method: 'POST', path: `${SNAPSHOT_PATH}/rollback`, slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
} as const;
