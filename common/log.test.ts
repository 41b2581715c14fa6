import { expect, test } from 'vitest';
import { createLogger } from './log.ts';

function logged(fields: object, level: 'info' | 'debug' = 'info'): Record<string, unknown> | undefined {
  const lines: string[] = [];
  createLogger('test', 'info', { write: (line) => void lines.push(line) })[level](fields, 'said');
  return lines[0] === undefined ? undefined : (JSON.parse(lines[0]) as Record<string, unknown>);
}

const SECRETS = ['token', 'tokens', 'secret', 'secret_key', 'password', 'cookie', 'authorization', 'x-api-key', 'privateKey'];

test.each(SECRETS)('%s is redacted as a field, and one level below any field', (name) => {
  const line = logged({ [name]: 'hidden', headers: { [name]: 'hidden', other: 'shown' } });
  expect(line).toMatchObject({ [name]: '[redacted]', headers: { [name]: '[redacted]', other: 'shown' } });
  expect(JSON.stringify(line)).not.toContain('hidden');
});

test('a child logger redacts as well', () => {
  const lines: string[] = [];
  createLogger('test', 'info', { write: (line) => void lines.push(line) }).child({ part: 'x' }).info({ token: 'hidden' }, 'said');
  expect(lines.join('')).toContain('"part":"x"');
  expect(lines.join('')).not.toContain('hidden');
});

test('a line has its level as a word, its time in ISO form and its message', () => {
  expect(logged({ vm: 'web' })).toMatchObject({ level: 'info', name: 'test', vm: 'web', msg: 'said', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/u) });
  expect(logged({}, 'debug')).toBeUndefined();
});
