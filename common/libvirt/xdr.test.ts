import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyText } from '../../test/support/any-text.ts';
import { isAppError } from '../errors.ts';
import { readTypedParams, writeTypedParam } from './typed-param.ts';
import { readDomainRef, writeDomainRef } from './domain-ref.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

describe('XDR', () => {
  test('numbers are big-endian in four or eight bytes', () => {
    const bytes = new XdrWriter().int(-2).uint(0xffff_fffe).uhyper(0x0102_0304_0506_0708n).bytes();
    expect(bytes.toString('hex')).toBe('fffffffefffffffe0102030405060708');
    const reader = new XdrReader(bytes);
    expect([reader.int(), reader.uint(), reader.uhyper()]).toEqual([-2, 0xffff_fffe, 0x0102_0304_0506_0708n]);
    reader.end();
  });

  test('strings and opaque data are padded with zeros to four bytes', () => {
    expect(new XdrWriter().string('abcde').bytes().toString('hex')).toBe('000000056162636465000000');
    expect(new XdrWriter().opaque(Buffer.from([1, 2, 3, 4])).bytes().toString('hex')).toBe('0000000401020304');
  });

  test('whatever was written is read again', () => {
    const item = fc.record({ text: anyText(10), maybe: fc.option(fc.string(), { nil: undefined }), large: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), (items) => {
        const writer = new XdrWriter();
        writer.list(items, ({ text, maybe, large }) => void writer.string(text).optional(maybe, (value) => writer.string(value)).uhyper(large));
        const reader = new XdrReader(writer.bytes());
        const read = reader.list(20, () => ({ text: reader.string(), maybe: reader.optional(() => reader.string()), large: reader.uhyper() }));
        reader.end();
        expect(read).toEqual(items.map((each) => ({ ...each, text: Buffer.from(each.text).toString() })));
      }),
    );
  });

  test('a domain keeps its name, UUID and number', () => {
    const ref = { name: 'vm1', uuid: '01234567-89ab-cdef-0123-456789abcdef', id: -1 };
    const writer = new XdrWriter();
    writeDomainRef(writer, ref);
    expect(readDomainRef(new XdrReader(writer.bytes()))).toEqual(ref);
  });

  test('typed parameters are read by their type', () => {
    const writer = new XdrWriter().uint(2);
    writeTypedParam(writer, { field: 'migrate_uri', type: 'string', value: 'unix:///x' });
    writeTypedParam(writer, { field: 'most', type: 'ullong', value: 2n ** 64n - 1n });
    expect([...readTypedParams(new XdrReader(writer.bytes()), 2)]).toEqual([['migrate_uri', 'unix:///x'], ['most', 2n ** 64n - 1n]]);
  });

  test('a body that ends early, a length over its limit, an unknown type and bytes left over are refused', () => {
    const refused = (read: (reader: XdrReader) => void, hex: string): boolean => {
      try {
        read(new XdrReader(Buffer.from(hex, 'hex')));
        return false;
      } catch (error) {
        return isAppError(error, 'component');
      }
    };
    expect(refused((r) => r.int(), '000000')).toBe(true);
    expect(refused((r) => r.string(), '00000005616263')).toBe(true);
    expect(refused((r) => r.opaque(3), '0000000401020304')).toBe(true);
    expect(refused((r) => r.string(), 'ffffffff')).toBe(true);
    expect(refused((r) => r.list(10, () => r.int()), '0000000b')).toBe(true);
    expect(refused((r) => readTypedParams(r, 1), '00000001' + '0000000161000000' + '00000009')).toBe(true);
    expect(refused((r) => r.end(), '00')).toBe(true);
    expect(refused((r) => r.int(), '00000001')).toBe(false);
  });
});
