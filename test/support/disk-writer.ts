import { open } from 'node:fs/promises';
import path from 'node:path';
import type { GuestShell } from './guest-shell.ts';
import type { Lab } from './lab.ts';
import { eventually } from './lab-vm.ts';

export const BLOCK_BYTES = 65_536;
/** The guest's own counter is before them. */
export const FIRST_BLOCK = 16;
const BLOCKS = 512;
/** Between two blocks, so that a guest under emulation leaves something of a processor to others. */
const REST_US = 100_000;

/** Least size of the disk, in MiB. */
export const WRITTEN_DISK_MIB = 64;

/**
 * Writes one block after the other on a guest's first disk, each with a text of its own and flushed before the next, round and round. So what
 * must stand on the disk follows from the number of the last one.
 */
export class DiskWriter {
  readonly #guest: GuestShell;

  constructor(guest: GuestShell) {
    this.#guest = guest;
  }

  async start(): Promise<void> {
    const write = `yes "block $i" | head -c ${BLOCK_BYTES} | dd of=/dev/vda bs=${BLOCK_BYTES} seek=$((${FIRST_BLOCK} + i % ${BLOCKS})) conv=notrunc,fsync 2>/dev/null`;
    const loop = `i=1; while [ ! -e /tmp/stop ]; do ${write} || exit 1; echo $i >/tmp/last; i=$((i + 1)); usleep ${REST_US}; done; echo $((i - 1)) >/tmp/done`;
    await this.#guest.out(`rm -f /tmp/stop /tmp/done; echo 0 >/tmp/last; ( ${loop} ) >/dev/null 2>&1 &`);
  }

  /** The number of the last block that was flushed. */
  async written(): Promise<number> {
    return Number(await this.#guest.out('cat /tmp/last'));
  }

  /** Waits until another `count` blocks are flushed. */
  async goesOn(count: number, limitMs = 60_000): Promise<void> {
    const before = await this.written();
    await eventually(async () => (await this.written()) >= before + count, limitMs, () => `${count} more blocks than ${before}`);
  }

  /** @returns the number of the last block; the guest writes no more. */
  async stop(): Promise<number> {
    await this.#guest.out('touch /tmp/stop');
    await eventually(async () => (await this.#guest.sh('test -s /tmp/done')).status === 0, 60_000, () => 'the last block to be flushed');
    return Number(await this.#guest.out('cat /tmp/done'));
  }
}

/** The numbers of the blocks, of `last` that were written, that are not on the volume as they were written, byte for byte. */
export async function wrongBlocks(lab: Lab, volume: string, last: number): Promise<number[]> {
  const file = '/var/lib/libvirt/exported';
  await lab.exec('hv1', ['rm', '-f', file]);
  await lab.exec('hv1', ['rbd', '--no-progress', 'export', volume, file], 120_000);
  try {
    return await wrongBlocksIn(path.join(await lab.root('hv1'), file), last);
  } finally {
    await lab.exec('hv1', ['rm', '-f', file]);
  }
}

/** The same in a raw image of the disk: later blocks may have taken the place of the oldest. */
export async function wrongBlocksIn(image: string, last: number): Promise<number[]> {
  const handle = await open(image);
  try {
    const wrong: number[] = [];
    const found = Buffer.alloc(BLOCK_BYTES);
    for (let block = Math.max(1, last - BLOCKS + 1); block <= last; block += 1) {
      await handle.read(found, 0, BLOCK_BYTES, (FIRST_BLOCK + (block % BLOCKS)) * BLOCK_BYTES);
      if (!found.equals(Buffer.alloc(BLOCK_BYTES, `block ${block}\n`))) wrong.push(block);
    }
    return wrong;
  } finally {
    await handle.close();
  }
}
