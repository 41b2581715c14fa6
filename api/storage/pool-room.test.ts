import { describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { osdDump } from './ceph-documents.ts';
import { requireRoom } from './pool-room.ts';

function refusal({ pool = 'hashpspool', osds = [] }: { pool?: string; osds?: string[][] }): unknown {
  const dump = osdDump.parse({
    pools: ['vms', 'other'].map((name, id) => ({ pool: id, pool_name: name, size: 3, min_size: 2, pg_num: 8, crush_rule: 0, flags_names: name === 'vms' ? pool : 'hashpspool' })),
    osds: osds.map((state, osd) => ({ osd, uuid: '', up: 1, in: 1, weight: 1, primary_affinity: 1, state })),
  });
  requireRoom(dump, 'other');
  try {
    requireRoom(dump, 'vms');
    return undefined;
  } catch (error) {
    if (!isAppError(error, 'no-resource')) throw error;
    return [error.message, error.details];
  }
}

describe('room in a pool', () => {
  test('is there while it is nearly full, or only others are full', () => {
    expect(refusal({})).toBeUndefined();
    expect(refusal({ pool: 'hashpspool,nearfull', osds: [['exists', 'nearfull', 'up']] })).toBeUndefined();
  });

  test('is not there when an OSD of it is full, which is named', () => {
    expect(refusal({ pool: 'hashpspool,full', osds: [['exists', 'up'], ['exists', 'full', 'up']] })).toEqual([expect.stringContaining('Ceph is full'), { pool: 'vms', full: 'osd.1' }]);
  });

  test('is not there beyond its quota', () => {
    expect(refusal({ pool: 'hashpspool,full,full_quota' })).toEqual([expect.stringContaining('quota'), { pool: 'vms' }]);
  });

  test('of many full OSDs some are named', () => {
    const [, details] = refusal({ pool: 'full', osds: Array.from({ length: 13 }, () => ['exists', 'full', 'up']) }) as [string, Record<string, string>];
    expect(details['full']).toMatch(/^osd\.0, .*osd\.9 and 3 more$/u);
  });
});
