#!/bin/bash
# Process 1 of a host of the lab: makes the host's view of the machine, starts its services, and reaps orphans (which Node would not).
# Arguments: NAME FOLDER COMMAND...; FOLDER/mounts has one "SOURCE TARGET" a line.
set -eu
name=$1 folder=$2
shift 2

hostname "$name"
# The copies of the other hosts' namespaces would keep them alive after their end.
umount -R -l /run/netns 2>/dev/null || true
# /sys shows the network devices of the namespace that it was mounted in.
umount -R -l /sys
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/lock /run/libvirt /run/sshd /run/pvc /run/lab /run/ceph
while read -r source target; do
  if [ -e "$target" ]; then mount --bind "$source" "$target"; fi
done <"$folder/mounts"
# Otherwise bridged frames pass the IP forward chain as well.
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
  echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
fi

trap 'exit 0' TERM
"$@" </dev/null &
status=0
wait $! || status=$?
echo "the services' supervisor ended with status $status: the host goes down" >&2
exit 1
