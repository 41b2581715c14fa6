import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAppError } from '../errors.ts';
import { parseStorageSize, shownStorageSize, SIZE_MAX_BYTES } from './storage-size.ts';

/** The bytes, or why not. */
function read(text: string): number | string {
  try {
    return parseStorageSize(text);
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    return error.message;
  }
}

describe('a size that is given', () => {
  test.each([
    ['1073741824', 2 ** 30],
    ['4096M', 2 ** 32],
    ['20G', 20 * 2 ** 30],
    ['20g', 20 * 2 ** 30],
    ['20GB', 20 * 2 ** 30],
    ['20GiB', 20 * 2 ** 30],
    ['20 GiB', 20 * 2 ** 30],
    ['1.5T', 1.5 * 2 ** 40],
    ['1P', 2 ** 50],
    ['512B', 512],
    ['1K', 1_024],
    ['1.0', 1],
    [String(SIZE_MAX_BYTES), SIZE_MAX_BYTES],
  ])('%s is %d bytes', (text, bytes) => expect(read(text)).toBe(bytes));

  test.each([
    ['', 'must be a size'],
    ['G', 'must be a size'],
    ['-1G', 'must be a size'],
    ['+1G', 'must be a size'],
    ['1e9', 'must be a size'],
    ['0x10', 'must be a size'],
    ['1E', 'must be a size'],
    ['1iB', 'must be a size'],
    ['1GG', 'must be a size'],
    ['1 024', 'must be a size'],
    ['٣G', 'must be a size'],
    ['1G\n', 'must be a size'],
    ['1G --allow-shrink', 'must be a size'],
    ['0', 'must be more than nothing'],
    ['0.0G', 'must be more than nothing'],
    ['0.1K', 'must be a whole number of bytes'],
    ['8P', 'is larger than a volume can be'],
    ['9999999999999999999P', 'is larger than a volume can be'],
  ])('%j is refused', (text, why) => expect(read(text)).toMatch(new RegExp(`^${why}`, 'u')));
});

describe('a size that is shown', () => {
  test.each([
    [0, '0B'],
    [9_999, '9999B'],
    [10_000, '10K'],
    [2 ** 32, '4096M'],
    [20 * 2 ** 30, '20G'],
    [20 * 2 ** 30 + 1, '21G'],
    [2 ** 50, '1024T'],
    [2 ** 62, '4096P'],
  ])('%d is %s', (bytes, text) => expect(shownStorageSize(bytes)).toBe(text));

  test('is never less than the size, and less than a tenth of a percent more than four digits can tell', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: SIZE_MAX_BYTES }), (bytes) => {
        const text = shownStorageSize(bytes);
        expect(text).toMatch(/^\d{1,4}[BKMGTP]$/u);
        const unit = 1_024 ** 'BKMGTP'.indexOf(text.slice(-1));
        expect(Number(text.slice(0, -1))).toBe(Math.ceil(bytes / unit));
      }),
    );
  });
});
