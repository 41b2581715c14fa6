import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { missing, type Reads, type Step } from '../../support/command-lines.ts';
import { startScene, type StorageScene } from './storage-support.ts';

const MESSAGE: Reads = { message: 'text' };
const TEXT: Reads = { type: 'text', primary_node: 'text', ceph_data: 'text' };

const OSD: Reads = {
  '': 'list', '[].id': 'text',
  ...stats({ node: 'text', up: 'number', in: 'number', kb: 'number', weight: 'number', reweight: 'number', pgs: 'number', utilization: 'number', var: 'number', used: 'text', avail: 'text', wr_ops: 'text', wr_data: 'text', rd_ops: 'text', rd_data: 'text' }),
};
const POOL: Reads = {
  '': 'list', '[].name': 'text',
  ...stats({ id: 'number', used_bytes: 'number', used_percent: 'number', free_bytes: 'number', num_objects: 'number', num_object_clones: 'number', num_object_copies: 'number', num_objects_degraded: 'number', read_ops: 'number', read_bytes: 'number', write_ops: 'number', write_bytes: 'number' }),
};
const VOLUME: Reads = { '': 'list', '[].name': 'text', '[].pool': 'text', ...stats({ size: 'text', objects: 'number', order: 'number', format: 'number', features: 'list' }) };
const SNAPSHOT: Reads = { '': 'list', '[].pool': 'text', '[].volume': 'text', '[].snapshot': 'text' };

function stats(reads: Reads): Reads {
  return Object.fromEntries(Object.entries(reads).map(([name, type]) => [`[].stats.${name}`, type]));
}

