/** Where the guest's root comes from: tags of QEMU's shared folders. */
export const ROOT_TAG = 'root';
export const JOB_TAG = 'job';

/**
 * Process 1 of a guest that has this machine's root: read-only over 9p, with what is written in memory. Before it hands over to
 * systemd it runs `prepare` of the job folder, with the root at /new, the job folder at /job and busybox at $busybox.
 */
export function machineInit(modules: readonly string[]): string {
  return `#!/bin/busybox sh
export busybox=/bin/busybox
fail() { $busybox echo "MACHINE: $1"; $busybox poweroff -f; }
share() { $busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 "$1" "$2" || fail "no share $1"; }
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
for module in ${modules.join(' ')}; do $busybox insmod /lib/$module || fail "$module was refused"; done
share ${ROOT_TAG} /lower
share ${JOB_TAG} /job
$busybox mount -t tmpfs tmpfs /upper
$busybox mkdir /upper/files /upper/work
$busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new || fail 'no overlay'
$busybox sh -e /job/prepare || fail 'the preparation failed'
for folder in dev proc sys; do $busybox mount -o move /$folder /new/$folder; done
exec $busybox switch_root /new /lib/systemd/systemd
`;
}
