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
mount --bind "$folder/hosts" /etc/hosts
# Without /dev/kvm: where it is there but closed to QEMU's user, libvirt asks QEMU for its abilities before every call, which takes seconds.
mkdir /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /run/dev/
# For the guests' cards, which then are in this network namespace.
if [ -e /dev/net/tun ]; then mkdir /run/dev/net && cp -a /dev/net/tun /run/dev/net/; fi
mkdir /run/dev/pts /run/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts /run/dev/pts
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
mount --move /run/dev /dev
ip link set lo up
virtlogd -d
libvirtd -d
touch "$folder/booted"
read -r || true
