import { randomToken } from '../../common/ids.ts';
import { chmod, chown, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { hasErrno } from './errno.ts';

/** Keeps the drafts of two writers apart. */
const DRAFT_BYTES = 4;

/** Who may read a file besides root. */
export interface FileAccess {
  readonly mode: number;
  /** Number of the group that it belongs to; absent: root's. */
  readonly gid?: number;
}

/** Puts a file in place whole or not at all: a reader sees the old text or the new one. */
export async function writeAtomically(file: string, text: string, access: FileAccess): Promise<void> {
  const draft = `${file}.${randomToken(DRAFT_BYTES)}`;
  try {
    const handle = await open(draft, 'wx', access.mode);
    try {
      await handle.writeFile(text);
      if (access.gid !== undefined) await chown(draft, 0, access.gid);
      // Once more, whatever the process's mask took away.
      await handle.chmod(access.mode);
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await unlinkOptional(draft);
    throw error;
  }
}

/** @returns undefined without a file. */
export async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

export async function unlinkOptional(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

/** A folder through which other users may pass to files that they know, whatever the process's mask says. */
export async function makePassage(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o711);
}
