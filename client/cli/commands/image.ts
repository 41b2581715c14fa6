import type { ImageDownload } from '../../image-transfer.ts';
import type { TransferOptions } from '../../transfer-limits.ts';
import type { Context } from '../context.ts';
import { flag, integer, one } from '../declare.ts';
import { bytesOf, withImage, writeImage, type ImageTarget } from '../image-file.ts';
import { showBytes } from '../output/units.ts';
import { transferDisplay, type Transfer } from '../progress/transfer-display.ts';
import { actVerb, textVerb } from '../verb.ts';
import { POOL, SNAPSHOT, VOLUME } from './storage-parts.ts';

/** Ctrl-C ends the work. */
async function interruptible<T>(context: Context, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const restore = context.terminal.onInterrupt(() => over.abort());
  try {
    return await work(over.signal);
  } finally {
    restore();
  }
}

/** Shows how far the work is. */
async function shown<T>(context: Context, transfer: Transfer, work: (show: (bytes: number) => void) => Promise<T>): Promise<T> {
  const display = await transferDisplay(context.terminal, transfer);
  try {
    return await work((bytes) => display.show(bytes));
  } finally {
    display.rest();
  }
}

export const uploadVolume = actVerb({
  name: 'upload',
  about: 'Write a raw image into a volume',
  detail: 'The volume must be large enough and open to nobody: stop its VM first. What it has beyond the end of the image stays. When the transfer breaks, the volume has a part of the image.',
  arguments: { pool: POOL, volume: VOLUME, file: one('the image; - for standard input', { completes: 'file' }) },
  options: {
    create: flag('--create', 'add the volume first, as large as the image'),
    size: integer('--size <bytes>', 'how large the image is, where it is no plain file', { min: 1, max: Number.MAX_SAFE_INTEGER }),
  },
  examples: [
    ['pvc storage volume upload vms web2_root debian.raw --create', 'a new volume from an image'],
    ['qemu-img convert -O raw debian.qcow2 debian.raw', 'images of other formats are made raw first'],
    ['pvc storage volume upload vms web1_root web1.raw', 'over what the volume has'],
  ],
  run: async (context, { pool, volume, file, create, size }) => {
    const storage = await context.storage();
    return withImage(context.terminal, { file, sizeBytes: size }, async (image) => {
      if (create === true) await storage.createVolume({ pool, volume, size: image.sizeBytes });
      const transfer = { title: `${file} → ${pool}/${volume}`, totalBytes: image.sizeBytes };
      return interruptible(context, (signal) => shown(context, transfer, (onProgress) => storage.uploadVolume(pool, volume, image, { signal, onProgress })));
    });
  },
});

const TARGET = { file: one('file to write; - for standard output', { completes: 'file' }) };
const FORCE = { force: flag('--force', 'write over a file that is there') };
const TARGET_DETAIL = 'A file that is there is not written over without --force. Where the image is zero the file has holes. A file that was not written to its end is removed.';

interface Wanted {
  readonly file: string;
  readonly force: true | undefined;
  /** What is downloaded, for people. */
  readonly what: string;
  readonly download: (options: TransferOptions) => Promise<ImageDownload>;
}

async function save(context: Context, wanted: Wanted): Promise<void> {
  const { file, force, what } = wanted;
  const target = await writeImage(context.terminal, file, force === true);
  try {
    const sizeBytes = await interruptible(context, (signal) => received(context, wanted, { target, signal }));
    await target.done();
    if (file === '-') return;
    await context.printReply({ message: `${what} is in ${file}, ${showBytes(sizeBytes)}` });
  } catch (error) {
    await target.drop();
    throw error;
  }
}

/** @returns the image's size in bytes. */
async function received(context: Context, { file, what, download }: Wanted, { target, signal }: { target: ImageTarget; signal: AbortSignal }): Promise<number> {
  const { sizeBytes, bytes } = await download({ signal });
  await shown(context, { title: `${what} → ${file}`, totalBytes: sizeBytes }, async (show) => {
    let doneBytes = 0;
    for await (const piece of bytesOf(bytes)) {
      await target.write(piece);
      doneBytes += piece.length;
      show(doneBytes);
    }
  });
  return sizeBytes;
}

export const downloadVolume = textVerb({
  name: 'download',
  about: 'Write the contents of a volume to a file, as a raw image',
  detail: `While a guest writes to the volume, download a snapshot instead. ${TARGET_DETAIL}`,
  arguments: { pool: POOL, volume: VOLUME, ...TARGET },
  options: FORCE,
  examples: [
    ['pvc storage volume download vms web1_root web1.raw', 'of a VM that is off'],
    ['pvc storage volume download vms web1_root - | zstd -o web1.raw.zst', 'through a pipe'],
  ],
  run: async (context, { pool, volume, file, force }) => {
    const storage = await context.storage();
    await save(context, { file, force, what: `volume ${pool}/${volume}`, download: (options) => storage.downloadVolume(pool, volume, options) });
  },
});

export const downloadSnapshot = textVerb({
  name: 'download',
  about: 'Write what a volume had when a snapshot was made to a file, as a raw image',
  detail: TARGET_DETAIL,
  arguments: { pool: POOL, volume: VOLUME, snapshot: SNAPSHOT, ...TARGET },
  options: FORCE,
  examples: [['pvc storage snapshot download vms web1_root before-upgrade web1.raw', 'the guest goes on meanwhile']],
  run: async (context, { pool, volume, snapshot, file, force }) => {
    const storage = await context.storage();
    await save(context, { file, force, what: `snapshot ${pool}/${volume}@${snapshot}`, download: (options) => storage.downloadSnapshot(pool, volume, snapshot, options) });
  },
});
