import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { run } from '../common/process.ts';
import { hasErrno } from './processes.ts';
import type { LabPlace } from './state.ts';

const LOSETUP_TIMEOUT_MS = 15_000;

/** losetup(8) with --json; it prints nothing at all when there is none. */
const listing = z.object({ loopdevices: z.array(z.object({ name: z.string(), 'back-ino': z.int(), 'back-maj:min': z.string().trim() })) });

/**
 * Detaches the machine's loop devices whose files are on this lab's hosts: hosts share /dev, so none goes with its host. They are told by file
 * system and inode: the name of a file that was attached inside a host is that host's.
 */
export async function detachLoopDevices(place: LabPlace): Promise<void> {
  const { stdout } = await run(['losetup', '--list', '--json', '--output', 'NAME,BACK-INO,BACK-MAJ:MIN'], { timeoutMs: LOSETUP_TIMEOUT_MS });
  const { loopdevices } = listing.parse(JSON.parse(stdout.trim() === '' ? '{"loopdevices":[]}' : stdout));
  if (loopdevices.length === 0) return;
  const files = await filesBelow(path.join(place.directory, 'hosts'));
  const ours = loopdevices.filter((one) => files.has(`${one['back-maj:min']} ${one['back-ino']}`));
  for (const device of ours) await run(['losetup', '--detach', device.name], { timeoutMs: LOSETUP_TIMEOUT_MS });
}

/** Each as losetup tells it: `MAJOR:MINOR INODE`. */
async function filesBelow(folder: string): Promise<Set<string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile());
  return new Set(
    await Promise.all(
      files.map(async (file) => {
        const { dev, ino } = await stat(path.join(file.parentPath, file.name));
        return `${deviceNumber(dev)} ${ino}`;
      }),
    ),
  );
}

/** makedev(3) as glibc has it, the other way round; the parts above 32 bits are not in use. */
function deviceNumber(dev: number): string {
  return `${(dev >>> 8) & 0xf_ff}:${(dev & 0xff) | ((dev >>> 12) & 0xf_ff_00)}`;
}
