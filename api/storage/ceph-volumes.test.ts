import { describe, expect, test } from 'vitest';
import { AppError, toAppError, type ErrorCode } from '../../common/errors.ts';
import { CephVolumes } from './ceph-volumes.ts';

const SOURCE = { pool: 'vms', volume: 'web1' };
const ROOMY = { osds: [], pools: [{ pool: 1, pool_name: 'vms', flags_names: [], application_metadata: { rbd: {} } }] };

/** librbd, as it makes a copy: the image comes first, and is left when the copy breaks off. Real copies are those of test/real/ceph; none of them can be made to break off. */
function scene({ breaksOff, removal }: { breaksOff?: ErrorCode; removal?: ErrorCode } = {}, images = ['web1']) {
  const there = new Set(images);
  const rbd = {
    copy: async (_from: string, { image }: { image: string }) => {
      if (breaksOff !== 'not-found') there.add(image);
      if (breaksOff !== undefined) throw new AppError(breaksOff, 'the copy broke off');
    },
    remove: async (image: string) => {
      if (removal !== undefined) throw new AppError(removal, 'the image stays');
      if (!there.delete(image)) throw new AppError('not-found', 'there is no such image');
    },
  };
  const deps = { link: { rados: async () => ({ rbd: () => rbd }) }, commands: { osdDump: async () => ROOMY }, images: { names: async () => [...there], forget: () => undefined } };
  return { volumes: new CephVolumes(deps as unknown as ConstructorParameters<typeof CephVolumes>[0]), there };
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(() => 'none', (error: unknown) => [toAppError(error).code, toAppError(error).details['volumes_left']]);
}

describe('a copy', () => {
  test('that breaks off leaves nothing that looks like a whole', async () => {
    for (const code of ['component', 'unknown-outcome'] as const) {
      const { volumes, there } = scene({ breaksOff: code });
      expect(await failure(volumes.copy(SOURCE, 'web2'))).toEqual([code, undefined]);
      expect([...there]).toEqual(['web1']);
    }
  });

  test('whose part cannot be removed says so', async () => {
    const { volumes } = scene({ breaksOff: 'unknown-outcome', removal: 'state' });
    expect(await failure(volumes.copy(SOURCE, 'web2'))).toEqual(['unknown-outcome', 'vms/web2']);
  });

  test('never removes what was there before, or what somebody else was faster to make', async () => {
    const before = scene({ breaksOff: 'component' }, ['web1', 'web2']);
    expect(await failure(before.volumes.copy(SOURCE, 'web2'))).toEqual(['exists', undefined]);
    const faster = scene({ breaksOff: 'exists' });
    expect(await failure(faster.volumes.copy(SOURCE, 'web2'))).toEqual(['exists', undefined]);
    expect([...before.there, ...faster.there]).toEqual(['web1', 'web2', 'web1', 'web2']);
  });
});
