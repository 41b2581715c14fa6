import { AppError } from '../errors.ts';

/** Reads fields one after the other as Ceph's encoding has them: little-endian, texts after their length. */
export class CephDecoder {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  int(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** 64 bits without sign. */
  wide(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  /** 64 bits with sign, as far as a number is exact. */
  signed(): number {
    return Number(this.#bytes.readBigInt64LE(this.#take(8)));
  }

  text(): string {
    const length = this.int();
    const start = this.#take(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  /** utime_t, in milliseconds. */
  timeMs(): number {
    return this.int() * 1000 + Math.floor(this.int() / 1_000_000);
  }

  /** The head of a structure (ENCODE_START): its version, and the oldest one that can be read alike. */
  head(): { version: number; compatible: number } {
    const [version, compatible] = [this.byte(), this.byte()];
    // The length.
    this.int();
    return { version, compatible };
  }

  /** A whole structure, which is stepped over; what is in it. */
  structure(): CephDecoder {
    this.#take(2);
    const length = this.int();
    const start = this.#take(length);
    return new CephDecoder(this.#bytes.subarray(start, start + length));
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.byteLength) throw new AppError('component', 'a value of Ceph is shorter than its kind', { bytes: this.#bytes.byteLength });
    this.#at += length;
    return start;
  }
}
