import { describe, expect, test } from 'vitest';
import { describeFault, findFaultyLine, withoutRule } from './firewall-fault.ts';

const COMMON = { vni: undefined, lines: ['add set inet pvc clients { type ifname; }'] };
const ADDED = { vni: 7, lines: ['add chain inet pvc in-7', 'add rule inet pvc in-7 bogus', 'add element inet pvc in { "vmbr7" : goto in-7 }'] };
const INSERTED = { vni: 8, lines: ['insert rule inet pvc out-8 index 2 bogus too'] };
const CHANGES = [COMMON, ADDED, INSERTED];

const at = (line: number | undefined) => findFaultyLine(CHANGES, { line, message: 'syntax error' }, 4);

describe('the line that nft does not take', () => {
  test('is found behind the head of the document, in the change that it is of', () => {
    expect(at(5)).toEqual({ change: COMMON, index: 0 });
    expect(at(7)).toEqual({ change: ADDED, index: 1 });
    expect(at(9)).toEqual({ change: INSERTED, index: 0 });
  });

  test.each([undefined, 1, 4, 10])('is none of the changes for line %s', (line) => {
    expect(at(line)).toBeUndefined();
  });

  test.each([
    ['added', 7, ['add chain inet pvc in-7', 'add element inet pvc in { "vmbr7" : goto in-7 }'], 'in rule "bogus": syntax error'],
    ['inserted', 9, [], 'out rule "bogus too": syntax error'],
  ])('is left out and named when it is an %s rule', (_how, line, left, text) => {
    const found = at(line);
    if (found === undefined) throw new Error('not found');
    expect(withoutRule(found)).toEqual(left);
    expect(describeFault(found, { line, message: 'syntax error' })).toBe(text);
  });

  test.each([5, 6, 8])('cannot be left out when it is no rule of a network: line %s', (line) => {
    const found = at(line);
    if (found === undefined) throw new Error('not found');
    expect(withoutRule(found)).toBeUndefined();
    expect(describeFault(found, { line, message: 'syntax error' })).toBe('syntax error');
  });
});
