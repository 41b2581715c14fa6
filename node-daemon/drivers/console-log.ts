import { watch, type FSWatcher } from 'node:fs';
import { mkdir, open, readdir, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../common/errors.ts';
import { vmId, type VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { hasErrno } from './errno.ts';

/** A place in one incarnation of a log file. */
export interface ConsolePosition {
  /** Changes when the file is replaced. */
  readonly fileId: string;
  readonly offsetBytes: number;
}

export interface ConsoleChunk {
  readonly bytes: Buffer;
  /** Where `bytes` ends. */
  readonly end: ConsolePosition;
  /** False when something before `bytes` is lost: the file was cut, or has grown by more than is read at once. */
  readonly continuous: boolean;
}

/** What the guests of this host print on their serial consoles, as files `<uuid>.log` of one directory. */
export interface ConsoleLogs {
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Told, often, whenever a guest may have printed something. */
  listen(listener: (vm: VmId) => void): () => void;
  /** VMs with a file here. */
  list(): Promise<readonly VmId[]>;
  /** What follows `from`, or the file's end part when there is no such place in it; undefined without a file. */
  read(vm: VmId, from: ConsolePosition | undefined): Promise<ConsoleChunk | undefined>;
  /** Removes the files of a VM. None is fine. */
  remove(vm: VmId): Promise<void>;
}

/** Read at once, at most: several times what is kept of a console. */
const READ_MAX_BYTES = 1024 * 1024;

/** The number that virtlogd gives to the file it has just rotated (virtlogd.conf, max_backups). */
const ROTATED_SUFFIX = '.0';

const LOG_FILE = /^(?<uuid>[0-9a-f-]{36})\.log(?:\.\d+)?$/u;

function vmOfFile(name: string): VmId | undefined {
  const uuid = LOG_FILE.exec(name)?.groups?.['uuid'];
  return vmId.safeParse(uuid).data;
}

/** Follows the directory with one inotify watch, so that guests that print nothing cost nothing. */
export class FileConsoleLogs implements ConsoleLogs {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #listeners = new Set<(vm: VmId) => void>();
  #watcher: FSWatcher | undefined;

  constructor(deps: { directory: string; log: Logger }) {
    this.#directory = deps.directory;
    this.#log = deps.log;
  }

  /** QEMU itself opens the files where libvirt runs without virtlogd, hence others may pass through the directory. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#watcher !== undefined) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o711 });
    this.#watcher = watch(this.#directory, { persistent: false }, (_event, name) => this.#changed(name));
    this.#watcher.on('error', (error) => this.#log.warn({ directory: this.#directory, why: describeError(error) }, 'consoles are followed by the sweep only'));
  }

  async stop(): Promise<void> {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  listen(listener: (vm: VmId) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async list(): Promise<readonly VmId[]> {
    const names = await readdir(this.#directory);
    return [...new Set(names.flatMap((name) => vmOfFile(name) ?? []))];
  }

  async read(vm: VmId, from: ConsolePosition | undefined): Promise<ConsoleChunk | undefined> {
    const file = join(this.#directory, `${vm}.log`);
    const current = await openOptional(file);
    if (current === undefined) return undefined;
    try {
      const chunk = await readFollowing(current, from);
      if (from === undefined || chunk.end.fileId === from.fileId) return chunk;
      const before = await this.#rotatedRest(`${file}${ROTATED_SUFFIX}`, from);
      return before === undefined ? chunk : { ...chunk, bytes: Buffer.concat([before, chunk.bytes]) };
    } finally {
      await current.close();
    }
  }

  async remove(vm: VmId): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (vmOfFile(name) === vm) await unlinkOptional(join(this.#directory, name));
    }
  }

  #changed(name: string | null): void {
    const vm = name === null ? undefined : vmOfFile(name);
    if (vm !== undefined) for (const listener of this.#listeners) listener(vm);
  }

  /** What was printed between the last read and the rotation. */
  async #rotatedRest(file: string, from: ConsolePosition): Promise<Buffer | undefined> {
    const handle = await openOptional(file);
    if (handle === undefined) return undefined;
    try {
      const chunk = await readFollowing(handle, from);
      return chunk.end.fileId === from.fileId && chunk.continuous ? chunk.bytes : undefined;
    } finally {
      await handle.close();
    }
  }
}

async function readFollowing(handle: FileHandle, from: ConsolePosition | undefined): Promise<ConsoleChunk> {
  const stat = await handle.stat();
  const fileId = `${stat.ino}-${stat.birthtimeMs}`;
  const known = from !== undefined && from.fileId === fileId && from.offsetBytes <= stat.size;
  const wanted = known ? from.offsetBytes : 0;
  const start = Math.max(wanted, stat.size - READ_MAX_BYTES);
  const buffer = Buffer.alloc(stat.size - start);
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
  return { bytes: buffer.subarray(0, bytesRead), end: { fileId, offsetBytes: start + bytesRead }, continuous: start === wanted };
}

async function openOptional(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function unlinkOptional(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}
