import { describe, expect, test } from 'vitest';
import type { OsdView } from '../../../common/view/osd.ts';
import type { PoolView } from '../../../common/view/pool.ts';
import { shownCell, type Cell, type Column } from '../output/column.ts';
import { OSD_COLUMNS } from './osd.ts';
import { POOL_COLUMNS } from './pool.ts';

const OSD: OsdView = {
  id: '3', fsid: '00000000-0000-4000-8000-000000000001', node: 'hv1', device: '/dev/sdb', is_split: false, db_device: null,
  stats: {
    uuid: '00000000-0000-4000-8000-000000000001', up: 1, in: 0, primary_affinity: 1, utilization: 12.345, var: 1.1, pgs: 33, kb: 1_073_741_824, kb_used: 1_048_576, kb_used_data: 1_024, kb_used_omap: 0,
    kb_used_meta: 0, kb_avail: 512, weight: 1, reweight: 0, class: 'nvme', node: 'hv1', used: '1G', avail: '1T', wr_ops: '0', wr_data: '0', rd_ops: '0', rd_data: '0', state: 'exists,up',
  },
};
const POOL: PoolView = {
  name: 'vms', volume_count: null, tier: 'default', pgs: '128', copies: 3, mincopies: 2,
  stats: {
    id: 1, free_bytes: 0, used_bytes: 3 * 1_024 ** 3, stored_bytes: 1_024 ** 3, used_percent: 0.876_54, num_objects: 1, num_object_clones: 0, num_object_copies: 3,
    num_objects_missing_on_primary: 0, num_objects_unfound: 0, num_objects_degraded: 2, read_ops: 0, read_bytes: 0, write_ops: 0, write_bytes: 0,
  },
};

function columnOf<Row>(columns: readonly Column<Row>[], name: string): Column<Row> {
  return columns.find((one) => one.name === name) ?? expect.fail(`there is no column ${name}`);
}
/** What is compared, and what people see. */
function cell<Row>(columns: readonly Column<Row>[], name: string, row: Row): [Cell, string] {
  const one = columnOf(columns, name);
  return [one.value(row), shownCell(one, row)];
}

describe('an OSD', () => {
  test.each([
    ['id', 3, '3'],
    ['up', 'up', 'up'],
    ['in', 'out', 'out'],
    ['size', 1_073_741_824, '1.00 TiB'],
    ['used', 1_048_576, '1.00 GiB'],
    ['free', 512, '512 KiB'],
    ['use', 12.345, '12.3 %'],
    ['db-device', null, '-'],
  ])('%s is %s, shown as %s', (name, value, shown) => {
    expect(cell(OSD_COLUMNS, name, OSD)).toEqual([value, shown]);
  });

  test('that no node is known for has none', () => {
    expect(cell(OSD_COLUMNS, 'node', { ...OSD, node: '|' })).toEqual([null, '-']);
  });

  test('is shown as bad when it is down or nearly full', () => {
    const tone = (name: string, stats: Partial<OsdView['stats']>): unknown => columnOf(OSD_COLUMNS, name).tone?.({ ...OSD, stats: { ...OSD.stats, ...stats } });
    expect([tone('up', { up: 0 }), tone('up', { up: 1 }), tone('use', { utilization: 85 }), tone('use', { utilization: 84.9 })]).toEqual(['bad', 'good', 'bad', undefined]);
  });
});

describe('a pool', () => {
  test.each([
    ['pgs', 128, '128'],
    ['volumes', null, '-'],
    ['stored', 1_024 ** 3, '1.00 GiB'],
    ['use', 87.65, '87.7 %'],
    ['degraded', 2, '2'],
  ])('%s is %s, shown as %s', (name, value, shown) => {
    expect(cell(POOL_COLUMNS, name, POOL)).toEqual([value, shown]);
  });

  test('is shown as bad where objects lack copies, or it is nearly full', () => {
    expect(['degraded', 'unfound', 'use'].map((name) => columnOf(POOL_COLUMNS, name).tone?.(POOL))).toEqual(['bad', undefined, 'bad']);
  });
});
