import type { VmView } from '../../common/view/vm.ts';
import type { Connection } from '../connection.ts';
import { NetworkClient } from '../network-client.ts';
import { VmClient } from '../vm-client.ts';

export interface PrivateNetwork {
  vni: number;
  /** What to call it; its hosts are in the domain `<description>.local`. */
  description: string;
  /** Such as 10.5.0.0/24. */
  ip4Network: string;
  ip4Gateway: string;
  /** First and last address that DHCP gives out. */
  dhcp4: readonly [string, string];
}

/**
 * Makes a network that only its guests are in, and two VMs with an interface each in it, and waits until both run.
 * @param definition the libvirt domain definition of the VM of this name, given its interface's element.
 * @param limitMs longest wait for each VM, in milliseconds.
 */
export async function twoVmsAndANetwork(
  connection: Connection,
  network: PrivateNetwork,
  { names, definition, limitMs }: { names: readonly [string, string]; definition: (name: string, networkInterface: string) => string; limitMs: number },
): Promise<VmView[]> {
  const vms = new VmClient(connection);
  const { vni, description, ip4Network, ip4Gateway, dhcp4 } = network;
  await new NetworkClient(connection).create({
    vni,
    description,
    nettype: 'managed',
    ip4_network: ip4Network,
    ip4_gateway: ip4Gateway,
    dhcp4: true,
    dhcp4_start: dhcp4[0],
    dhcp4_end: dhcp4[1],
  });
  const networkInterface = `<interface type="bridge"><source bridge="vmbr${vni}"/><model type="virtio"/></interface>`;
  for (const name of names) {
    await vms.define(definition(name, networkInterface));
    await vms.start(name);
  }
  return Promise.all(names.map((name) => vms.waitVm(name, 'start', { limitMs })));
}
