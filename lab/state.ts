import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { AppError } from '../common/errors.ts';
import { randomToken } from '../common/ids.ts';
import { hasErrno, identify, isAlive, processId, waitFor } from './processes.ts';

/** Where a lab lives. Two labs with different directories share nothing but the cache. */
export interface LabPlace {
  directory: string;
  /** Kernel and initramfs of the test guest; may be shared by labs. */
  cache: string;
  /** Begins the name of each network namespace of this lab; follows from the directory, so that leftovers can be told. */
  prefix: string;
}

const DEFAULT_DIRECTORY = '/var/lib/pvc-lab';
export const DEFAULT_API_PORT = 7370;

/** Hosts that the addressing has room for, and more than a machine carries. */
export const HOSTS_MAX = 7;

export type Accel = 'tcg' | 'kvm';

/** One host of the lab; everything about it follows from its number. */
export interface LabHost {
  number: number;
  name: string;
  address: string;
  coordinator: boolean;
  /** The host's "disk": survives a power cut. */
  folder: string;
}

const labState = z.strictObject({
  version: z.literal(1),
  nodes: z.int().min(1).max(HOSTS_MAX),
  accel: z.enum(['tcg', 'kvm']),
  apiPort: z.int(),
  token: z.string(),
  secretKey: z.string(),
  /** Without the project's daemons: ZooKeeper, libvirt and sshd only. */
  bare: z.boolean(),
  /** With Ceph, which labs of an earlier program did not have. */
  storage: z.boolean().default(false),
  /** A UUID that tells this lab from another: of its hosts in libvirt's eyes, and of its Ceph. */
  seed: z.string(),
});
export type LabState = z.infer<typeof labState>;

/** PVC_LAB_DIR moves all of it, PVC_LAB_CACHE only the cache. */
export function labPlace(env: NodeJS.ProcessEnv): LabPlace {
  const directory = path.resolve(env['PVC_LAB_DIR'] ?? DEFAULT_DIRECTORY);
  if (/^\/(run|proc|sys|dev)(\/|$)/u.test(directory) || directory === '/' || /\s/u.test(directory)) {
    throw new AppError('invalid', 'the lab cannot live there: set PVC_LAB_DIR to a folder on a disk, without spaces', { directory });
  }
  const own = directory === DEFAULT_DIRECTORY ? 'pvclab' : `pvclab${createHash('sha256').update(directory).digest('hex').slice(0, 8)}`;
  return { directory, cache: path.resolve(env['PVC_LAB_CACHE'] ?? path.join(directory, 'cache')), prefix: own };
}

export const switchNamespace = (place: LabPlace): string => `${place.prefix}-sw`;
export const hostNamespace = (place: LabPlace, name: string): string => `${place.prefix}-${name}`;

/** 1, 3 or 5 coordinators: as many as can form a majority without a tie. */
export function coordinatorCount(nodes: number): number {
  return nodes >= 5 ? 5 : nodes >= 3 ? 3 : 1;
}

export function labHosts(place: LabPlace, nodes: number): LabHost[] {
  return Array.from({ length: nodes }, (_, index) => {
    const number = index + 1;
    const name = `hv${number}`;
    return {
      number,
      name,
      address: `10.77.0.1${number}`,
      coordinator: number <= coordinatorCount(nodes),
      folder: path.join(place.directory, 'hosts', name),
    };
  });
}

/** @throws AppError 'not-found' when the lab has no such host. */
export function findHost(place: LabPlace, state: LabState, name: string): LabHost {
  const host = labHosts(place, state.nodes).find((candidate) => candidate.name === name);
  if (host === undefined) throw new AppError('not-found', 'no such host in this lab', { host: name, nodes: state.nodes });
  return host;
}

export function newState(options: { nodes: number; accel: Accel; apiPort: number; bare: boolean; storage: boolean }): LabState {
  return { version: 1, ...options, token: randomToken(16), secretKey: randomToken(24), seed: randomUUID() };
}

const stateFile = (place: LabPlace): string => path.join(place.directory, 'lab.json');

/** The state of the lab, or undefined when there is none. */
export async function readState(place: LabPlace): Promise<LabState | undefined> {
  const text = await readOptional(stateFile(place));
  return text === undefined ? undefined : labState.parse(JSON.parse(text));
}

export async function writeState(place: LabPlace, state: LabState): Promise<void> {
  await mkdir(place.directory, { recursive: true });
  await writeWhole(stateFile(place), JSON.stringify(state), 0o600);
}

/** Text of the file, or undefined when it does not exist. */
export async function readOptional(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
}

/** A reader sees the old text or the new one, never a part. */
export async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  await writeFile(temporary, text, { mode });
  await chmod(temporary, mode);
  await rename(temporary, file);
}

/** Bringing a lab of seven up may take this long on a busy machine; nothing holds the lock longer. */
const LOCK_WAIT_MS = 180_000;

/** Runs `work` while no other command changes this lab. A lock whose owner has died is taken over. */
export async function withLock<T>(place: LabPlace, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  await mkdir(place.directory, { recursive: true });
  const file = path.join(place.directory, 'lock');
  await waitFor({ what: 'another lab command to end', timeoutMs: LOCK_WAIT_MS, signal }, async () => ((await takeLock(file)) ? true : undefined));
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function takeLock(file: string): Promise<boolean> {
  const me = await identify(process.pid);
  try {
    const handle = await open(file, 'wx', 0o600);
    await handle.writeFile(JSON.stringify(me));
    await handle.close();
    return true;
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
  }
  const owner = processId.safeParse(parseJson((await readOptional(file)) ?? ''));
  // An unreadable lock was made by a command that is just writing it, or that died doing so.
  if (owner.success && !(await isAlive(owner.data))) await rm(file, { force: true });
  return false;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
