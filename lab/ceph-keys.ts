import path from 'node:path';
import { z } from 'zod';
import { randomToken } from '../common/ids.ts';
import { cephManagers, osdId } from './ceph-config.ts';
import { labHosts, readOptional, writeWhole, type LabHost, type LabPlace, type LabState } from './state.ts';

/** Keys of Ceph's users, in base64. */
const cephKeys = z.record(z.string(), z.string());
export type CephKeys = z.infer<typeof cephKeys>;

export const CEPH_KEYS_FILE = 'ceph-keys.json';

/**
 * What each user may do. client.pvc: everything about OSDs and pools, reading the rest, and images in every pool; it can neither read nor make
 * keys of clients, nor change monitors, managers and the configuration. Removing an OSD goes through the manager. client.libvirt is what QEMU needs for a disk in any pool: it reads and writes
 * images, and shuts out a dead client that holds an image's lock.
 */
const CAPABILITIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'client.admin': { mon: 'allow *', mgr: 'allow *', osd: 'allow *', mds: 'allow *' },
  'client.bootstrap-osd': { mon: 'allow profile bootstrap-osd' },
  'client.pvc': { mon: 'profile rbd, allow r, allow service osd rw', mgr: "profile rbd, allow r, allow command 'osd destroy', allow command 'osd purge'", osd: 'profile rbd' },
  'client.libvirt': { mon: 'profile rbd', mgr: 'profile rbd', osd: 'profile rbd' },
};
const MANAGER_CAPABILITIES = { mon: 'allow profile mgr', osd: 'allow *', mds: 'allow *' };
const MONITOR_CAPABILITIES = { mon: 'allow *' };

/** All monitors share one user. */
const MONITOR = 'mon.';
const managerUser = (host: LabHost): string => `mgr.${host.name}`;
const osdUser = (host: LabHost): string => `osd.${osdId(host)}`;

/** Keys of an earlier boot, or new ones. */
export async function makeCephKeys(place: LabPlace, state: LabState): Promise<CephKeys> {
  const file = path.join(place.directory, CEPH_KEYS_FILE);
  const text = await readOptional(file);
  if (text !== undefined) return cephKeys.parse(JSON.parse(text));
  const users = [MONITOR, ...Object.keys(CAPABILITIES), ...cephManagers(place, state).map(managerUser), ...labHosts(place, state.nodes).map(osdUser)];
  const keys = Object.fromEntries(users.map((user) => [user, newKey()]));
  await writeWhole(file, JSON.stringify(keys), 0o600);
  return keys;
}

const KEY_BYTES = 16;
const KEY_TYPE_AES = 1;

/** CryptoKey of Ceph (src/auth/Crypto.cc): type, time of making in seconds and nanoseconds, length, secret; little endian. Nobody reads the time. */
function newKey(): string {
  const head = Buffer.alloc(12);
  head.writeUInt16LE(KEY_TYPE_AES, 0);
  head.writeUInt16LE(KEY_BYTES, 10);
  return Buffer.concat([head, Buffer.from(randomToken(KEY_BYTES), 'hex')]).toString('base64');
}

export function osdKey(keys: CephKeys, host: LabHost): string {
  return keys[osdUser(host)] ?? '';
}

/** What the monitors are made with: all users but those of OSDs, which come with their OSD. */
export function monitorKeyring(place: LabPlace, state: LabState, keys: CephKeys): string {
  const managers = cephManagers(place, state).map((host) => [managerUser(host), MANAGER_CAPABILITIES] as const);
  const users = [[MONITOR, MONITOR_CAPABILITIES] as const, ...Object.entries(CAPABILITIES), ...managers];
  return users.map(([user, capabilities]) => `${keyringOf(keys, user)}${Object.entries(capabilities).map(([kind, text]) => `\tcaps ${kind} = "${text}"\n`).join('')}`).join('');
}

function keyringOf(keys: CephKeys, user: string): string {
  return `[${user}]\n\tkey = ${keys[user] ?? ''}\n`;
}

/** Keyrings of a host: [file below the host's disk folder, text]. */
export function hostKeyrings(host: LabHost, keys: CephKeys): [string, string][] {
  return [
    ...['client.admin', 'client.pvc', 'client.libvirt'].map((user): [string, string] => [`etc-ceph/ceph.${user}.keyring`, keyringOf(keys, user)]),
    ['var-lib-ceph/bootstrap-osd/ceph.keyring', keyringOf(keys, 'client.bootstrap-osd')],
    [`var-lib-ceph/mgr/ceph-${host.name}/keyring`, keyringOf(keys, managerUser(host))],
  ];
}

export function osdKeyring(host: LabHost, keys: CephKeys): string {
  return keyringOf(keys, osdUser(host));
}
