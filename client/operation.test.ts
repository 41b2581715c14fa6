import { expect, test } from 'vitest';
import { encodeRequest } from './operation.ts';

test('values of a path are encoded, others of a GET stand in the query, lists repeated, and what is undefined nowhere', () => {
  const one = { method: 'GET' as const, path: '/vm/:vm/console' };
  expect(encodeRequest(one, { vm: 'a/b ?ä', lines: 5, kinds: ['x', 'y&z'], none: undefined })).toEqual({
    path: '/vm/a%2Fb%20%3F%C3%A4/console?lines=5&kinds=x&kinds=y%26z',
    body: undefined,
  });
  expect(encodeRequest(one, { vm: 'a' })).toEqual({ path: '/vm/a/console', body: undefined });
});

test('values of a command stand in a JSON body, where null is kept', () => {
  const one = { method: 'POST' as const, path: '/vm/:vm/meta' };
  expect(encodeRequest(one, { vm: 'a', limit: ['hv1'], profile: null, autostart: undefined })).toEqual({ path: '/vm/a/meta', body: '{"limit":["hv1"],"profile":null}' });
  expect(encodeRequest(one, { vm: 'a' })).toEqual({ path: '/vm/a/meta', body: undefined });
});
