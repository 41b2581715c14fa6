import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../common/process.ts';
import type { GuestShell } from './guest-shell.ts';
import type { Lab } from './lab.ts';

const STEP_LIMIT_MS = 30_000;
const CLIENT = '/usr/sbin/dhclient';

/** The guest keeps its counter in an early sector of its disk. */
const OFFSET_KIB = 64;

const SCRIPT = `#!/bin/sh
case "$reason" in BOUND6) ip -6 addr add "$new_ip6_address/$new_ip6_prefixlen" dev "$interface" ;; esac
`;

/** Busybox in the test guest has no client for DHCPv6: the machine's own, on a disk. @returns the definition of the guest with the disk. */
export async function withDhclient(lab: Lab, xml: string): Promise<string> {
  const { directory } = lab.place;
  const { stdout } = await run(['ldd', CLIENT], { timeoutMs: STEP_LIMIT_MS });
  const libraries = [...stdout.matchAll(/(\/\S+)/gu)].map((match) => match[1]!);
  const [archive, disk] = [path.join(directory, 'dhclient.tar'), path.join(directory, 'dhclient.img')];
  await writeFile(path.join(directory, 'dhclient-script'), SCRIPT, { mode: 0o755 });
  await run(['tar', '--create', '--dereference', '--file', archive, '--directory', '/', ...[CLIENT, ...libraries].map((file) => file.slice(1)), '--directory', directory, 'dhclient-script'], { timeoutMs: STEP_LIMIT_MS });
  await run(['dd', `if=${archive}`, `of=${disk}`, 'bs=1K', `seek=${OFFSET_KIB}`, 'status=none'], { timeoutMs: STEP_LIMIT_MS });
  const file = await open(disk, 'r+');
  // Whole sectors.
  await file.truncate(Math.ceil((await file.stat()).size / 4_096) * 4_096);
  await file.close();
  return xml.replace('</emulator>', `</emulator>\n    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>`);
}

/** Puts it into such a guest, where it has the device for itself: busybox's client, which asks for IPv4, has taken the link-local address off. */
export async function unpackDhclient(guest: GuestShell, device: string): Promise<void> {
  await guest.out(`kill $(cat /run/udhcpc.${device}); ip link set ${device} down && ip link set ${device} up`);
  await guest.out(`mkdir -p /var/db /var/run; dd if=/dev/vda bs=1k skip=${OFFSET_KIB} 2>/dev/null | tar -x -C /`);
}

/** Asks for one address by DHCPv6, as the device's MAC address (DUID-LL), and takes it. @throws Error with what the client said without an address. */
export async function takeDhcp6Address(guest: GuestShell, device: string): Promise<void> {
  await guest.out(`/usr/sbin/dhclient -6 -1 -v -D LL -cf /dev/null -lf /tmp/leases -pf /tmp/dhclient.pid -sf /dhclient-script ${device}`);
}
