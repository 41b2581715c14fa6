import { open, rm, type FileHandle } from 'node:fs/promises';
import { ClientError } from '../client-error.ts';
import type { ImageSource } from '../image-transfer.ts';
import type { Terminal } from './terminal.ts';

const READ_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(READ_BYTES);

/** What files of other formats begin with (QEMU's block drivers). */
const FORMATS = [
  ['qcow2', Buffer.from('QFI\u00fb', 'latin1')],
  ['vmdk', Buffer.from('KDMV')],
  ['vhdx', Buffer.from('vhdxfile')],
] as const;

/**
 * Works with the image in a file, or on standard input.
 * @param from.sizeBytes of what is no plain file.
 * @throws ClientError 'arguments' also for an image that says that it is not a raw one.
 */
export async function withImage<T>({ stdin }: Terminal, { file, sizeBytes }: { file: string; sizeBytes: number | undefined }, work: (image: ImageSource) => Promise<T>): Promise<T> {
  if (file === '-') return fromStandardInput(stdin, required(sizeBytes, 'standard input'), work);
  const handle = await opened(file, 'r', 'read');
  try {
    const stat = await handle.stat();
    if (stat.isFile()) await refuseOtherFormats(handle, file);
    if (stat.isFile() && stat.size === 0) throw new ClientError('arguments', `${file} is empty`);
    const wholeBytes = stat.isFile() ? stat.size : required(sizeBytes, file);
    // The magic was read with a position of its own, so this begins at the start, also where there is no position.
    return await work({ sizeBytes: wholeBytes, bytes: bytesOf(handle.createReadStream({ highWaterMark: READ_BYTES, end: wholeBytes - 1, autoClose: false })) });
  } finally {
    await handle.close();
  }
}

/** A transfer that ends early leaves standard input open, which would keep the command from its end, and whoever writes to it from his. */
async function fromStandardInput<T>(stdin: Terminal['stdin'], sizeBytes: number, work: (image: ImageSource) => Promise<T>): Promise<T> {
  try {
    return await work({ sizeBytes, bytes: bytesOf(stdin) });
  } finally {
    stdin.destroy();
  }
}

function required(sizeBytes: number | undefined, what: string): number {
  if (sizeBytes === undefined) throw new ClientError('arguments', `how large ${what} is must be said with --size`);
  return sizeBytes;
}

async function refuseOtherFormats(handle: FileHandle, file: string): Promise<void> {
  const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0);
  const [format] = FORMATS.find(([, magic]) => buffer.subarray(0, magic.length).equals(magic)) ?? [];
  if (format !== undefined) throw new ClientError('arguments', `${file} is a ${format} image, not a raw one: qemu-img convert -O raw ${file} ${file}.raw`);
}

export async function* bytesOf(stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of stream) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}

/** Where an image is written to. */
export interface ImageTarget {
  /** One piece after the other. */
  write(piece: Uint8Array): Promise<void>;
  /** All is written. */
  done(): Promise<void>;
  /** Removes what there is of it. */
  drop(): Promise<void>;
}

/** @param force writes over a file that is there. @throws ClientError 'arguments'. */
export async function writeImage({ stdout }: Terminal, file: string, force: boolean): Promise<ImageTarget> {
  if (file !== '-') return fileTarget(file, await opened(file, force ? 'w' : 'wx', 'written'));
  if (stdout.isTTY === true) throw new ClientError('arguments', 'standard output is a terminal');
  return { write: (piece) => written(stdout, piece), done: async () => undefined, drop: async () => undefined };
}

function written(stdout: NodeJS.WritableStream, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stdout.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}

/** A plain file has holes where the image is zero. */
async function fileTarget(file: string, handle: FileHandle): Promise<ImageTarget> {
  const isFile = (await handle.stat()).isFile();
  let sizeBytes = 0;
  return {
    write: async (piece) => {
      const isHole = isFile && piece.byteLength <= ZEROS.byteLength && ZEROS.subarray(0, piece.byteLength).equals(piece);
      if (!isHole) await told(file, writeAll(handle, piece, isFile ? sizeBytes : null));
      sizeBytes += piece.byteLength;
    },
    done: async () => {
      if (isFile) await told(file, handle.truncate(sizeBytes).then(() => handle.sync()));
      await handle.close();
    },
    drop: async () => {
      await handle.close();
      if (isFile) await rm(file);
    },
  };
}

async function writeAll(handle: FileHandle, piece: Uint8Array, atBytes: number | null): Promise<void> {
  for (let done = 0; done < piece.byteLength; ) {
    const { bytesWritten } = await handle.write(piece, done, piece.byteLength - done, atBytes === null ? null : atBytes + done);
    done += bytesWritten;
  }
}

async function told(file: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    throw new ClientError('outcome', `${file} cannot be written`, { details: [String(cause)], cause });
  }
}

async function opened(file: string, flags: 'r' | 'w' | 'wx', what: string): Promise<FileHandle> {
  try {
    return await open(file, flags);
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    throw new ClientError('arguments', exists ? `${file} is there already: --force writes over it` : `${file} cannot be ${what}`, { details: exists ? [] : [String(cause)], cause });
  }
}
