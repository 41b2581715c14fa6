import { AppError } from '../errors.ts';

/** Bytes one message may hold; libvirt's own limit (virnetprotocol.x, VIR_NET_MESSAGE_MAX: 32 MiB). */
export const MESSAGE_MAX_BYTES = 32 * 1024 * 1024;

/** Every XDR item is padded to a multiple of four bytes (RFC 4506, section 3). */
const UNIT_BYTES = 4;

const INITIAL_BYTES = 256;

/** Builds one XDR body (RFC 4506): big-endian, four-byte units. */
export class XdrWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;

  int(value: number): this {
    this.#room(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
    return this;
  }

  uint(value: number): this {
    this.#room(4);
    this.#length = this.#buffer.writeUInt32BE(value, this.#length);
    return this;
  }

  uhyper(value: bigint): this {
    this.#room(8);
    this.#length = this.#buffer.writeBigUInt64BE(value, this.#length);
    return this;
  }

  /** Bytes of a length that both sides know. */
  fixed(bytes: Uint8Array): this {
    const padded = padded4(bytes.length);
    this.#room(padded);
    this.#buffer.set(bytes, this.#length);
    this.#buffer.fill(0, this.#length + bytes.length, this.#length + padded);
    this.#length += padded;
    return this;
  }

  opaque(bytes: Uint8Array): this {
    return this.uint(bytes.length).fixed(bytes);
  }

  string(text: string): this {
    return this.opaque(Buffer.from(text, 'utf8'));
  }

  /** A value that may be absent: a flag, then the value. */
  optional<T>(value: T | undefined, write: (value: T) => void): this {
    this.uint(value === undefined ? 0 : 1);
    if (value !== undefined) write(value);
    return this;
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.uint(items.length);
    for (const item of items) write(item);
    return this;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #room(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed > MESSAGE_MAX_BYTES) throw new AppError('too-large', 'the message to libvirt is too large', { limitBytes: MESSAGE_MAX_BYTES });
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/**
 * Reads one XDR body.
 * @throws AppError 'component' when the body ends early or a length is over its limit: whatever sent it is no libvirt.
 */
export class XdrReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  int(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  uint(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  hyper(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  uhyper(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  double(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  fixed(byteCount: number): Buffer {
    const start = this.#take(padded4(byteCount));
    return this.#buffer.subarray(start, start + byteCount);
  }

  opaque(maxBytes: number): Buffer {
    return this.fixed(this.#count(maxBytes));
  }

  string(maxBytes: number = MESSAGE_MAX_BYTES): string {
    return this.opaque(maxBytes).toString('utf8');
  }

  optional<T>(read: () => T): T | undefined {
    return this.uint() === 0 ? undefined : read();
  }

  list<T>(maxItems: number, read: () => T): T[] {
    const count = this.#count(maxItems);
    const items: T[] = [];
    for (let index = 0; index < count; index += 1) items.push(read());
    return items;
  }

  /** Fails when bytes are left: the layout was not what we think. */
  end(): void {
    const left = this.#buffer.length - this.#offset;
    if (left !== 0) throw new AppError('component', 'libvirt sent more than expected', { leftBytes: left });
  }

  #count(max: number): number {
    const count = this.uint();
    if (count > max) throw new AppError('component', 'libvirt sent a length over its limit', { count, max });
    return count;
  }

  #take(byteCount: number): number {
    const start = this.#offset;
    if (start + byteCount > this.#buffer.length) {
      throw new AppError('component', 'libvirt sent a message that ends early', { wantedBytes: byteCount, leftBytes: this.#buffer.length - start });
    }
    this.#offset = start + byteCount;
    return start;
  }
}

function padded4(byteCount: number): number {
  return Math.ceil(byteCount / UNIT_BYTES) * UNIT_BYTES;
}
