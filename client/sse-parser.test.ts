import { expect, test } from 'vitest';
import { SseParser } from './sse-parser.ts';

const STREAM = 'retry: 2000\n\nid: 4294967431\nevent: vm\ndata: {"a":\ndata:  1}\n\n:\n\nevent: resync\ndata: {}\n\nid: 5\ndata: ä\n\n';
const EVENTS = [
  { id: '4294967431', name: 'vm', data: '{"a":\n 1}' },
  { id: undefined, name: 'resync', data: '{}' },
  { id: '5', name: 'message', data: 'ä' },
];

test('events come out whole wherever the stream is cut, and comments are none', () => {
  expect(new SseParser().push(STREAM)).toEqual(EVENTS);
  for (let at = 0; at <= STREAM.length; at += 1) {
    const parser = new SseParser();
    expect([...parser.push(STREAM.slice(0, at)), ...parser.push(STREAM.slice(at))]).toEqual(EVENTS);
  }
});

test('an event that has not ended is kept back', () => {
  const parser = new SseParser();
  expect(parser.push('data: 1\n')).toEqual([]);
  expect(parser.push('\n')).toEqual([{ id: undefined, name: 'message', data: '1' }]);
});
