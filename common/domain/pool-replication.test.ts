import { describe, expect, test } from 'vitest';
import { isAppError } from '../errors.ts';
import { parseReplication } from './pool-replication.ts';

function read(text: string): unknown {
  try {
    return parseReplication(text);
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    return 'refused';
  }
}

describe('replication of a pool', () => {
  test.each([
    ['copies=3,mincopies=2', { copies: 3, minCopies: 2 }],
    ['mincopies=1, copies=2', { copies: 2, minCopies: 1 }],
    ['copies=3', { copies: 3, minCopies: 2 }],
    ['copies=4', { copies: 4, minCopies: 2 }],
    ['copies=1', { copies: 1, minCopies: 1 }],
  ])('%s', (text, expected) => expect(read(text)).toEqual(expected));

  test.each([[''], ['3'], ['copies=0'], ['copies=2,mincopies=3'], ['copies=11'], ['copies=3,copies=2'], ['mincopies=1'], ['copies=3,mincopies=2,size=1'], ['copies=3;mincopies=2'], ['copies=-1']])(
    '%j is refused',
    (text) => expect(read(text)).toBe('refused'),
  );
});
