#!/bin/bash
# Process 1 of a private host with libvirt. Arguments: NAME FOLDER OUTER_NET OUTER_MNT OUTER_PID; it ends, and everything with it, when its
# standard input does: so it cannot outlive the test.
set -eu
name=$1 folder=$2
for kind in "net $3" "mnt $4" "pid $5"; do
  read -r what outer <<<"$kind"
  if [ "$(readlink "/proc/self/ns/$what")" = "$outer" ]; then
    echo "refused: this is the machine's own $what namespace" >&2
    exit 1
  fi
done
hostname "$name"
umount -R -l /run/netns 2>/dev/null || true
umount -R -l /sys
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/lock /run/libvirt /run/sshd
mount --bind "$folder/etc-libvirt" /etc/libvirt
for part in lib cache log; do mount --bind "$folder/var-$part-libvirt" "/var/$part/libvirt"; done
ip link set lo up
virtlogd -d
libvirtd -d
touch "$folder/booted"
read -r || true
