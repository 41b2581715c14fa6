import { expect, test } from 'vitest';
import { ClientError } from './client-error.ts';
import { Session } from './session.ts';

function counted(answers: (string | undefined | Error)[]) {
  const tokens: string[] = [];
  const session = new Session({ login: 'key' }, async (token) => {
    tokens.push(token);
    const answer = answers[tokens.length - 1];
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return { session, tokens };
}

test('many requests at once open one session, and one that is open to everybody opens none', async () => {
  const { session, tokens } = counted(['sid=1']);
  expect(await session.headers('open')).toEqual({});
  expect(await Promise.all([session.headers('token'), session.headers('token')])).toEqual([{ Cookie: 'sid=1' }, { Cookie: 'sid=1' }]);
  expect(await session.headers('open')).toEqual({ Cookie: 'sid=1' });
  expect(tokens).toEqual(['key']);
});

test('of requests that were refused with the same cookie, one opens a new session', async () => {
  const { session, tokens } = counted(['sid=1', 'sid=2']);
  const old = await session.headers('token');
  expect(session.isRefused(old)).toBe(true);
  expect(await session.headers('token')).toEqual({ Cookie: 'sid=2' });
  expect(session.isRefused(old)).toBe(true);
  expect(await session.headers('token')).toEqual({ Cookie: 'sid=2' });
  expect(tokens).toHaveLength(2);
});

test('a failed login is tried again by the next request', async () => {
  const { session } = counted([new ClientError('connection', 'gone'), 'sid=1']);
  await expect(session.headers('token')).rejects.toThrow('gone');
  expect(await session.headers('token')).toEqual({ Cookie: 'sid=1' });
});

test('a token is sent as it is, and nothing can be done about one that is refused', async () => {
  const session = new Session('key', async () => 'sid=1');
  const headers = await session.headers('open');
  expect(headers).toEqual({ 'X-Api-Key': 'key' });
  expect(session.isRefused(headers)).toBe(false);
});
