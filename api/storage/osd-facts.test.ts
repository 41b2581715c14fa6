import { describe, expect, test } from 'vitest';
import type { OsdDump, OsdMetadata } from './ceph-documents.ts';
import { osdsOf, type OsdFigures } from './osd-facts.ts';

function aDump(...ids: number[]): OsdDump {
  return { pools: [], osds: ids.map((osd) => ({ osd, uuid: `uuid-${osd}`, up: 1, in: 1, weight: 1, primary_affinity: 1, state: ['exists', 'up'] })) };
}

function figures(metadata: OsdMetadata, given: Partial<OsdFigures> = {}): OsdFigures {
  return { df: { nodes: [] }, tree: { nodes: [] }, status: [], metadata, ...given };
}

describe('OSDs', () => {
  test('are those that exist, by number, whatever is told of others', () => {
    expect(osdsOf(aDump(10, 2), figures([{ id: 2 }, { id: 7, hostname: 'hv7' }])).map(({ id, node, device, statistics }) => [id, node, device, statistics])).toEqual([
      [2, null, null, undefined],
      [10, null, null, undefined],
    ]);
  });

  test('have their space also where the manager tells no rates', () => {
    const space = { id: 2, device_class: 'hdd', crush_weight: 1, reweight: 1, kb: 4_194_304, kb_used: 436_576, kb_used_data: 128, kb_used_omap: 1, kb_used_meta: 26_814, kb_avail: 3_757_728, utilization: 10.4, var: 1.9, pgs: 8 };
    const [known, unknown] = osdsOf(aDump(2, 10), figures([], { df: { nodes: [space] }, status: undefined }));
    expect(known?.statistics).toMatchObject({ kb: 4_194_304, pgs: 8, used: '426M', avail: '3670M', readOps: '0', writeOps: '0', state: 'exists,up' });
    expect(unknown?.statistics).toBeUndefined();
  });

  test('are on the host that they are below, else on the one that they told', () => {
    const tree = { nodes: [{ id: -1, name: 'default', type: 'root', children: [-2] }, { id: -2, name: 'hv1', type: 'host', children: [0] }] };
    expect(osdsOf(aDump(0, 1), figures([{ id: 0, hostname: 'other' }, { id: 1, hostname: 'hv2' }], { tree })).map(({ node }) => node)).toEqual(['hv1', 'hv2']);
  });

  test('share a device only with others of their host', () => {
    const on = (id: number, hostname: string, device: string) => ({ id, hostname, bluestore_bdev_devices: device });
    const found = osdsOf(aDump(0, 1, 2, 3), figures([on(0, 'hv1', 'sdb'), on(1, 'hv1', 'sdb'), on(2, 'hv2', 'sdb'), on(3, 'hv2', 'sdc')]));
    expect(found.map(({ device, isSplit }) => [device, isSplit])).toEqual([['/dev/sdb', true], ['/dev/sdb', true], ['/dev/sdb', false], ['/dev/sdc', false]]);
  });

  test('have a device for their database only when it is one of its own, and a path when they are files', () => {
    const found = osdsOf(
      aDump(0, 1, 2),
      figures([
        { id: 0, bluestore_bdev_devices: 'sdb', bluefs_dedicated_db: '1', bluefs_db_devices: 'nvme0n1' },
        { id: 1, bluestore_bdev_devices: 'sdc', bluefs_dedicated_db: '0', bluefs_db_devices: 'nvme0n1' },
        { id: 2, bluestore_bdev_access_mode: 'file', bluestore_bdev_devices: 'sda', bluestore_bdev_path: '/var/lib/ceph/osd/block' },
      ]),
    );
    expect(found.map(({ device, dbDevice }) => [device, dbDevice])).toEqual([['/dev/sdb', '/dev/nvme0n1'], ['/dev/sdc', null], ['/var/lib/ceph/osd/block', null]]);
  });
});
