import { expect, test } from 'vitest';
import { fuzzyLimit } from './fuzzy.ts';

const matches = (pattern: string, name: string): boolean => fuzzyLimit.parse(pattern)(name);

test.each([
  ['eb1', 'web10', true],
  ['^web1', 'web10', true],
  ['web1$', 'web10', false],
  ['^eb', 'web1', false],
  ['a|b1', 'web1', true],
  ['WEB', 'web1', false],
  ['(?i)WEB', 'web1', true],
])('%s matches %s: %s', (pattern, name, expected) => expect(matches(pattern, name)).toBe(expected));

test('what RE2 does not know is refused with its own words', () => {
  for (const pattern of ['(', '[', '(?=a)', '(a)\\1', 'a{1001}', 'a{1000}{1000}', 'x'.repeat(129)]) expect(fuzzyLimit.safeParse(pattern).success).toBe(false);
});

test('a pattern that takes others exponential time takes no time', () => {
  const start = process.cpuUsage();
  expect(matches('^(a+)+$', `${'a'.repeat(5_000)}b`)).toBe(false);
  expect(process.cpuUsage(start).user / 1_000).toBeLessThan(1_000);
});
