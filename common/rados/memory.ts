import { addressOf, NativeLibrary, NULL, steadyBytes, type Pointer } from './native-library.ts';

/** Longest text or value that is copied without memory of its own. */
const SCRATCH_BYTES = 64 * 1024;

/** Copies out of memory that belongs to a library: cheaper than a view of it, which the garbage collector would have to follow. */
export class Memory {
  readonly #copy: (...args: (Pointer | number)[]) => void;
  readonly #length: (text: Pointer) => number;
  readonly #scratch = steadyBytes(SCRATCH_BYTES);
  readonly #scratchAddress = addressOf(this.#scratch);
  /** A function that does nothing and returns 0, for libraries that call back: JavaScript cannot be called from their threads. */
  readonly doNothing: Pointer;

  constructor(libc = new NativeLibrary('libc.so.6')) {
    this.#copy = libc.nothing('memcpy', 'void *', 'void *', 'size_t');
    this.#length = libc.number('strlen', 'void *');
    this.doNothing = libc.addressOf('sched_yield');
  }

  /** A copy of `lengthBytes` bytes from `from`. */
  bytes(from: Pointer, lengthBytes: number): Buffer {
    if (lengthBytes > SCRATCH_BYTES) {
      const large = steadyBytes(lengthBytes);
      this.#copy(addressOf(large), from, lengthBytes);
      return large;
    }
    this.#copy(this.#scratchAddress, from, lengthBytes);
    return Buffer.from(this.#scratch.subarray(0, lengthBytes));
  }

  text(from: Pointer, lengthBytes: number): string {
    if (lengthBytes > SCRATCH_BYTES) return this.bytes(from, lengthBytes).toString('utf8');
    this.#copy(this.#scratchAddress, from, lengthBytes);
    return this.#scratch.toString('utf8', 0, lengthBytes);
  }

  /** Text up to its NUL; '' for no pointer. */
  cText(from: Pointer): string {
    return from === NULL ? '' : this.text(from, this.#length(from));
  }
}

/** Consecutive 8-byte values for results: pointers, sizes and numbers. */
export class Cells {
  readonly buffer: Buffer;
  readonly #address: Pointer;

  constructor(count: number) {
    this.buffer = steadyBytes(count * 8);
    this.#address = addressOf(this.buffer);
  }

  /** Where a cell is, for the library to write to. */
  at(index: number): Pointer {
    return this.#address + BigInt(index * 8);
  }

  wide(index: number): bigint {
    return this.buffer.readBigUInt64LE(index * 8);
  }

  number(index: number): number {
    return Number(this.wide(index));
  }

  signed(index: number): number {
    return Number(this.buffer.readBigInt64LE(index * 8));
  }

  /** The lower half, as an int. */
  int(index: number): number {
    return this.buffer.readInt32LE(index * 8);
  }

  set(index: number, value: bigint | number): void {
    this.buffer.writeBigUInt64LE(BigInt(value), index * 8);
  }

  /** A struct timespec of two cells, in milliseconds. */
  timeMs(index: number): number {
    return this.signed(index) * 1000 + Math.floor(this.signed(index + 1) / 1_000_000);
  }
}

/** An array of C strings, with the memory that it points to. */
export function pointersTo(parts: readonly Uint8Array[]): { pointers: Buffer; lengths: Buffer; kept: readonly Buffer[] } {
  const pointers = steadyBytes(parts.length * 8);
  const lengths = steadyBytes(parts.length * 8);
  const kept = parts.map((part, at) => {
    const memory = steadyBytes(part.byteLength + 1);
    memory.set(part);
    pointers.writeBigUInt64LE(addressOf(memory), at * 8);
    lengths.writeBigUInt64LE(BigInt(part.byteLength), at * 8);
    return memory;
  });
  return { pointers, lengths, kept };
}

/** Texts that stand one after the other, each with its NUL. */
export function splitTexts(memory: Uint8Array): string[] {
  const text = Buffer.from(memory).toString('utf8');
  return text === '' ? [] : text.replace(/\0$/u, '').split('\0');
}
