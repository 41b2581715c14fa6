import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DhcpLease6 } from '../../common/schema/network.ts';
import type { Namespace, PrivateLan } from './private-lan.ts';
import { until } from './until.ts';

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

/** Process id in a file, a line that may not be written yet. */
async function pidIn(file: string): Promise<number> {
  const read = async (): Promise<string> => (existsSync(file) ? readFile(file, 'utf8') : '');
  await until(async () => /^\d+\n$/u.test(await read()), LIMIT_MS, 'the process id of dhclient');
  return Number(await read());
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
  if (mode !== 'release') await rm(pid, { force: true });
  await guest.run(['/usr/sbin/dhclient', '-6', ...way, '-D', 'LL', '-cf', config, '-lf', leases, '-pf', pid, '-sf', script, '-e', `PVC_TOLD=${told}`, 'eth0'], { timeoutMs: LIMIT_MS });
  // It goes to the background once it has its answer, and only there writes who it is.
  if (mode !== 'release') process.kill(await pidIn(pid));
  return toldIn(told);
}

/** Sends one RENEW (RFC 8415, section 18.2.4) and prints the valid lifetime that the REPLY gives its address, in seconds. */
const RENEW_6 = `
import socket, struct, sys
duid, server, iaid, address = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3]), socket.inet_pton(socket.AF_INET6, sys.argv[4])
option = lambda code, data: struct.pack("!HH", code, len(data)) + data
held = struct.pack("!III", iaid, 0, 0) + option(5, address + struct.pack("!II", 0, 0))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(5)
index = socket.if_nametoindex("eth0")
s.bind(("::", 546)); s.sendto(b"\\x05abc" + option(1, duid) + option(2, server) + option(8, b"\\0\\0") + option(3, held), ("ff02::1:2", 547, 0, index))
while True:
    reply = s.recv(2000)
    if reply[:4] != b"\\x07abc": continue
    at = reply.find(struct.pack("!HH", 5, 24) + address)
    print(struct.unpack("!I", reply[at + 24:at + 28])[0] if at >= 0 else 0)
    break
`;

/**
 * Renews an IPv6 lease as its client does at half of its time, with nothing but what the lease's document says.
 * @returns the valid lifetime in the answer, in seconds; 0 when the server does not renew it.
 */
export async function renewDhcp6(guest: Namespace, { serverDuid, lease }: { serverDuid: string; lease: DhcpLease6 }): Promise<number> {
  const hex = (duid: string): string => duid.replaceAll(':', '');
  const { stdout } = await guest.run(['/usr/bin/python3', '-c', RENEW_6, hex(lease.clientDuid), hex(serverDuid), lease.iaid, lease.address], { timeoutMs: LIMIT_MS });
  return Number(stdout);
}
