import { expect, test } from 'vitest';
import { ClientError, type ClientErrorKind } from '../client-error.ts';
import { errorLine, exitCodeOf } from './exit-code.ts';

test.each([
  ['answer', 510, 1],
  ['answer', 404, 1],
  ['answer', 401, 4],
  ['answer', 403, 4],
  ['answer', 503, 3],
  ['outcome', undefined, 1],
  ['arguments', undefined, 2],
  ['connection', undefined, 3],
  ['timeout', undefined, 3],
  ['malformed', 200, 3],
  ['aborted', undefined, 130],
] as const)('%s %s is %s', (kind: ClientErrorKind, status, code) => {
  expect(exitCodeOf(new ClientError(kind, 'x', { status }))).toBe(code);
});

test('an error is one line with what to do, without what is only for logs', () => {
  const place = { command: 'pvc vm info', url: 'http://pvc/api/v1' };
  const line = errorLine(new ClientError('connection', 'no answer\n from the API', { details: ['GET /vm', 'code: ECONNREFUSED'] }), place);
  expect(line).toBe('pvc: no answer from the API - is the API at http://pvc/api/v1 up? See pvc connection list');
  expect(errorLine(new ClientError('arguments', 'wrong', { details: ['vm: too short'] }), place)).toBe('pvc: wrong (vm: too short) - see pvc vm info --help');
});

test.each([
  ['pvc vm info', 'pvc vm list'],
  ['pvc network acl info', 'pvc network list'],
  ['pvc storage volume info', 'pvc storage volume list'],
])('%s that finds nothing names %s', (command, list) => {
  expect(errorLine(new ClientError('answer', 'not there', { status: 404 }), { command, url: undefined })).toBe(`pvc: not there - ${list} has the names`);
});

test('a command that nothing is listed for names its help', () => {
  expect(errorLine(new ClientError('answer', 'refused', { status: 510 }), { command: 'pvc storage status', url: undefined })).toBe('pvc: refused - see pvc storage status --help');
});
