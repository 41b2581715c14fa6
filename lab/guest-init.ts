/** Sector of /dev/vda that holds the disk's counter: in the gap before a first partition, so that a disk with one may be used. */
const COUNTER_SECTOR = 8;

/** On the second serial port, if there is one; not from the terminal itself, or the shell would prompt. */
const SECOND_SHELL = `if stty -F /dev/ttyS1 raw -echo 2>/dev/null; then
  (
    while :; do
      cat /dev/ttyS1 | sh >/dev/ttyS1 2>&1
      sleep 1
    done
  ) &
fi
`;

/**
 * Process 1 of the test guest. Says `GUEST: up SECONDS` when it runs, then `GUEST: count N` each second on the serial console; with a disk it
 * reads the counter there (`GUEST: disk counter at boot=N`) and writes it each second, which shows lost writes and double running. Says each
 * address that it takes (`GUEST: address eth0 …`). A second serial port, where there is one, has a shell.
 */
export function guestInit(modules: readonly string[]): string {
  return `#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for module in ${modules.join(' ')}; do insmod /lib/$module || echo "GUEST: $module was refused"; done
read up rest </proc/uptime
echo "GUEST: up $up"
# The kernel hands its parameters on: guest=NAME is the name.
if [ -n "$guest" ]; then hostname "$guest"; fi
acpid -d -f -c /etc/acpi >/dev/null 2>&1 &
if [ -e /sys/class/net/lo ]; then ip link set lo up; fi
for device in /sys/class/net/eth*; do
  if [ -e "$device" ]; then
    name=\${device##*/}
    ip link set "$name" up
    udhcpc -b -S -x "hostname:\${guest:-guest}" -i "$name" -p "/run/udhcpc.$name" -s /etc/udhcpc.script -t 60 -T 1 -A 2 >/dev/null 2>&1 &
  fi
done
disk=0
if [ -b /dev/vda ]; then
  disk=$(dd if=/dev/vda bs=512 count=1 skip=${COUNTER_SECTOR} 2>/dev/null | tr -d '\\0' | sed -n 's/^cnt=\\([0-9]*\\).*/\\1/p')
  disk=\${disk:-0}
  echo "GUEST: disk counter at boot=$disk"
fi
(
  count=0
  known=
  while :; do
    count=$((count + 1))
    echo "GUEST: count $count"
    if [ -b /dev/vda ]; then
      disk=$((disk + 1))
      printf 'cnt=%-508s' "$disk" | dd of=/dev/vda bs=512 count=1 seek=${COUNTER_SECTOR} conv=notrunc,fsync 2>/dev/null || echo "GUEST: disk write failed"
    fi
    while read -r raw index length scope flags device; do
      # Global, and neither tentative nor refused by somebody who has it already.
      if [ "$scope" = 00 ] && [ $((0x$flags & 0x48)) = 0 ] && [ "\${known#*"$raw"}" = "$known" ]; then
        known="$known $raw"
        echo "GUEST: address $device $(ip -6 -o addr show dev "$device" scope global | sed -n 's/.*inet6 \\([^/]*\\).*/\\1/p' | tr '\\n' ' ')"
      fi
    done </proc/net/if_inet6
    sleep 1
  done
) &
${SECOND_SHELL}while :; do
  setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
  sleep 1
done
`;
}

/** Run by udhcpc with what it learned in its environment. */
export const UDHCPC_SCRIPT = `#!/bin/sh
case "$1" in
  deconfig) ip -4 addr flush dev "$interface" ;;
  bound | renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/\${mask:-24}" dev "$interface"
    if [ -n "$mtu" ]; then ip link set "$interface" mtu "$mtu"; fi
    if [ -n "$dns" ]; then
      echo "search \${search:-$domain}" >/etc/resolv.conf
      for server in $dns; do echo "nameserver $server"; done >>/etc/resolv.conf
    fi
    if [ -n "$router" ]; then ip route replace default via "\${router%% *}"; fi
    echo "GUEST: address $interface $ip" >/dev/console
    ;;
esac
`;

export const POWER_BUTTON_SCRIPT = `#!/bin/sh
echo "GUEST: power button" >/dev/console
sync
poweroff -f
`;
