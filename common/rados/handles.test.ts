import { expect, test } from 'vitest';
import { Handles } from './handles.ts';

const closed = expect.objectContaining({ code: 'state' }) as Error;

test('a handle is given up when the last call on it has ended, and once', () => {
  const handles = new Handles();
  const freed: bigint[] = [];
  handles.add(1, 77n);
  expect(handles.enter(1)).toBe(77n);
  expect(handles.enter(1)).toBe(77n);
  handles.take(1, (address) => freed.push(address));
  expect(() => handles.enter(1)).toThrow(closed);
  expect(() => handles.take(1, () => undefined)).toThrow(closed);
  handles.leave(1);
  expect(freed).toEqual([]);
  handles.leave(1);
  expect(freed).toEqual([77n]);
  expect(() => handles.enter(1)).toThrow(closed);
});

test('an unused handle is given up at once, an unknown one never was one', () => {
  const handles = new Handles();
  const freed: bigint[] = [];
  handles.add(2, 5n);
  expect(handles.ids()).toEqual([2]);
  handles.take(2, (address) => freed.push(address));
  expect(freed).toEqual([5n]);
  expect(handles.ids()).toEqual([]);
  expect(() => handles.take(3, () => undefined)).toThrow(closed);
});

test('those that are about to be opened count', () => {
  const handles = new Handles();
  for (let id = 0; id < 255; id += 1) handles.add(id, 1n);
  handles.requireRoom(0);
  expect(() => handles.requireRoom(1)).toThrow(expect.objectContaining({ code: 'unavailable' }));
});
