import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run, type Command } from '../common/process.ts';
import { cephConf, cephFsid, cephMonitors, monitorAddress, osdId, osdUuid } from './ceph-config.ts';
import { hostKeyrings, makeCephKeys, monitorKeyring, osdKeyring, type CephKeys } from './ceph-keys.ts';
import { labHosts, readOptional, type LabHost, type LabPlace, type LabState } from './state.ts';

/** Making an OSD takes 2 to 4 s on a quiet machine. */
const MAKE_TIMEOUT_MS = 120_000;

/** Of the host, as the machine sees it; inside the host `/etc/ceph` and so on. */
const onDisk = (host: LabHost, ...file: string[]): string => path.join(host.folder, 'disk', ...file);

/** Folders of a host that hold Ceph's files: [below the host's folder, where it appears]. */
export const CEPH_MOUNTS = [
  ['disk/etc-ceph', '/etc/ceph'],
  ['disk/var-lib-ceph', '/var/lib/ceph'],
  ['disk/var-log-ceph', '/var/log/ceph'],
] as const;

/**
 * Writes Ceph's configuration, keys and data to the hosts' disks, before the hosts are on: neither monitors nor OSDs need the network for it.
 * Data of an earlier boot stays. What was being made when a lab died is made again.
 */
export async function installCeph(place: LabPlace, state: LabState): Promise<void> {
  const keys = await makeCephKeys(place, state);
  const hosts = labHosts(place, state.nodes);
  for (const host of hosts) await writeCephFiles(place, state, host, keys);
  const workshop = path.join(place.directory, 'ceph-workshop');
  await rm(workshop, { recursive: true, force: true });
  await mkdir(workshop, { recursive: true });
  const monitorMap = path.join(workshop, 'monmap');
  const members = cephMonitors(place, state).flatMap((host) => ['--addv', host.name, `[${monitorAddress(host)}]`]);
  await make(['monmaptool', '--create', '--fsid', cephFsid(state), ...members, monitorMap]);
  const keyring = path.join(workshop, 'keyring');
  await writeFile(keyring, monitorKeyring(place, state, keys), { mode: 0o600 });
  await Promise.all([
    ...cephMonitors(place, state).map((host) => makeMonitor(host, { monitorMap, keyring })),
    ...hosts.map((host) => makeOsd(state, host, { monitorMap, keyring: osdKeyring(host, keys) })),
  ]);
  await rm(workshop, { recursive: true, force: true });
}

async function writeCephFiles(place: LabPlace, state: LabState, host: LabHost, keys: CephKeys): Promise<void> {
  for (const [folder] of CEPH_MOUNTS) await mkdir(path.join(host.folder, folder), { recursive: true });
  await writeFile(onDisk(host, 'etc-ceph/ceph.conf'), cephConf(place, state), { mode: 0o644 });
  for (const [file, text] of hostKeyrings(host, keys)) {
    await mkdir(path.dirname(onDisk(host, file)), { recursive: true });
    await writeFile(onDisk(host, file), text, { mode: 0o600 });
  }
}

/** Runs `work` on a folder that becomes `folder` when it is done, unless that is there already. */
async function madeOnce(folder: string, work: (unfinished: string) => Promise<void>): Promise<void> {
  const marker = path.join(folder, 'made-by-lab');
  if ((await readOptional(marker)) !== undefined) return;
  const unfinished = `${folder}.unfinished`;
  for (const old of [folder, unfinished]) await rm(old, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  await work(unfinished);
  await writeFile(path.join(unfinished, path.basename(marker)), '');
  await rename(unfinished, folder);
}

async function makeMonitor(host: LabHost, files: { monitorMap: string; keyring: string }): Promise<void> {
  await madeOnce(onDisk(host, `var-lib-ceph/mon/ceph-${host.name}`), async (folder) => {
    await make(['ceph-mon', '--mkfs', ...common(host), '-i', host.name, '--mon-data', folder, '--monmap', files.monitorMap, '--keyring', files.keyring]);
  });
}

async function makeOsd(state: LabState, host: LabHost, how: { monitorMap: string; keyring: string }): Promise<void> {
  await madeOnce(onDisk(host, `var-lib-ceph/osd/ceph-${osdId(host)}`), async (folder) => {
    await writeFile(path.join(folder, 'keyring'), how.keyring, { mode: 0o600 });
    const identity = ['-i', String(osdId(host)), '--osd-uuid', osdUuid(state, host), '--osd-data', folder];
    await make(['ceph-osd', '--mkfs', ...common(host), ...identity, '--monmap', how.monitorMap, '--no-mon-config']);
  });
}

/** The machine's own folders of Ceph are none of the lab's business, and it has no address in the lab's network. */
function common(host: LabHost): string[] {
  return ['-c', onDisk(host, 'etc-ceph/ceph.conf'), '--run-dir', path.join(host.folder, 'disk/var-log-ceph'), '--admin-socket=', '--public-addr', host.address, '--cluster-addr', host.address, '--log-to-stderr=true'];
}

async function make(command: Command): Promise<void> {
  await run(command, { timeoutMs: MAKE_TIMEOUT_MS });
}
