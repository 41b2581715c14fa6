import { describe, expect, test } from 'vitest';
import { aDomainXml } from '../../test/support/builders.ts';
import { isAppError } from '../errors.ts';
import type { VolumeRef } from '../schema/volume.ts';
import { volumesToCreate, type VolumeSize } from './volume-creation.ts';

function disk(dev: string, name: string, type = 'network'): string {
  return `<disk type='${type}' device='disk'><source protocol='rbd' name='${name}' file='/x'/><target dev='${dev}' bus='virtio'/></disk>`;
}

const ref = (volume: string): VolumeRef => ({ pool: 'vms', volume });
const XML = aDomainXml({ devices: disk('vda', 'vms/one') + disk('vdb', 'vms/two') + disk('vdc', 'vms/three') + disk('vdd', '', 'file') + disk('vde', 'vms/space/one') });
const every = (sizeBytes: number): VolumeSize => ({ dev: null, sizeBytes });
const of = (dev: string, sizeBytes: number): VolumeSize => ({ dev, sizeBytes });

/** The reason of a refusal. */
function refusal(missing: readonly string[], sizes: readonly VolumeSize[], xml = XML): unknown {
  try {
    return volumesToCreate(xml, missing.map(ref), sizes);
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    return [error.message, ...Object.values(error.details)];
  }
}

describe('the volumes that a definition needs', () => {
  test('are created with the size of their disk, and the others with the one for all', () => {
    expect(volumesToCreate(XML, [ref('one'), ref('two'), ref('three')], [of('vdb', 20), every(10)])).toEqual([
      { ref: ref('one'), sizeBytes: 10 },
      { ref: ref('two'), sizeBytes: 20 },
      { ref: ref('three'), sizeBytes: 10 },
    ]);
  });

  test('are not created when they exist', () => {
    expect(volumesToCreate(XML, [ref('two')], [of('vda', 10), of('vdb', 20)])).toEqual([{ ref: ref('two'), sizeBytes: 20 }]);
    expect(volumesToCreate(XML, [], [every(10)])).toEqual([]);
  });

  test('are named when they do not exist and nobody said how large they are', () => {
    expect(refusal(['one', 'two', 'three'], [of('vda', 10)])).toEqual(['the definition has disks on volumes that do not exist', 'vms/two, vms/three']);
  });

  test('are refused when they cannot be created', () => {
    expect(refusal(['-x'], [every(1)], aDomainXml({ devices: disk('vda', 'vms/-x') }))).toEqual(['a volume cannot be created with this name', 'vms/-x', expect.any(String)]);
    expect(refusal(['one'], [every(1)], aDomainXml({ devices: disk('vda', 'vms/one@before') }))).toEqual(['a disk is on a snapshot of a volume that does not exist', 'vms/one']);
  });
});

describe('a size', () => {
  test('of a disk that is not there, or not on a volume, is refused', () => {
    for (const dev of ['vdz', 'vdd', 'vde']) expect(refusal([], [of(dev, 1)])).toEqual(['a size is given for a disk that the definition does not have on a volume', dev]);
  });

  test('that is given twice is refused', () => {
    expect(refusal([], [of('vda', 1), of('vda', 1)])).toEqual(['two sizes are given for the same disk', 'vda']);
    expect(refusal([], [every(1), every(2)])).toEqual(['two sizes are given for the same disk', 'all']);
  });
});
