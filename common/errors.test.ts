import { expect, test } from 'vitest';
import { AppError, describeError, ERROR_CODES, isAppError, isRetryable, toAppError } from './errors.ts';

test('exactly the codes that may pass by themselves are tried again', () => {
  expect(ERROR_CODES.filter(isRetryable)).toEqual(['conflict', 'no-resource', 'unavailable', 'unknown-outcome', 'timeout', 'component']);
  for (const code of ERROR_CODES) expect(typeof isRetryable(code)).toBe('boolean');
});

test('an error is recognised by its code, and a foreign one never', () => {
  const error = new AppError('conflict', 'x');
  expect([isAppError(error), isAppError(error, 'conflict', 'state'), isAppError(error, 'state')]).toEqual([true, true, false]);
  expect(isAppError(Object.assign(new Error('x'), { code: 'conflict' }), 'conflict')).toBe(false);
});

test('a foreign error becomes a bug that keeps it as its cause, and an abort a cancellation', () => {
  const foreign = new TypeError('no');
  expect(toAppError(foreign)).toMatchObject({ code: 'bug', cause: foreign, details: { text: 'TypeError: no' } });
  expect(toAppError(new DOMException('stop', 'AbortError')).code).toBe('cancelled');
  expect(toAppError('text').code).toBe('bug');
  const known = new AppError('state', 'x');
  expect(toAppError(known)).toBe(known);
});

test('an error is described on one line with its facts, without those that are undefined', () => {
  const error = new AppError('state', 'it cannot be', { vm: 'web', tries: 3, nodes: { hv1: 'full' }, why: undefined });
  expect(describeError(error)).toBe('it cannot be (vm: web, tries: 3, nodes: {"hv1":"full"})');
  expect(describeError(new AppError('state', 'it cannot be'))).toBe('it cannot be');
});
