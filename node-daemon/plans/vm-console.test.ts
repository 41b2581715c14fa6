import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendConsole, decodeConsole, wholeUtf8Bytes, type ConsoleText } from './vm-console.ts';

const LIMITS = { linesMax: 5, totalMaxBytes: 1_000, lineMaxBytes: 100 };
const EMPTY: ConsoleText = { lines: [], unfinished: false };
const printed = (...texts: string[]): ConsoleText => texts.reduce((console, text) => appendConsole(console, text, LIMITS), EMPTY);

describe('lines', () => {
  test('end with a newline, whatever carriage returns stand before it', () => {
    expect(printed('one\r\ntwo\n')).toEqual({ lines: ['one', 'two'], unfinished: false });
  });

  test('that are unfinished are shown and continued', () => {
    expect(printed('login: ')).toEqual({ lines: ['login: '], unfinished: true });
    expect(printed('login: ', 'ro', 'ot\r', '\n')).toEqual({ lines: ['login: root'], unfinished: false });
  });

  test('that are empty are kept', () => {
    expect(printed('a\n\n', '\nb\n').lines).toEqual(['a', '', '', 'b']);
  });

  test('beyond the limit are forgotten, the oldest first', () => {
    expect(printed('1\n2\n3\n', '4\n5\n6\n7').lines).toEqual(['3', '4', '5', '6', '7']);
  });

  test('that are too long keep their end, in whole characters', () => {
    expect(printed(`${'x'.repeat(200)}end\n`).lines).toEqual([`${'x'.repeat(97)}end`]);
    expect(printed(`${'ä'.repeat(80)}z\n`).lines).toEqual([`${'ä'.repeat(49)}z`]);
  });

  test('that are too long keep as much when they are cut before their newline', () => {
    const whole = `${'long '.repeat(30)}end`;
    expect(printed(`${whole}\r`, '\n')).toEqual(printed(`${whole}\r\n`));
  });

  test('count in the document as JSON has them', () => {
    const limits = { ...LIMITS, totalMaxBytes: 100 };
    const lines = appendConsole(EMPTY, `${'\u0001'.repeat(10)}\n${'\u0001'.repeat(10)}\n`, limits).lines;
    expect(lines).toHaveLength(1);
  });
});

test('however a text is cut into pieces, the console is the same', () => {
  const text = fc.array(fc.constantFrom('a', '\n', '\r\n', 'ä', '€', '😀', 'long '.repeat(30)), { maxLength: 30 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat(1_000), { maxLength: 6 }), (whole, cuts) => {
      const bytes = Buffer.from(whole);
      let console = EMPTY;
      let start = 0;
      for (const cut of [...cuts, bytes.length].map((at) => Math.min(at, bytes.length)).sort((a, b) => a - b)) {
        const piece = bytes.subarray(start, cut);
        const wholeBytes = wholeUtf8Bytes(piece);
        console = appendConsole(console, decodeConsole(piece.subarray(0, wholeBytes)), LIMITS);
        start += wholeBytes;
      }
      expect(console).toEqual(appendConsole(EMPTY, whole, LIMITS));
    }),
  );
});

test('bytes that are no text are replaced and never wait for more', () => {
  expect(wholeUtf8Bytes(Buffer.from([0x61, 0xff]))).toBe(2);
  expect(wholeUtf8Bytes(Buffer.from([0x80, 0x80, 0x80, 0x80]))).toBe(4);
  expect(wholeUtf8Bytes(Buffer.from([0x61, 0xe2, 0x82]))).toBe(1);
  expect(decodeConsole(Buffer.from([0x61, 0xff, 0x62]))).toBe('a\ufffdb');
});
