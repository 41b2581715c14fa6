import { describe, expect, test } from 'vitest';
import { AppError, toAppError, type ErrorCode } from '../common/errors.ts';
import { volumeText, type VolumeRef } from '../common/schema/volume.ts';
import { aDomainXml, aVm, versioned } from '../test/support/builders.ts';
import { CephVmDisks } from './vm-disks.ts';

const [ONE, TWO] = [aRef('one'), aRef('two')];
const XML = aDomainXml({ devices: disk('vda', 'vms/one') + disk('vdb', 'vms/two') });
const SIZES = [{ dev: null, sizeBytes: 10 }];

function aRef(volume: string): VolumeRef {
  return { pool: 'vms', volume };
}

function disk(dev: string, name: string): string {
  return `<disk type='network'><source protocol='rbd' name='${name}'/><target dev='${dev}'/></disk>`;
}

interface Faults {
  /** What becomes of the creation of a volume; one whose outcome is unknown is there. */
  create?: Record<string, ErrorCode>;
  remove?: ErrorCode;
  /** The VMs that the mirror shows. */
  vms?: string[];
}

function scene(faults: Faults = {}, existing: readonly VolumeRef[] = []) {
  const there = new Set(existing.map(volumeText));
  const volumes = {
    missing: async (refs: readonly VolumeRef[]) => refs.filter((ref) => !there.has(volumeText(ref))),
    create: async (ref: VolumeRef) => {
      const fault = faults.create?.[ref.volume];
      if (fault === undefined || fault === 'unknown-outcome') there.add(volumeText(ref));
      if (fault !== undefined) throw new AppError(fault, 'a fault');
    },
    remove: async (ref: VolumeRef) => {
      if (faults.remove !== undefined) throw new AppError(faults.remove, 'a fault');
      if (!there.delete(volumeText(ref))) throw new AppError('not-found', 'there is no such volume');
    },
  };
  const vms = new Map((faults.vms ?? []).map((xml) => aVm({ xml })).map((vm) => [vm.uuid, versioned(vm.uuid, vm)]));
  const mirror = {
    all: () => vms,
    waitFor: async () => {
      throw new AppError('timeout', 'it is still there');
    },
  };
  const disks = new CephVmDisks({ mirror, volumes, locks: { free: async () => 0 } } as unknown as ConstructorParameters<typeof CephVmDisks>[0]);
  return { disks, there };
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(() => 'none', (error: unknown) => [toAppError(error).code, toAppError(error).details['volumes_left']]);
}

const refusing = (code: ErrorCode) => async () => {
  throw new AppError(code, 'the definition is refused');
};

describe('the volumes of a definition', () => {
  test('are created before it is taken, those that are missing', async () => {
    const { disks, there } = scene({}, [ONE]);
    expect(await disks.provide(XML, SIZES, async (created) => [created, [...there]])).toEqual([[TWO], ['vms/one', 'vms/two']]);
  });

  test('are gone again when it is refused, and none that was there before is', async () => {
    const { disks, there } = scene({}, [ONE]);
    expect(await failure(disks.provide(XML, SIZES, refusing('exists')))).toEqual(['exists', undefined]);
    expect([...there]).toEqual(['vms/one']);
  });

  test('are gone again when one of them cannot be created, also one whose answer was lost', async () => {
    for (const code of ['not-found', 'unknown-outcome'] as const) {
      const { disks, there } = scene({ create: { two: code } });
      expect(await failure(disks.provide(XML, SIZES, async () => 'defined'))).toEqual([code, undefined]);
      expect([...there]).toEqual([]);
    }
  });

  test('stay, and are told of, when nobody knows whether it was taken', async () => {
    const { disks, there } = scene();
    expect(await failure(disks.provide(XML, SIZES, refusing('unknown-outcome')))).toEqual(['unknown-outcome', 'vms/one, vms/two']);
    expect(there.size).toBe(2);
  });

  test('stay when another VM has them by now', async () => {
    const { disks, there } = scene({ vms: [aDomainXml({ devices: disk('vda', 'vms/two') })] });
    expect(await failure(disks.provide(XML, SIZES, refusing('no-resource')))).toEqual(['no-resource', undefined]);
    expect([...there]).toEqual(['vms/two']);
  });

  test('are told of when they cannot be removed again', async () => {
    const { disks } = scene({ remove: 'timeout' });
    expect(await failure(disks.provide(XML, SIZES, refusing('exists')))).toEqual(['exists', 'vms/one, vms/two']);
  });
});
