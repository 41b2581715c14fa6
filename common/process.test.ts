import { expect, test } from 'vitest';
import { isAppError, type AppError } from './errors.ts';
import { run, type Command } from './process.ts';

const LIMIT = { timeoutMs: 20_000 };

async function refusal(command: Command, options: Parameters<typeof run>[1] = LIMIT): Promise<AppError> {
  try {
    await run(command, options);
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
  throw new Error('the command succeeded');
}

test('arguments reach the program as they are: there is no shell', async () => {
  const hostile = '$(id) `id` ; echo x > /tmp/x && * "\' |';
  expect((await run(['printf', '%s', hostile], LIMIT)).stdout).toBe(hostile);
});

test('input, environment and the C locale reach the program', async () => {
  expect((await run(['cat'], { ...LIMIT, input: 'text' })).stdout).toBe('text');
  expect((await run(['printenv', 'LC_ALL', 'GIVEN'], { ...LIMIT, env: { GIVEN: 'yes' } })).stdout).toBe('C\nyes');
});

test('a failed command names its exit code and what it said', async () => {
  const error = await refusal(['ls', '/nowhere/at/all']);
  expect(error).toMatchObject({ code: 'component', details: { exitCode: 2, command: ['ls', '/nowhere/at/all'] } });
  expect(error.details['stderr']).toContain('No such file');
});

test('a program that does not exist is a failure of the component', async () => {
  expect(await refusal(['no-such-program'])).toMatchObject({ code: 'component', details: { exitCode: null, reason: 'ENOENT' } });
});

test('a command that takes too long ends with timeout, a cancelled one with cancelled', async () => {
  expect(await refusal(['sleep', '60'], { timeoutMs: 50 })).toMatchObject({ code: 'timeout', details: { timeoutMs: 50 } });
  const outer = new AbortController();
  const cancelled = refusal(['sleep', '60'], { ...LIMIT, signal: outer.signal });
  outer.abort();
  expect((await cancelled).code).toBe('cancelled');
});
