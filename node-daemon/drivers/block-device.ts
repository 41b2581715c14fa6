import { constants } from 'node:fs';
import { open, readdir, realpath, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError, isAppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import type { Run } from '../../common/process.ts';
import { osdId, osdUuid, type OsdId, type OsdUuid } from '../../common/schema/osd.ts';
import { hasErrno } from './errno.ts';

/** What Ceph has written at the beginning of an OSD's device. */
export interface BluestoreLabel {
  readonly uuid: OsdUuid;
  /** null: its making was cut off before it was told its number. */
  readonly id: OsdId | null;
  /** Its making was done to the end. */
  readonly ready: boolean;
}

/** What one named device is, and what is on it. */
export interface BlockDevice {
  readonly kind: 'device';
  /** The kernel's own name for it, such as `/dev/sdb`. */
  readonly path: string;
  /** lsblk's word: `disk`, `part`, `loop`, `lvm` … */
  readonly type: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Names of the devices on it: partitions, and whatever is made of it. */
  readonly users: readonly string[];
  /** Where it or anything on it is mounted, and `[SWAP]`. */
  readonly mounts: readonly string[];
  /** Types of what is written on it: file systems, partition tables, members of volume groups and arrays. */
  readonly signatures: readonly string[];
  readonly label: BluestoreLabel | null;
  /** The kernel lets nobody else have it: mounted anywhere, part of something, or a running OSD's. */
  readonly busy: boolean;
}

export type DeviceFacts = BlockDevice | { readonly kind: 'missing' } | { readonly kind: 'not-a-device' };

/** Facts of exactly the device that is asked for; nothing here looks for devices by itself. */
export interface BlockDevices {
  facts(path: string, signal: AbortSignal): Promise<DeviceFacts>;
  /**
   * Overwrites what the OSD with this UUID has left on the device, so that it is empty to everybody.
   * @throws AppError 'state' when it holds anything else, or is in use.
   */
  wipe(path: string, uuid: OsdUuid, signal: AbortSignal): Promise<void>;
  /** A name for the device that stays the same when disks are counted in another order; the kernel's own where udev gives none. */
  stableName(path: string): Promise<string>;
}

/** lsblk and wipefs read a few blocks; a dying disk takes its time to say so. */
const LOOK_TIMEOUT_MS = 30_000;

const lsblkDevice = z.object({
  path: z.string(),
  type: z.string(),
  size: z.int().min(0),
  ro: z.boolean(),
  mountpoints: z.array(z.string().nullable()),
  get children() {
    return z.array(lsblkDevice).optional();
  },
});
type LsblkDevice = z.output<typeof lsblkDevice>;
const lsblkOutput = z.object({ blockdevices: z.tuple([lsblkDevice]) });

const wipefsOutput = z.object({ signatures: z.array(z.object({ type: z.string() })) });

/** wipefs prints nothing at all for a device without signatures, in some versions. */
function signaturesOf(text: string): string[] {
  if (text.trim() === '') return [];
  return wipefsOutput.parse(parseJson(text)).signatures.map((one) => one.type);
}

const BLUESTORE = 'ceph_bluestore';

/** ceph-bluestore-tool's show-label; the OSD's key may stand in it too, and stays out of here. */
const labels = z.record(
  z.string(),
  z.object({ osd_uuid: osdUuid, whoami: z.string().regex(/^\d+$/u).transform(Number).pipe(osdId).optional(), ready: z.literal('ready').optional() }),
);

/** What a device and all on it have in common, from lsblk's tree. */
export function treeOf(device: LsblkDevice): { users: string[]; mounts: string[] } {
  const below = (device.children ?? []).map((child) => ({ child, tree: treeOf(child) }));
  return {
    users: below.flatMap(({ child, tree }) => [child.path, ...tree.users]),
    mounts: [...device.mountpoints.filter((mount) => mount !== null), ...below.flatMap(({ tree }) => tree.mounts)],
  };
}

/**
 * What BlueStore writes first and later: its label, 4 KiB at the beginning and, since Ceph 19, copies at 1, 10, 100 and 1000 GiB;
 * its own tables anywhere. Without a label nothing finds the rest.
 */
const HEAD_BYTES = 16 * 1024 * 1024;
const COPY_BYTES = 1024 * 1024;
const COPIES_AT_GIB = [1, 10, 100, 1_000];
const GIB = 1024 ** 3;

/** Parts of a device that are overwritten, as offset and length in bytes. */
export function wipedParts(sizeBytes: number): { at: number; bytes: number }[] {
  const copies = COPIES_AT_GIB.map((gib) => ({ at: gib * GIB, bytes: COPY_BYTES }));
  const parts = [{ at: 0, bytes: HEAD_BYTES }, ...copies, { at: Math.max(0, sizeBytes - COPY_BYTES), bytes: COPY_BYTES }];
  return parts.filter(({ at }) => at < sizeBytes).map(({ at, bytes }) => ({ at, bytes: Math.min(bytes, sizeBytes - at) }));
}

/** udev's folder of names by serial number and the like. */
const BY_ID = '/dev/disk/by-id';

export class LinuxBlockDevices implements BlockDevices {
  readonly #run: Run;

  constructor({ run }: { run: Run }) {
    this.#run = run;
  }

  async facts(path: string, signal: AbortSignal): Promise<DeviceFacts> {
    const own = await ownName(path);
    if (own === undefined) return { kind: 'missing' };
    const device = await this.#lsblk(own, signal);
    if (device === undefined) return { kind: 'not-a-device' };
    const signatures = await this.#signatures(own, signal);
    const label = signatures.includes(BLUESTORE) ? await this.#label(own, signal) : null;
    const { users, mounts } = treeOf(device);
    return { kind: 'device', path: own, type: device.type, sizeBytes: device.size, readOnly: device.ro, users, mounts, signatures, label, busy: await isBusy(own) };
  }

  async wipe(path: string, uuid: OsdUuid, signal: AbortSignal): Promise<void> {
    const seen = await this.facts(path, signal);
    if (seen.kind !== 'device' || seen.label?.uuid !== uuid) throw new AppError('state', "the device does not hold this OSD's data", { device: path });
    const handle = await openAlone(seen.path, constants.O_RDWR);
    if (handle === undefined) throw new AppError('state', 'the device is in use', { device: path });
    try {
      // The label goes last: until then a wipe that was cut off can be told from any other device, and repeated.
      for (const part of wipedParts(seen.sizeBytes).reverse()) await writeZeros(handle, part);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async stableName(path: string): Promise<string> {
    const own = await ownName(path);
    const names = await namesBelow(BY_ID);
    const aliases = await Promise.all(names.map(async (name) => ({ name: join(BY_ID, name), target: await ownName(join(BY_ID, name)) })));
    const wanted = aliases.filter(({ target }) => target !== undefined && target === own).map(({ name }) => name);
    return wanted.find((name) => name.startsWith(join(BY_ID, 'wwn-'))) ?? wanted.sort()[0] ?? own ?? path;
  }

  /** Nothing but a block device has a row of its own. */
  async #lsblk(own: string, signal: AbortSignal): Promise<LsblkDevice | undefined> {
    try {
      const { stdout } = await this.#run(['lsblk', '--json', '--bytes', '--output', 'PATH,TYPE,SIZE,RO,MOUNTPOINTS', '--', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
      return lsblkOutput.parse(parseJson(stdout)).blockdevices[0];
    } catch (error) {
      if (isAppError(error, 'component') && error.details['exitCode'] === LSBLK_NOT_FOUND) return undefined;
      throw error;
    }
  }

  async #signatures(own: string, signal: AbortSignal): Promise<string[]> {
    const { stdout } = await this.#run(['wipefs', '--json', '--', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
    return signaturesOf(stdout);
  }

  /** null for a label that the tool cannot read: nobody knows whose that is. */
  async #label(own: string, signal: AbortSignal): Promise<BluestoreLabel | null> {
    try {
      const { stdout } = await this.#run(['ceph-bluestore-tool', 'show-label', '--dev', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
      const found = labels.parse(parseJson(stdout))[own];
      return found === undefined ? null : { uuid: found.osd_uuid, id: found.whoami ?? null, ready: found.ready !== undefined };
    } catch (error) {
      if (isAppError(error, 'component')) return null;
      throw error;
    }
  }
}

/** lsblk(8), "EXIT STATUS": none of the specified devices was found. */
const LSBLK_NOT_FOUND = 32;

/** The device without symbolic links; undefined when there is none. */
async function ownName(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

async function namesBelow(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Opening a block device with O_EXCL is refused while anybody has it for himself (open(2)); undefined then. */
async function openAlone(own: string, mode: number): Promise<FileHandle | undefined> {
  try {
    return await open(own, mode | constants.O_EXCL);
  } catch (error) {
    if (hasErrno(error, 'EBUSY')) return undefined;
    throw error;
  }
}

async function writeZeros(handle: FileHandle, { at, bytes }: { at: number; bytes: number }): Promise<void> {
  for (let done = 0; done < bytes; ) done += (await handle.write(Buffer.alloc(bytes - done), 0, bytes - done, at + done)).bytesWritten;
}

async function isBusy(own: string): Promise<boolean> {
  const handle = await openAlone(own, constants.O_RDONLY);
  await handle?.close();
  return handle === undefined;
}
