import { describe, expect, test } from 'vitest';
import { missingVolumeSize } from './storage.ts';

describe('the size of a missing volume', () => {
  test.each([
    ['20G', { dev: null, sizeBytes: 20 * 2 ** 30 }],
    ['vda:20G', { dev: 'vda', sizeBytes: 20 * 2 ** 30 }],
    ['sdaa:1', { dev: 'sdaa', sizeBytes: 1 }],
  ])('%s', (text, expected) => expect(missingVolumeSize.parse(text)).toEqual(expected));

  test.each(['', 'vda', 'vda:', ':20G', 'vda:vdb:20G', '1vda:20G', 'vda:-1G', 'vda:0', '--all:1G'])('is not %j', (text) => {
    expect(missingVolumeSize.safeParse(text)).toMatchObject({ success: false });
  });
});