/** What both send and read, as far as it is about storage; paths are below /storage/ceph. */
const COMMANDS = {
  '0.6': [
    { command: 'storage status', method: 'GET', path: '/status', reads: TEXT },
    { command: 'storage util', method: 'GET', path: '/utilization', reads: TEXT },
    { command: 'storage osd list', method: 'GET', path: '/osd', reads: OSD },
    { command: 'storage osd set noout', method: 'POST', path: '/option', query: 'option=noout&action=set', reads: MESSAGE },
    { command: 'storage osd unset noout', method: 'POST', path: '/option', query: 'option=noout&action=unset', reads: MESSAGE },
    { command: 'storage osd out 1', method: 'POST', path: '/osd/1/state', query: 'state=out', reads: MESSAGE },
    { command: 'storage osd in 1', method: 'POST', path: '/osd/1/state', query: 'state=in', reads: MESSAGE },
    { command: 'storage pool add p1 8 --replcfg', method: 'POST', path: '/pool', query: 'pool=p1&pgs=8&replcfg=copies%3D2%2Cmincopies%3D1', reads: MESSAGE },
    { command: 'storage pool list', method: 'GET', path: '/pool', reads: POOL },
    { command: 'storage volume add p1 v1 1G', method: 'POST', path: '/volume', query: 'volume=v1&pool=p1&size=1G', reads: MESSAGE },
    { command: 'storage volume resize p1 v1 2G', method: 'PUT', path: '/volume/p1/v1', query: 'new_size=2G', reads: MESSAGE },
    { command: 'storage volume rename p1 v1 v2', method: 'PUT', path: '/volume/p1/v1', query: 'new_name=v2', reads: MESSAGE },
    { command: 'storage volume clone p1 v2 v3', method: 'POST', path: '/volume/p1/v2/clone', query: 'new_volume=v3', reads: MESSAGE },
    { command: 'storage volume list', method: 'GET', path: '/volume', query: 'limit=v&pool=p1', reads: VOLUME },
    { command: 'storage volume snapshot add p1 v2 s1', method: 'POST', path: '/snapshot', query: 'snapshot=s1&volume=v2&pool=p1', reads: MESSAGE },
    { command: 'storage volume snapshot rename p1 v2 s1 s2', method: 'PUT', path: '/snapshot/p1/v2/s1', query: 'new_name=s2', reads: MESSAGE },
    { command: 'storage volume snapshot list -p p1 -o v2', method: 'GET', path: '/snapshot', query: 'pool=p1&volume=v2', reads: SNAPSHOT },
    { command: 'storage volume snapshot remove p1 v2 s2', method: 'DELETE', path: '/snapshot/p1/v2/s2', reads: MESSAGE },
    { command: 'storage volume remove p1 v3', method: 'DELETE', path: '/volume/p1/v3', reads: MESSAGE },
    { command: 'storage pool remove p1', method: 'DELETE', path: '/pool/p1', query: 'yes-i-really-mean-it=yes', reads: MESSAGE },
  ],
  '1.0': [
    { command: 'storage status', method: 'GET', path: '/status', reads: TEXT },
    { command: 'storage util', method: 'GET', path: '/utilization', reads: TEXT },
    { command: 'storage osd list', method: 'GET', path: '/osd', reads: { ...OSD, '[].node': 'text', '[].device': 'text', '[].db_device': 'text|null', '[].is_split': 'flag' } },
    { command: 'storage pool add p1 8 -t default', method: 'POST', path: '/pool', query: 'pool=p1&pgs=8&replcfg=copies%3D2%2Cmincopies%3D1&tier=default', reads: MESSAGE },
    { command: 'storage pool set-pgs p1 16', method: 'PUT', path: '/pool/p1', query: 'pgs=16', reads: MESSAGE },
    { command: 'storage pool list', method: 'GET', path: '/pool', reads: { ...POOL, '[].pgs': 'text', '[].tier': 'text', '[].volume_count': 'number', '[].stats.stored_bytes': 'number' } },
    { command: 'storage volume add p1 v1 1G', method: 'POST', path: '/volume', query: 'volume=v1&pool=p1&size=1G&force=False', reads: MESSAGE },
    { command: 'storage volume resize p1 v1 2G', method: 'PUT', path: '/volume/p1/v1', query: 'new_size=2G&force=False', reads: MESSAGE },
    { command: 'storage volume clone p1 v1 v2', method: 'POST', path: '/volume/p1/v1/clone', query: 'new_volume=v2&force_flag=False', reads: MESSAGE },
    { command: 'storage volume rename p1 v2 v3', method: 'PUT', path: '/volume/p1/v2', query: 'new_name=v3', reads: MESSAGE },
    { command: 'storage volume list', method: 'GET', path: '/volume', reads: VOLUME },
    { command: 'storage volume snapshot add p1 v1 s1', method: 'POST', path: '/snapshot', query: 'snapshot=s1&volume=v1&pool=p1', reads: MESSAGE },
    { command: 'storage volume snapshot rollback p1 v1 s1', method: 'POST', path: '/snapshot/p1/v1/s1/rollback', reads: MESSAGE },
    { command: 'storage volume snapshot list', method: 'GET', path: '/snapshot', reads: { ...SNAPSHOT, '[].stats': 'object' } },
    { command: 'storage volume snapshot remove p1 v1 s1', method: 'DELETE', path: '/snapshot/p1/v1/s1', reads: MESSAGE },
    { command: 'storage volume remove p1 v1', method: 'DELETE', path: '/volume/p1/v1', reads: MESSAGE },
    { command: 'storage pool remove p1', method: 'DELETE', path: '/pool/p1', query: 'yes-i-really-mean-it=yes', reads: MESSAGE },
  ],
} satisfies Record<string, readonly Step[]>;

describe.skipIf(cephMissing() !== undefined)('the storage commands', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);

  beforeAll(async () => {
    scene = await startScene({ osds: 2 });
  });

  afterAll(() => scene.stop());

  describe.each(Object.entries(COMMANDS))('of the existing command line %s find what they read', (_version, steps) => {
    test.each<Step>(steps)('$command', async ({ method, path, query, reads }) => {
      const answer = await scene.ask(path, { method, query: query ?? '' });
      expect([answer.code, answer.code === 200 ? '' : answer.text]).toEqual([200, '']);
      expect(missing(answer.body, reads ?? {})).toEqual([]);
    });
  });
});
