import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../common/process.ts';
import type { Namespace, PrivateLan } from './private-lan.ts';

const LIMIT_MS = 20_000;

/** What a client was told, by udhcpc's or dhclient's names. */
export type Told = ReadonlyMap<string, string>;

/**
 * busybox's client writes what it was told. To give it back it has to have the address, since it says so by a packet of its own, and
 * to be ended by a signal.
 */
const SCRIPT = `#!/bin/sh
case "$1" in
  bound|renew)
    env > "$PVC_TOLD"
    [ -z "$PVC_RELEASE" ] || { /usr/bin/ip address add "$ip/$mask" dev "$interface"; kill -TERM "$PPID"; } ;;
  deconfig) /usr/bin/ip -4 address flush dev "$interface" ;;
esac
`;

const SCRIPT_6 = `#!/bin/sh
env > "$PVC_TOLD"
`;

async function toldIn(file: string): Promise<Told> {
  const text = await readFile(file, 'utf8');
  return new Map(text.split('\n').flatMap((line) => (line.includes('=') ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const] : [])));
}

export interface AskOptions {
  hostname?: string;
  /** Address that the client has had. */
  request?: string;
  /** Gives the address back at the end. */
  release?: boolean;
}

/** One whole DHCPv4 exchange by busybox's udhcpc. @throws AppError 'component' without an answer. */
export async function askDhcp4(lan: PrivateLan, guest: Namespace, { hostname, request, release }: AskOptions = {}): Promise<Told> {
  const script = await lan.file('udhcpc.sh', SCRIPT, 0o755);
  const told = join(lan.folder, `told-${guest.pid}`);
  await rm(told, { force: true });
  const args = ['-f', release === true ? '-R' : '-q', '-n', '-t', '5', '-T', '2', '-i', 'eth0', '-s', script, '-O', 'mtu', '-O', 'search', '-O', 'ntpsrv'];
  if (hostname !== undefined) args.push('-x', `hostname:${hostname}`);
  if (request !== undefined) args.push('-r', request);
  await guest.run(['/usr/bin/busybox', 'udhcpc', ...args], { timeoutMs: LIMIT_MS, env: { PVC_TOLD: told, PVC_RELEASE: release === true ? 'yes' : '' } });
  return toldIn(told);
}

/** Asks for, renews or gives back an address by ISC's dhclient; `-6 -S` asks for options only. The client's DUID is from its MAC address. */
export async function askDhcp6(lan: PrivateLan, guest: Namespace, mode: 'address' | 'release' | 'information', hostname?: string): Promise<Told> {
  const script = await lan.file('dhclient.sh', SCRIPT_6, 0o755);
  const name = hostname === undefined ? '' : `send fqdn.fqdn "${hostname}";\n`;
  const config = await lan.file(`dhclient-${guest.pid}.conf`, `${name}also request dhcp6.sntp-servers;\n`);
  const [told, leases, pid] = ['told6', 'leases6', 'pid6'].map((file) => join(lan.folder, `${file}-${guest.pid}`)) as [string, string, string];
  const way = { address: ['-1'], release: ['-r'], information: ['-1', '-S'] }[mode];
  await guest.run(['/usr/sbin/dhclient', '-6', ...way, '-D', 'LL', '-cf', config, '-lf', leases, '-pf', pid, '-sf', script, '-e', `PVC_TOLD=${told}`, 'eth0'], { timeoutMs: LIMIT_MS });
  // It goes to the background once it has its answer.
  if (mode !== 'release') await run(['/bin/kill', (await readFile(pid, 'utf8')).trim()], { timeoutMs: LIMIT_MS });
  return toldIn(told);
}
