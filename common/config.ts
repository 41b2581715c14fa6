import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { AppError } from './errors.ts';

/** sysexits.h EX_CONFIG: systemd is told not to start again after it. */
export const EXIT_CONFIG = 78;

/**
 * Reads a YAML file through one strict schema.
 * @throws AppError 'invalid' with `details.faults`: every fault at once, each as `key: what is wrong`.
 */
export async function loadConfig<S extends z.ZodType>(file: string, schema: S): Promise<z.infer<S>> {
  const document = await readYaml(file);
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${issue.path.join('.') || '(top level)'}: ${issue.message}`);
  throw new AppError('invalid', 'configuration is not valid', { file, faults });
}

async function readYaml(file: string): Promise<unknown> {
  try {
    const parsed: unknown = parse(await readFile(file, 'utf8'));
    return parsed;
  } catch (error) {
    throw new AppError('invalid', 'configuration cannot be read', { file, faults: [String(error)] }, { cause: error });
  }
}

export const ipAddress = z.union([z.ipv4(), z.ipv6()]);
export const cidr = z.union([z.cidrv4(), z.cidrv6()]);
export const tcpPort = z.int().min(1).max(65_535);
export const absolutePath = z.string().regex(/^\/[^\0]*$/u, 'must be an absolute path');
/** `host:port`, as ZooKeeper's connection string has it. */
export const hostAndPort = z.string().regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/u, 'must be host:port');

/** A Ceph user that is a client, with its type. */
export const cephClient = z.string().regex(/^client\.[A-Za-z0-9._-]{1,64}$/u, 'must be client.NAME');

/** How a program reaches Ceph. */
export const cephAccess = z.strictObject({
  config_file: absolutePath.default('/etc/ceph/ceph.conf'),
  client: cephClient.default('client.pvc'),
  /** Holds the key of `client`. */
  keyring_file: absolutePath.default('/etc/ceph/ceph.client.pvc.keyring'),
});
export type CephAccess = z.infer<typeof cephAccess>;
