import { expect, test } from 'vitest';
import { CephDecoder } from './ceph-decoder.ts';

test('fields are read in their order', () => {
  // Head of a structure of version 2, its length, pool 1, an empty namespace, an id, a snapshot.
  const bytes = Buffer.from('0201' + '1c000000' + '0100000000000000' + '00000000' + '04000000' + '31323334' + '0700000000000000', 'hex');
  const decoder = new CephDecoder(bytes);
  expect([decoder.head(), decoder.signed(), decoder.text(), decoder.text(), decoder.signed()]).toEqual([{ version: 2, compatible: 1 }, 1, '', '1234', 7]);
});

test('a structure is stepped over, with what it may have beyond what is read', () => {
  const decoder = new CephDecoder(Buffer.from('0101' + '06000000' + '03000000' + 'ffff' + '07', 'hex'));
  expect([decoder.structure().int(), decoder.byte()]).toEqual([3, 7]);
});

test('a time is in milliseconds', () => {
  const decoder = new CephDecoder(Buffer.from('8b7e016bc11a8a38', 'hex'));
  expect(decoder.timeMs()).toBe(0x6b017e8b * 1000 + Math.floor(0x388a1ac1 / 1e6));
});

test('a value that is too short is an error and not a number', () => {
  expect(() => new CephDecoder(Buffer.from([1, 2, 3])).wide()).toThrow(expect.objectContaining({ code: 'component' }));
  expect(() => new CephDecoder(Buffer.from([9, 0, 0, 0, 65])).text()).toThrow(expect.objectContaining({ code: 'component' }));
});
