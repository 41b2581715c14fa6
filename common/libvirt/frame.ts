import { AppError } from '../errors.ts';
import { MESSAGE_MAX_BYTES } from './xdr.ts';

/** The program of all calls here (remote_protocol.x, REMOTE_PROGRAM). */
export const REMOTE_PROGRAM = 0x2000_8086;

/** Pings and pongs (virkeepaliveprotocol.x): "keep" in ASCII. */
export const KEEPALIVE_PROGRAM = 0x6b65_6570;

/** Version of both programs. */
const PROGRAM_VERSION = 1;

/** virNetMessageType. Streams (3, 6) and descriptors (4, 5) are not used. */
export const MESSAGE_TYPE = { call: 0, reply: 1, message: 2 } as const;

/** virNetMessageStatus. */
export const MESSAGE_STATUS = { ok: 0, error: 1 } as const;

/** Program, version, procedure, type, serial, status. */
const HEADER_BYTES = 24;

const LENGTH_BYTES = 4;

export interface FrameHeader {
  program: number;
  procedure: number;
  type: number;
  serial: number;
  status: number;
}

export interface Frame extends FrameHeader {
  body: Buffer;
}

/** One message on the wire: its length (which counts itself), header and body (virnetprotocol.x). */
export function encodeFrame(header: FrameHeader, body: Uint8Array): Buffer {
  const total = LENGTH_BYTES + HEADER_BYTES + body.length;
  const bytes = Buffer.allocUnsafe(total);
  let offset = bytes.writeUInt32BE(total, 0);
  offset = bytes.writeUInt32BE(header.program, offset);
  offset = bytes.writeUInt32BE(PROGRAM_VERSION, offset);
  offset = bytes.writeInt32BE(header.procedure, offset);
  offset = bytes.writeInt32BE(header.type, offset);
  offset = bytes.writeUInt32BE(header.serial, offset);
  offset = bytes.writeInt32BE(header.status, offset);
  bytes.set(body, offset);
  return bytes;
}

/** Cuts a byte stream into frames, however the stream is chopped. Holds at most one frame. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  /** Length of the frame that is arriving, once known. */
  #wantedBytes: number | undefined;

  /**
   * The frames that `chunk` completes.
   * @throws AppError 'component' on a length that no libvirt sends; the stream cannot be used after that.
   */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#heldBytes < LENGTH_BYTES) return undefined;
    this.#wantedBytes ??= checkedLength(this.#joined().readUInt32BE(0));
    if (this.#heldBytes < this.#wantedBytes) return undefined;
    const held = this.#joined();
    const frame = decodeFrame(held.subarray(0, this.#wantedBytes));
    const rest = held.subarray(this.#wantedBytes);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
    this.#wantedBytes = undefined;
    return frame;
  }

  /** All held bytes in one piece: joined once for the length and once for the frame, never per chunk. */
  #joined(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const joined = Buffer.concat(this.#chunks, this.#heldBytes);
    this.#chunks = [joined];
    return joined;
  }
}

function checkedLength(length: number): number {
  if (length < LENGTH_BYTES + HEADER_BYTES || length > MESSAGE_MAX_BYTES + LENGTH_BYTES) {
    throw new AppError('component', 'libvirt sent a frame of impossible length', { length });
  }
  return length;
}

function decodeFrame(bytes: Buffer): Frame {
  const version = bytes.readUInt32BE(8);
  if (version !== PROGRAM_VERSION) throw new AppError('component', 'libvirt speaks another version of its protocol', { version });
  return {
    program: bytes.readUInt32BE(4),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    body: bytes.subarray(LENGTH_BYTES + HEADER_BYTES),
  };
}
