import path from 'node:path';
import { z } from 'zod';
import { run } from '../common/process.ts';
import type { LabPlace } from './state.ts';

const LOSETUP_TIMEOUT_MS = 15_000;

/** losetup(8) with --json; it prints nothing at all when there is none. */
const listing = z.object({ loopdevices: z.array(z.object({ name: z.string(), 'back-file': z.string().nullable() })) });

/** Detaches the machine's loop devices whose files are in this lab's folder, deleted ones too: hosts share /dev, so none goes with its host. */
export async function detachLoopDevices(place: LabPlace): Promise<void> {
  const { stdout } = await run(['losetup', '--list', '--json', '--output', 'NAME,BACK-FILE'], { timeoutMs: LOSETUP_TIMEOUT_MS });
  if (stdout.trim() === '') return;
  const { loopdevices } = listing.parse(JSON.parse(stdout));
  const own = loopdevices.filter((device) => device['back-file']?.startsWith(`${path.join(place.directory, 'hosts')}/`) === true);
  for (const device of own) await run(['losetup', '--detach', device.name], { timeoutMs: LOSETUP_TIMEOUT_MS });
}
