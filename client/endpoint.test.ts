import { expect, test } from 'vitest';
import { ClientError } from './client-error.ts';
import { parseEndpoint } from './endpoint.ts';

test.each([
  ['https://pvc.example:7370', { secure: true, host: 'pvc.example', port: 7370, prefix: '/api/v1', url: 'https://pvc.example:7370/api/v1' }],
  ['http://10.0.0.1/', { secure: false, host: '10.0.0.1', port: 80, prefix: '/api/v1', url: 'http://10.0.0.1/api/v1' }],
  ['https://[fd00::1]/proxy/api/v1//', { secure: true, host: 'fd00::1', port: 443, prefix: '/proxy/api/v1', url: 'https://[fd00::1]/proxy/api/v1' }],
])('%s is understood', (text, expected) => {
  expect(parseEndpoint(text)).toEqual(expected);
});

test.each(['', 'pvc.example', 'ftp://pvc.example', 'http://user:secret@pvc.example', 'http://pvc.example/?a=1', 'http://pvc.example/#a', 7 as unknown as string])('%j is refused', (text) => {
  expect(() => parseEndpoint(text)).toThrow(ClientError);
  expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ kind: 'arguments', status: undefined, details: [expect.stringMatching(/^endpoint: /u)] }));
});
