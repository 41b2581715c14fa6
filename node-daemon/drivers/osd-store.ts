import { chown, lchown, mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Command, Run, RunOptions } from '../../common/process.ts';
import type { OsdId, OsdUuid } from '../../common/schema/osd.ts';
import { Turns } from '../../common/turns.ts';
import { AppError } from '../../common/errors.ts';
import { readOptional, unlinkOptional, writeAtomically } from './atomic-file.ts';
import { hasErrno } from './errno.ts';
import { serviceAccount, type ServiceAccount } from './service-account.ts';
import { findServices } from './service-process.ts';

/** One OSD, and the device that it lives on. */
export interface OsdPlacement {
  readonly id: OsdId;
  readonly uuid: OsdUuid;
  /** A name that stays the same. */
  readonly device: string;
}

/** What is in an OSD's folder. */
export interface OsdFolder {
  /** Whose it is; null: nobody's. */
  readonly uuid: string | null;
  /** All is there that the OSD needs to start, except perhaps the device. */
  readonly complete: boolean;
  /** Where its data is looked for; null: nowhere. */
  readonly device: string | null;
}

/** The folder and the contents of OSDs on this host. Each call may be repeated, also after one that was cut off. */
export interface OsdStore {
  folder(id: OsdId): Promise<OsdFolder>;
  /** A making of this OSD still goes on, begun by a daemon that is gone: nobody may touch its device. */
  isBeingMade(uuid: OsdUuid): Promise<boolean>;
  /** The key that an OSD gets which is being added; always the same until it is dropped. */
  secret(uuid: OsdUuid, signal: AbortSignal): Promise<string>;
  /** Forgets that key: the OSD has it, or never will. */
  dropSecret(uuid: OsdUuid): Promise<void>;
  /**
   * Makes an empty OSD on the device, with its key. What was in the folder goes.
   * @param check runs when nobody else works on the device, right before anything is written.
   */
  prepare(osd: OsdPlacement, check: () => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Lets the OSD be started from its device: after a boot, or when the folder was lost. Its key stands in the device's label. */
  activate(osd: OsdPlacement, signal: AbortSignal): Promise<void>;
  /** Removes the folder if it is this OSD's. */
  remove(id: OsdId, uuid: OsdUuid): Promise<void>;
}

/** mkfs takes 2 to 4 s; a slow disk that is discarded first takes minutes. */
const MKFS_TIMEOUT_MS = 600_000;
const PRIME_TIMEOUT_MS = 60_000;
const KEY_TIMEOUT_MS = 10_000;

/** As ceph-authtool prints it. */
const cephKey = z.string().regex(/^[A-Za-z0-9+/]{20,}={0,2}$/u);

/** What an OSD reads when it starts, besides its keyring. */
const NEEDED = ['type', 'whoami', 'ready'];

export interface CephOsdStoreDeps {
  run: Run;
  /** Holds a folder `ceph-ID` for each OSD. */
  directory: string;
  configFile: string;
  /** Whom the OSDs run as; absent: root. */
  user?: string | undefined;
}

export class CephOsdStore implements OsdStore {
  readonly #deps: CephOsdStoreDeps;
  readonly #turns = new Turns<string>();

  constructor(deps: CephOsdStoreDeps) {
    this.#deps = deps;
  }

  async folder(id: OsdId): Promise<OsdFolder> {
    const folder = this.#folder(id);
    const [fsid, keyring, ...needed] = await Promise.all(['fsid', 'keyring', ...NEEDED].map((name) => readOptional(join(folder, name))));
    const complete = keyring !== undefined && needed.every((text) => text !== undefined);
    return { uuid: fsid?.trim() ?? null, complete, device: await linkTarget(join(folder, 'block')) };
  }

  /** By its command line, as all that outlives the daemon. */
  async isBeingMade(uuid: OsdUuid): Promise<boolean> {
    const made = await findServices((argv) => (argv.includes('--mkfs') && argv.includes(uuid) ? { key: uuid, digest: '' } : undefined));
    return made.length > 0;
  }

