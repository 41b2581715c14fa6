import { expect, test } from 'vitest';
import { featureBits, featureNames, flagNames } from './image-features.ts';

test('names and bits are each other', () => {
  expect(featureNames(61n)).toEqual(['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten']);
  expect(featureBits(featureNames(61n))).toBe(61n);
  expect(featureNames(0n)).toEqual([]);
  expect(flagNames(3n)).toEqual(['object-map-invalid', 'fast-diff-invalid']);
});

test('a bit of a later release is told, not hidden', () => {
  expect(featureNames(1n | (1n << 40n))).toEqual(['layering', 'bit-40']);
});

test('an unknown name is refused', () => {
  expect(() => featureBits(['nonsense'])).toThrow(expect.objectContaining({ code: 'invalid' }));
});
