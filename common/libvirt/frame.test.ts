import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFrame, FrameReader, MESSAGE_TYPE, REMOTE_PROGRAM, type Frame } from './frame.ts';

function frame(serial: number, body: Buffer): Buffer {
  return encodeFrame({ program: REMOTE_PROGRAM, procedure: 157, type: MESSAGE_TYPE.reply, serial, status: 0 }, body);
}

function readAll(chunks: readonly Buffer[]): Frame[] {
  const reader = new FrameReader();
  return chunks.flatMap((chunk) => reader.push(chunk));
}

describe('frames', () => {
  test('the length counts itself', () => {
    expect(frame(1, Buffer.alloc(0)).toString('hex')).toBe('0000001c' + '20008086' + '00000001' + '0000009d' + '00000001' + '00000001' + '00000000');
  });

  test('a stream in single bytes gives the same frames', () => {
    const stream = Buffer.concat([frame(1, Buffer.from('abcd')), frame(2, Buffer.alloc(0)), frame(3, Buffer.alloc(1_000, 7))]);
    const frames = readAll(Array.from(stream, (byte) => Buffer.from([byte])));
    expect(frames.map((each) => [each.serial, each.body.length])).toEqual([[1, 4], [2, 0], [3, 1_000]]);
    expect(frames[0]?.body.toString()).toBe('abcd');
  });

  test('however a stream is cut, its frames are the same', () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 });
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (all, cuts) => {
        const stream = Buffer.concat(all.map((body, serial) => frame(serial, Buffer.from(body))));
        const chunks: Buffer[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const next = at + (cuts[turn % cuts.length] ?? 1);
          chunks.push(stream.subarray(at, next));
          at = next;
        }
        expect(readAll(chunks).map((each) => [...each.body])).toEqual(all.map((body) => [...body]));
      }),
    );
  });

  test.each([
    ['too short to hold a header', '0000001b'],
    ['zero', '00000000'],
    ['over libvirt’s 32 MiB', '02000005'],
    ['absurd', 'ffffffff'],
  ])('a length that is %s is refused before anything is buffered', (_what, hex) => {
    expect(() => new FrameReader().push(Buffer.from(hex, 'hex'))).toThrow('impossible length');
  });

  test('another version of the protocol is refused', () => {
    const bytes = frame(1, Buffer.alloc(0));
    bytes.writeUInt32BE(2, 8);
    expect(() => new FrameReader().push(bytes)).toThrow('another version');
  });
});
