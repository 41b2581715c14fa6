import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import type { CephAccess } from '../../common/config.ts';

/** What of Ceph's own files the guests' disks need. */
export interface CephFiles {
  /** The cluster's id, lower case. @throws AppError 'component' when the configuration has none. */
  fsid(): Promise<string>;
  /** The key of a client, as its bytes. @throws AppError 'component' when the keyring does not have it. */
  key(client: string, keyringFile: string): Promise<Buffer>;
}

const uuid = z.uuid().toLowerCase();
/** CryptoKey of Ceph (src/auth/Crypto.cc), 28 bytes for AES. */
const base64Key = z.base64().min(36).max(4_096);

/** Reads them anew each time: an operator may replace a key. */
export class HostCephFiles implements CephFiles {
  readonly #configFile: string;

  constructor({ config_file: configFile }: Pick<CephAccess, 'config_file'>) {
    this.#configFile = configFile;
  }

  async fsid(): Promise<string> {
    const found = uuid.safeParse(valueOf(await text(this.#configFile), 'global', 'fsid'));
    if (!found.success) throw new AppError('component', "Ceph's configuration has no fsid", { file: this.#configFile });
    return found.data;
  }

  async key(client: string, keyringFile: string): Promise<Buffer> {
    const found = base64Key.safeParse(valueOf(await text(keyringFile), client, 'key'));
    if (!found.success) throw new AppError('component', 'the keyring has no key of the client', { file: keyringFile, client });
    return Buffer.from(found.data, 'base64');
  }
}

async function text(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new AppError('component', 'a file of Ceph cannot be read', { file }, { cause: error });
  }
}

/** The value of a key in a section. Ceph takes spaces, dashes and underscores in keys as one, and `#` and `;` begin comments. */
function valueOf(file: string, section: string, key: string): string | undefined {
  let current = '';
  let found: string | undefined;
  for (const line of file.split('\n').map((raw) => raw.replace(/(^|\s)[#;].*$/u, '').trim())) {
    const [, heading] = /^\[([^\]]+)\]$/u.exec(line) ?? [];
    if (heading !== undefined) current = heading.trim();
    const [, name = '', value = ''] = /^([^=]+?)\s*=\s*(.*)$/u.exec(line) ?? [];
    if (current === section && name.replaceAll(/[-_]/gu, ' ') === key) found = value;
  }
  return found;
}
