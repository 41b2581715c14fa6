/** What it writes over and over, in MiB; it does so several times a second. */
const BUSY_MIB = 16;

/** Said on the console from when on it writes. */
export const BUSY_SIGN = 'GUEST: busy';

/**
 * The test guest as a program that changes its memory faster than it can be copied: process 1 is a shell that starts the writer and goes on as
 * the guest's own. Kernel parameters behind `--` are process 1's arguments, and quotes hold one together (admin-guide/kernel-parameters of Linux).
 */
export function busyGuestXml(xml: string): string {
  // Pages of zeros would not be copied.
  const fill = `tr '\\000' x </dev/zero | head -c 1048576 >/run/p; i=0; while [ $i -lt ${BUSY_MIB} ]; do cat /run/p >>/run/a; i=$((i+1)); done`;
  const write = 'while :; do dd if=/run/a of=/run/b bs=1M conv=notrunc 2>/dev/null; done';
  const script = `export PATH=/bin; mount -t devtmpfs dev /dev; (${fill}; echo ${BUSY_SIGN} >/dev/console; ${write}) & exec /init`;
  const escaped = script.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return xml.replace('</cmdline>', ` rdinit=/bin/sh -- -c "${escaped}"</cmdline>`);
}
