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
  /** Names of its partitions. */
  readonly partitions: readonly string[];
  /** Names of the devices that are made of it or of its partitions, such as logical volumes. */
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
  /**
   * Destroys whatever is on the device: partitions, file systems, an OSD. Cut off, it may be repeated.
   * @param holds the OSD that was seen on it; null: none.
   * @throws AppError 'state' when it is in use, or holds another OSD by now; 'component' when something is left of what was there.
   */
  zap(path: string, holds: OsdUuid | null, signal: AbortSignal): Promise<void>;
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

const PARTITION = 'part';

/** What a device and all on it have in common, from lsblk's tree. */
export function treeOf(device: LsblkDevice): Pick<BlockDevice, 'partitions' | 'users' | 'mounts'> {
  const below = (device.children ?? []).map((child) => ({ child, tree: treeOf(child) }));
  return {
    partitions: below.flatMap(({ child, tree }) => [...(child.type === PARTITION ? [child.path] : []), ...tree.partitions]),
    users: below.flatMap(({ child, tree }) => [...(child.type === PARTITION ? [] : [child.path]), ...tree.users]),
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
    return { kind: 'device', path: own, type: device.type, sizeBytes: device.size, readOnly: device.ro, ...treeOf(device), signatures, label, busy: await isBusy(own) };
  }

  async wipe(path: string, uuid: OsdUuid, signal: AbortSignal): Promise<void> {
    const seen = await this.facts(path, signal);
    if (seen.kind !== 'device' || seen.label?.uuid !== uuid) throw new AppError('state', "the device does not hold this OSD's data", { device: path });
    await alone(seen.path, (handle) => wipeParts(handle, seen.sizeBytes));
  }

  async zap(path: string, holds: OsdUuid | null, signal: AbortSignal): Promise<void> {
    const own = await ownName(path);
    if (own === undefined) throw new AppError('state', 'there is no such device on the node', { device: path });
    await alone(own, async (handle) => {
      const seen = await this.facts(own, signal);
      if (seen.kind !== 'device' || (seen.label?.uuid ?? null) !== holds) throw new AppError('state', 'the device has changed meanwhile', { device: path });
      await wipeParts(handle, seen.sizeBytes);
    });
    await this.#run(['wipefs', '--quiet', '--all', '--', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
    await this.#forgetPartitions(own, signal);
    const left = await this.facts(own, signal);
    const remains = left.kind === 'device' ? [...left.partitions, ...left.signatures] : [];
    if (remains.length > 0) throw new AppError('component', 'the device is not empty after it was zapped', { device: path, left: remains.join(', ') });
  }

  async stableName(path: string): Promise<string> {
    const own = await ownName(path);
    const names = await namesBelow(BY_ID);
    const aliases = await Promise.all(names.map(async (name) => ({ name: join(BY_ID, name), target: await ownName(join(BY_ID, name)) })));
    const wanted = aliases.filter(({ target }) => target !== undefined && target === own).map(({ name }) => name);
    return wanted.find((name) => name.startsWith(join(BY_ID, 'wwn-'))) ?? wanted.sort()[0] ?? own ?? path;
  }

  /** Nothing but a block device has a row of its own. What is on it stands below it only where a tree is asked for. */
  async #lsblk(own: string, signal: AbortSignal): Promise<LsblkDevice | undefined> {
    try {
      const { stdout } = await this.#run(['lsblk', '--json', '--bytes', '--tree=PATH', '--output', 'PATH,TYPE,SIZE,RO,MOUNTPOINTS', '--', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
      return lsblkOutput.parse(parseJson(stdout)).blockdevices[0];
    } catch (error) {
      if (isAppError(error, 'component') && error.details['exitCode'] === LSBLK_NOT_FOUND) return undefined;
      throw error;
    }
  }

  /** The kernel keeps partitions until it reads the table again, for which the daemon may have no right; udev does it as well, after a change. */
  async #forgetPartitions(own: string, signal: AbortSignal): Promise<void> {
    const facts = await this.facts(own, signal);
    if (facts.kind !== 'device' || facts.partitions.length === 0) return;
    try {
      await this.#run(['blockdev', '--rereadpt', own], { timeoutMs: LOOK_TIMEOUT_MS, signal });
    } catch (error) {
      if (!isAppError(error, 'component')) throw error;
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

/** @throws AppError 'state' when somebody else has it. */
async function alone(own: string, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await openAlone(own, constants.O_RDWR);
  if (handle === undefined) throw new AppError('state', 'the device is in use', { device: own });
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}

/** The label goes last: until then a wipe that was cut off can be told from any other device, and repeated. */
async function wipeParts(handle: FileHandle, sizeBytes: number): Promise<void> {
  for (const part of wipedParts(sizeBytes).reverse()) await writeZeros(handle, part);
  await handle.sync();
}

async function writeZeros(handle: FileHandle, { at, bytes }: { at: number; bytes: number }): Promise<void> {
  for (let done = 0; done < bytes; ) done += (await handle.write(Buffer.alloc(bytes - done), 0, bytes - done, at + done)).bytesWritten;
}

async function isBusy(own: string): Promise<boolean> {
  const handle = await openAlone(own, constants.O_RDONLY);
  await handle?.close();
  return handle === undefined;
}
