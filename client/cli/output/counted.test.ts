import { expect, test } from 'vitest';
import { counted, countedAll, named } from './counted.ts';

test.each([
  [0, '0 leases'],
  [1, '1 lease'],
  [2, '2 leases'],
])('%s of a thing is %s', (count, text) => {
  expect(counted(count, 'lease')).toBe(text);
});

test('things of which there are none are not counted', () => {
  expect(countedAll([0, 'rule'], [1, 'volume'], [3, 'snapshot'])).toBe('1 volume, 3 snapshots');
  expect(countedAll([0, 'rule'])).toBe('');
});

test('ten names are said, of more only how many', () => {
  const names = Array.from({ length: 12 }, (_one, at) => `n${at}`);
  expect(named(names.slice(0, 10))).toBe('n0, n1, n2, n3, n4, n5, n6, n7, n8, n9');
  expect(named(names)).toMatch(/n9 and 2 more$/u);
});
