import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { clearableList, clearableText, flag, freeText, integer, list, optionalFlag, optionalInteger, optionalText, text } from './values.ts';

/** The value, or the fault's message. */
function read(schema: z.ZodType, ...given: unknown[]): unknown {
  const result = schema.safeParse(given);
  return result.success ? result.data : { fault: result.error.issues[0]?.message };
}

describe('flags', () => {
  const one = flag('a flag');
  test.each([[''], ['True'], ['yes'], ['1'], ['on'], [true], [1]])('%j is on', (given) => expect(read(one, given)).toBe(true));
  test.each([['False'], ['no'], ['0'], ['off'], [false], [0]])('%j is off', (given) => expect(read(one, given)).toBe(false));
  test('a missing flag is off, or leaves things as they are', () => {
    expect(read(one)).toBe(false);
    expect(read(one, null)).toBe(false);
    expect(read(optionalFlag('a flag'))).toBeUndefined();
  });
  test.each([['maybe'], ['2'], [{}]])('%j is refused', (given) => expect(read(one, given)).toHaveProperty('fault'));
});

describe('texts', () => {
  const choice = z.enum(['a', 'b']);
  test('what must be given is refused when it is missing or empty', () => {
    expect([read(text(choice, '')), read(text(choice, ''), ''), read(text(choice, ''), null)]).toEqual(Array(3).fill({ fault: 'is required' }));
    expect(read(optionalText(choice, ''), '')).toBeUndefined();
  });
  test('the same text twice is one, different texts are refused', () => {
    expect(read(text(choice, ''), 'a', 'a')).toBe('a');
    expect(read(text(choice, ''), 'a', 'b')).toEqual({ fault: 'is given more than once, with different values' });
    expect(read(text(choice, ''), ['a', 'b'])).toEqual({ fault: 'is given more than once, with different values' });
  });
  test('what can be cleared is cleared by empty text, none and null, and left alone when missing', () => {
    const one = clearableText(choice, '');
    expect([read(one, ''), read(one, 'None'), read(one, null), read(one), read(one, 'b')]).toEqual([null, null, null, undefined, 'b']);
  });
  test('control characters and too much text are refused', () => {
    expect(read(text(freeText(3), ''), 'a\u0000')).toEqual({ fault: 'must not have control characters' });
    expect(read(text(freeText(3), ''), 'abcd')).toEqual({ fault: 'must have at most 3 characters' });
  });
});

describe('numbers and lists', () => {
  test('a number is digits within its limits', () => {
    const one = optionalInteger({ min: 1, max: 9 }, '');
    expect([read(one, '5'), read(one, 5), read(one), read(one, '')]).toEqual([5, 5, undefined, undefined]);
    for (const given of ['0', '10', '1.5', '1e1', 'x', '９', '0x5']) expect(read(one, given)).toHaveProperty('fault');
  });
  test('a number that must be given is refused when it is missing or empty', () => {
    const one = integer({ min: 1, max: 9 }, '');
    expect([read(one, '5'), read(one), read(one, ''), read(one, null)]).toEqual([5, ...Array<object>(3).fill({ fault: 'is required' })]);
    expect(read(one, '10')).toHaveProperty('fault');
  });
  test('a list is repeated, joined by commas, or an array, and each element is looked at', () => {
    const one = list(z.enum(['a', 'b']), '');
    for (const given of [['a', 'b'], ['a, b'], [['a', 'b']]]) expect(read(one, ...given)).toEqual(['a', 'b']);
    expect([read(one), read(one, '')]).toEqual([[], []]);
    expect(read(one, 'a,c')).toHaveProperty('fault');
    expect(read(one, 'a,'.repeat(300))).toEqual({ fault: 'has more than 256 elements' });
  });
  test('a list that can be cleared tells missing from empty', () => {
    const one = clearableList(z.enum(['a']), '');
    expect([read(one), read(one, ''), read(one, 'none'), read(one, 'a')]).toEqual([undefined, null, null, ['a']]);
  });
});
