import fc from 'fast-check';

/** Half of them control characters, ASCII and some thousand others; and any code point, halves of surrogate pairs included. */
const anyCharacter: fc.Arbitrary<string> = fc.oneof(
  fc.integer({ min: 0, max: 0x2fff }).map((code) => String.fromCharCode(code)),
  fc.integer({ min: 0, max: 0x10ffff }).map((code) => String.fromCodePoint(code)),
);

/** Text of any characters. fast-check's own unit 'binary' makes a table of all of Unicode first, for a second of processor time in each test file. */
export function anyText(maxLength: number): fc.Arbitrary<string> {
  return fc.string({ unit: anyCharacter, maxLength });
}
