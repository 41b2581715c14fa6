import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { run } from '../common/process.ts';
import { hasErrno } from './processes.ts';
import type { LabPlace } from './state.ts';

const LOSETUP_TIMEOUT_MS = 15_000;

/** losetup(8) with --json; it prints nothing at all when there is none. */
const listing = z.object({ loopdevices: z.array(z.object({ name: z.string(), 'back-ino': z.int() })) });

/**
 * Detaches the machine's loop devices whose files are on this lab's hosts: hosts share /dev, so none goes with its host. They are told by the inodes of
 * the files: the name of one that was attached inside a host is that host's.
 */
export async function detachLoopDevices(place: LabPlace): Promise<void> {
  const { stdout } = await run(['losetup', '--list', '--json', '--output', 'NAME,BACK-INO'], { timeoutMs: LOSETUP_TIMEOUT_MS });
  const { loopdevices } = listing.parse(JSON.parse(stdout.trim() === '' ? '{"loopdevices":[]}' : stdout));
  if (loopdevices.length === 0) return;
  const inodes = await inodesBelow(path.join(place.directory, 'hosts'));
  for (const device of loopdevices.filter((one) => inodes.has(one['back-ino']))) await run(['losetup', '--detach', device.name], { timeoutMs: LOSETUP_TIMEOUT_MS });
}

async function inodesBelow(folder: string): Promise<Set<number>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile());
  return new Set(await Promise.all(files.map(async (file) => (await stat(path.join(file.parentPath, file.name))).ino)));
}
