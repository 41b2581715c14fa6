import { createHash } from 'node:crypto';
import { newVmId } from '../common/ids.ts';
import { CEPH_MONITOR_PORT } from './ceph-config.ts';
import type { GuestImage } from './guest-image.ts';
import type { Accel } from './state.ts';

export interface GuestOptions {
  name: string;
  memoryMib: number;
  accel: Accel;
  /** VNIs; one network card each. */
  networks: readonly number[];
  /** POOL/VOLUME; one disk each. */
  disks: readonly string[];
  /** How disks are reached; without disks of no use. */
  ceph: GuestCeph;
}

export interface GuestCeph {
  /** Addresses. */
  monitors: readonly string[];
  /** Of libvirt's secret with the key; the same on each host. */
  secretUuid: string;
}

/** Where a guest with a network card or a disk has a second shell, inside the host that runs it: a Unix socket, without echo and prompt. */
export const shellSocket = (name: string): string => `/run/lab/guest-${name}.sock`;

/** A guest without secrets does without what guards them and without self-tests, which are an eighth of its boot under emulation. */
const KERNEL_LINE = 'console=ttyS0 quiet tsc=reliable no_timer_check mitigations=off rodata=off init_on_alloc=0 cryptomgr.notests';

/** A domain definition of the test guest: name and UUID of its own, the UUID new with each call. */
export function guestXml(image: GuestImage, options: GuestOptions): string {
  const { name, memoryMib, accel } = options;
  const uuid = newVmId();
  return `<domain type='${accel === 'kvm' ? 'kvm' : 'qemu'}'>
  <name>${name}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>${memoryMib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>${image.kernel}</kernel>
    <initrd>${image.initramfs}</initrd>
    <cmdline>${KERNEL_LINE} guest=${name}</cmdline>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
${[...options.disks.map((disk, index) => diskXml(disk, index, options.ceph)), ...options.networks.map((vni) => networkXml(name, vni))].join('')}    <serial type='pty'>
      <log file='/var/log/libvirt/pvc/${uuid}.log' append='on'/>
      <target port='0'/>
    </serial>
${options.networks.length + options.disks.length === 0 ? '' : shellXml(name)}    <console type='pty'><target type='serial' port='0'/></console>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}

function shellXml(name: string): string {
  return `    <serial type='unix'>
      <source mode='bind' path='${shellSocket(name)}'/>
      <target port='1'/>
    </serial>
`;
}

function diskXml(disk: string, index: number, { monitors, secretUuid }: GuestCeph): string {
  const hosts = monitors.map((address) => `<host name='${address}' port='${CEPH_MONITOR_PORT}'/>`).join('');
  return `    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap'/>
      <auth username='libvirt'><secret type='ceph' uuid='${secretUuid}'/></auth>
      <source protocol='rbd' name='${disk}'>${hosts}</source>
      <target dev='vd${String.fromCharCode('a'.charCodeAt(0) + index)}' bus='virtio'/>
    </disk>
`;
}

function networkXml(name: string, vni: number): string {
  const hash = createHash('sha256').update(`${name}/${vni}`).digest('hex');
  return `    <interface type='bridge'>
      <mac address='52:54:00:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}'/>
      <source bridge='vmbr${vni}'/>
      <model type='virtio'/>
    </interface>
`;
}