  async secret(uuid: OsdUuid, signal: AbortSignal): Promise<string> {
    const file = this.#secretFile(uuid);
    const known = await readOptional(file);
    if (known !== undefined) return known;
    const { stdout } = await this.#deps.run(['ceph-authtool', '--gen-print-key'], { timeoutMs: KEY_TIMEOUT_MS, signal });
    const secret = cephKey.parse(stdout.trim());
    await writeAtomically(file, secret, { mode: 0o600 });
    return secret;
  }

  async dropSecret(uuid: OsdUuid): Promise<void> {
    await unlinkOptional(this.#secretFile(uuid));
  }

  prepare(osd: OsdPlacement, check: () => Promise<void>, signal: AbortSignal): Promise<void> {
    // Two names may mean one device.
    return this.#turns.take('device', async () => {
      await check();
      const folder = this.#folder(osd.id);
      const secret = await this.secret(osd.uuid, signal);
      await rm(folder, { recursive: true, force: true });
      await this.#fill(osd, signal);
      await writeAtomically(join(folder, 'keyring'), `[osd.${osd.id}]\n\tkey = ${secret}\n`, { mode: 0o600 });
      await this.#own(folder, signal);
      const command: Command = ['ceph-osd', '--mkfs', '-c', this.#deps.configFile, '-i', String(osd.id), '--osd-uuid', osd.uuid, '--osd-data', folder, '--keyring', join(folder, 'keyring'), '--keyfile', '-'];
      await this.#run(command, { timeoutMs: MKFS_TIMEOUT_MS, signal, input: secret });
    });
  }

  async activate(osd: OsdPlacement, signal: AbortSignal): Promise<void> {
    const { uuid, complete } = await this.folder(osd.id);
    const folder = this.#folder(osd.id);
    if (uuid === osd.uuid && complete) {
      await this.#link(osd, signal);
      return;
    }
    if (uuid !== null && uuid !== osd.uuid) throw new AppError('state', "the OSD's folder is another OSD's", { folder, uuid });
    await this.#fill(osd, signal);
    await this.#run(['ceph-bluestore-tool', 'prime-osd-dir', '--dev', osd.device, '--path', folder], { timeoutMs: PRIME_TIMEOUT_MS, signal });
    await this.#own(folder, signal);
  }

  async remove(id: OsdId, uuid: OsdUuid): Promise<void> {
    if ((await this.folder(id)).uuid === uuid) await rm(this.#folder(id), { recursive: true, force: true });
  }

  #folder(id: OsdId): string {
    return join(this.#deps.directory, `ceph-${id}`);
  }

  /** The UUID comes first: from then on the folder is known as this OSD's. */
  async #fill(osd: OsdPlacement, signal: AbortSignal): Promise<void> {
    const folder = this.#folder(osd.id);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeAtomically(join(folder, 'fsid'), `${osd.uuid}\n`, { mode: 0o600 });
    await this.#link(osd, signal);
  }

  /** udev gives devices to root at every boot. */
  async #link({ id, device }: OsdPlacement, signal: AbortSignal): Promise<void> {
    const link = join(this.#folder(id), 'block');
    if ((await linkTarget(link)) !== device) {
      await unlinkOptional(link);
      await symlink(device, link);
    }
    const account = await this.#account(signal);
    if (account !== undefined) await chown(device, account.uid, account.gid);
  }

  async #own(folder: string, signal: AbortSignal): Promise<void> {
    const account = await this.#account(signal);
    if (account === undefined) return;
    for (const name of await readdir(folder)) await lchown(join(folder, name), account.uid, account.gid);
    await chown(folder, account.uid, account.gid);
  }

  async #account(signal: AbortSignal): Promise<ServiceAccount | undefined> {
    const { run, user } = this.#deps;
    return user === undefined ? undefined : serviceAccount(run, [user], signal);
  }

  #secretFile(uuid: OsdUuid): string {
    return join(this.#deps.directory, `new-${uuid}.key`);
  }

  async #run(command: Command, options: RunOptions & { signal: AbortSignal }): Promise<void> {
    const { run } = this.#deps;
    const account = await this.#account(options.signal);
    const asUser = account === undefined || command[0] !== 'ceph-osd' ? [] : ['--setuser', account.user, '--setgroup', account.group];
    await run([...command, ...asUser], options);
  }
}

async function linkTarget(link: string): Promise<string | null> {
  try {
    return await readlink(link);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'EINVAL', 'ENOTDIR')) return null;
    throw error;
  }
}
