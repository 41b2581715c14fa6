import { access, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../common/process.ts';

const LIMIT_MS = 15_000;
const FOLDER_PREFIX = 'pvc-loop-';

/** Block devices of the test's own, on sparse files. The machine has eight, for all: take few, and stop. */
export interface LoopDevices {
  /** @returns its path, as /dev/loop3; one that may have partitions when that is said. */
  make(sizeBytes: number, options?: { partitions: boolean }): Promise<string>;
  stop(): Promise<void>;
}

/** Devices that tests left which were killed are detached first. */
export async function startLoopDevices(): Promise<LoopDevices> {
  await sweep();
  const folder = await mkdtemp(path.join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  const made: string[] = [];
  return {
    async make(sizeBytes, { partitions } = { partitions: false }) {
      const file = path.join(folder, `${made.length}.img`);
      await writeFile(file, '');
      await truncate(file, sizeBytes);
      const device = (await run(['losetup', '--find', '--show', ...(partitions ? ['--partscan'] : []), file], { timeoutMs: LIMIT_MS })).stdout.trim();
      if (!/^\/dev\/loop\d+$/u.test(device)) throw new Error(`losetup said ${device}`);
      made.push(device);
      return device;
    },
    async stop() {
      for (const device of made.splice(0)) await run(['losetup', '--detach', device], { timeoutMs: LIMIT_MS });
      await rm(folder, { recursive: true });
    },
  };
}

async function sweep(): Promise<void> {
  const { stdout } = await run(['losetup', '--list', '--json', '--output', 'NAME,BACK-FILE'], { timeoutMs: LIMIT_MS });
  const listed = stdout.trim() === '' ? [] : (JSON.parse(stdout) as { loopdevices: { name: string; 'back-file': string | null }[] }).loopdevices;
  for (const { name, 'back-file': file } of listed) if (await isOrphan(file ?? '')) await run(['losetup', '--detach', name], { timeoutMs: LIMIT_MS });
  for (const name of await readdir(tmpdir())) if (await isOrphan(path.join(tmpdir(), name, '0.img'))) await rm(path.join(tmpdir(), name), { recursive: true });
}

/** The file belongs to a test process that is gone. */
async function isOrphan(file: string): Promise<boolean> {
  const owner = new RegExp(`^${tmpdir()}/${FOLDER_PREFIX}(\\d+)-`, 'u').exec(file)?.[1];
  return owner !== undefined && !(await access(`/proc/${owner}`).then(() => true, () => false));
}
