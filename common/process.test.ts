import { expect, test } from 'vitest';
import { isAppError, type AppError } from './errors.ts';
import { follow, run, type Command } from './process.ts';

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

test('a command that is followed tells its lines as they come, and ends with the signal and without a failure', async () => {
  const ending = new AbortController();
  const lines: string[] = [];
  await follow(['sh', '-c', 'echo one; echo two; exec sleep 60'], {
    signal: ending.signal,
    onLine: (line) => {
      lines.push(line);
      if (lines.length === 2) ending.abort();
    },
  });
  expect(lines).toEqual(['one', 'two']);
  await follow(['sh', '-c', 'echo never'], { signal: ending.signal, onLine: (line) => lines.push(line) });
  expect(lines).toHaveLength(2);
});

test('a followed command that ends by itself is over, and one that fails says why', async () => {
  const { signal } = new AbortController();
  const lines: string[] = [];
  await follow(['echo', 'done'], { signal, onLine: (line) => lines.push(line) });
  expect(lines).toEqual(['done']);
  const failure = async (command: Command): Promise<unknown> => follow(command, { signal, onLine: () => undefined }).catch((error: unknown) => error);
  expect(await failure(['ls', '/nowhere/at/all'])).toMatchObject({ code: 'component', details: { exitCode: 2, stderr: expect.stringContaining('No such file') } });
  expect(await failure(['no-such-program'])).toMatchObject({ code: 'component', details: { reason: 'ENOENT' } });
});
