import { expect, test } from 'vitest';
import { CHUNK_BYTES, isZero, toChunks, toPieces, type RbdChunk, type RbdPiece } from './rbd-stream.ts';

async function chunksOf(...pieces: readonly Buffer[]): Promise<RbdChunk[]> {
  const found: RbdChunk[] = [];
  const source = async function* (): AsyncGenerator<Buffer> {
    yield* pieces;
  };
  for await (const chunk of toChunks(source())) found.push(chunk);
  return found;
}

test('bytes are cut at multiples of a chunk, zeros are left out', async () => {
  const data = Buffer.alloc(3 * CHUNK_BYTES + 10);
  data[CHUNK_BYTES - 1] = 1;
  data[3 * CHUNK_BYTES + 9] = 2;
  const found = await chunksOf(data.subarray(0, 5), data.subarray(5, CHUNK_BYTES + 3), data.subarray(CHUNK_BYTES + 3));
  expect(found.map((chunk) => [chunk.offsetBytes, chunk.data.byteLength])).toEqual([[0, CHUNK_BYTES], [3 * CHUNK_BYTES, 10]]);
  expect(found.map((chunk) => [chunk.data[CHUNK_BYTES - 1] ?? chunk.data[9]])).toEqual([[1], [2]]);
});

test('zeros are told by their length where they are asked for, and a last piece that is not full', async () => {
  const data = Buffer.alloc(2 * CHUNK_BYTES + 7);
  data[CHUNK_BYTES] = 1;
  const source = async function* (): AsyncGenerator<Buffer> {
    yield data;
  };
  const found: RbdPiece[] = [];
  for await (const piece of toPieces(source())) found.push(piece);
  const sizes = found.map((piece) => ('data' in piece ? [piece.offsetBytes, 'data', piece.data.byteLength] : [piece.offsetBytes, 'zeros', piece.zeroBytes]));
  expect(sizes).toEqual([[0, 'zeros', CHUNK_BYTES], [CHUNK_BYTES, 'data', CHUNK_BYTES], [2 * CHUNK_BYTES, 'zeros', 7]]);
});

test('nothing but zeros is nothing', async () => {
  expect(await chunksOf(Buffer.alloc(CHUNK_BYTES + 1))).toEqual([]);
  expect(await chunksOf()).toEqual([]);
});

test.each([[0, [], true], [1, [0], false], [9, [8], false], [4_096, [4_095], false], [4_096, [], true]] as const)(
  '%i bytes that are set at %j are all zero: %s',
  (length, set, expected) => {
    const data = Buffer.alloc(length);
    for (const at of set) data[at] = 1;
    expect(isZero(data)).toBe(expected);
  },
);
