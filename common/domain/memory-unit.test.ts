import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isAppError } from '../errors.ts';
import { memoryMibOf, type MemoryElement } from './memory-unit.ts';

const MIB_BYTES = 1_048_576;

function memory(text: string | null, unit: string | null = null): MemoryElement {
  return { textContent: text, getAttribute: (name) => (name === 'unit' ? unit : null) };
}

function fails(element: MemoryElement | undefined): unknown {
  try {
    return memoryMibOf(element);
  } catch (error) {
    if (isAppError(error, 'invalid')) return 'invalid';
    throw error;
  }
}

test.each([
  ['1048576', null, 1_024],
  ['1048576', '', 1_024],
  ['1048576', 'KiB', 1_024],
  ['1048576', 'k', 1_024],
  ['1048576', 'KB', 1_000],
  ['1048576', 'b', 1],
  ['1048576', 'bytes', 1],
  ['512', 'MiB', 512],
  ['512', 'M', 512],
  ['512', 'MB', 489],
  ['2', 'GiB', 2_048],
  ['2', 'G', 2_048],
  ['2', 'GB', 1_908],
  ['1', 'TiB', 1_048_576],
  ['1', 'T', 1_048_576],
  ['1', 'TB', 953_675],
  [' 512 ', 'MiB', 512],
] as const)('%s of unit %s are %i MiB', (text, unit, mib) => {
  expect(memoryMibOf(memory(text, unit))).toBe(mib);
});

test.each([
  ['0', 'MiB'],
  ['1023', 'KiB'],
  ['-1', 'GiB'],
  ['1.5', 'GiB'],
  ['1e3', 'MiB'],
  ['0x400', 'MiB'],
  ['', 'MiB'],
  ['much', 'MiB'],
  ['1', 'mib'],
  ['1', 'EiB'],
  ['1', 'constructor'],
  ['1', '__proto__'],
  ['999999999999999', 'TiB'],
  ['9999999999999999', 'b'],
] as const)('%s of unit %s are refused', (text, unit) => {
  expect(fails(memory(text, unit))).toBe('invalid');
});

test('a missing element and an empty one are refused', () => {
  expect(fails(undefined)).toBe('invalid');
  expect(fails(memory(null))).toBe('invalid');
});

test('a part of a MiB counts as a whole one, so that nothing is given that is not counted', () => {
  fc.assert(
    fc.property(fc.integer({ min: MIB_BYTES, max: 2 ** 45 }), (bytes) => {
      const mib = memoryMibOf(memory(String(bytes), 'b'));
      expect(mib * MIB_BYTES).toBeGreaterThanOrEqual(bytes);
      expect((mib - 1) * MIB_BYTES).toBeLessThan(bytes);
    }),
  );
});

test('any text and unit end in a whole number of MiB that a document can hold, or in a refusal', () => {
  const unit = fc.oneof(fc.constantFrom('b', 'KiB', 'GiB', 'TiB', 'TB'), fc.string());
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.bigInt({ min: 0n, max: 10n ** 16n }).map(String)), unit, (text, given) => {
      const mib = fails(memory(text, given));
      expect(mib === 'invalid' || (typeof mib === 'number' && Number.isSafeInteger(mib) && mib >= 1)).toBe(true);
    }),
  );
});
