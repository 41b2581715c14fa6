import { expect, test } from 'vitest';
import { AppError } from '../errors.ts';
import { errnoOf, toRadosError } from './errno.ts';

test.each([
  [2, 'not-found', 'not-found', 'ENOENT'],
  [17, 'exists', 'exists', 'EEXIST'],
  [16, 'state', 'state', 'EBUSY'],
  [39, 'state', 'state', 'ENOTEMPTY'],
  [1, 'not-allowed', 'not-allowed', 'EPERM'],
  [28, 'no-resource', 'no-resource', 'ENOSPC'],
  [22, 'invalid', 'invalid', 'EINVAL'],
  [110, 'timeout', 'unknown-outcome', 'ETIMEDOUT'],
  [108, 'unavailable', 'unknown-outcome', 'ESHUTDOWN'],
  [5, 'component', 'component', 'EIO'],
] as const)('errno %i is %s of a read and %s of a write', (errno, ofRead, ofWrite, reason) => {
  const read = toRadosError(-errno, 'read', { call: 'c' });
  expect(read.code).toBe(ofRead);
  expect(read.details).toEqual({ call: 'c', errno, reason });
  expect(toRadosError(-errno, 'write', {}).code).toBe(ofWrite);
});

test('only errors of Ceph have its number', () => {
  expect(errnoOf(toRadosError(-2, 'read', {}))).toBe(2);
  expect(errnoOf(new AppError('timeout', 'x'))).toBeUndefined();
  expect(errnoOf(new Error('x'))).toBeUndefined();
});
