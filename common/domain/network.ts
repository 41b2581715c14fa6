import type { NodeName } from '../ids.ts';
import { macAddress, VNI_MAX } from '../schema/network.ts';
import type { VmInterface, VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import type { DomainFacts } from './domain-xml.ts';

/** UDP port of VXLAN (IANA). */
export const VXLAN_PORT = 4_789;

/** The bridge that a network's guests are plugged into, on every node the same; definitions name it as the interface's source. */
export function bridgeName(vni: number): string {
  return `vmbr${vni}`;
}

/** The VXLAN device of a managed network. */
export function vxlanName(vni: number): string {
  return `vxlan${vni}`;
}

/** The VLAN device of a bridged network. */
export function vlanName(vni: number): string {
  return `vlan${vni}`;
}

/** Name of our tables in nftables. Every other table is somebody else's and is never touched. */
export const FIREWALL_TABLE = 'pvc';

/** The set of our tables that names each chain, with the mark of its content as the element's comment: nft does not print rules as they were given. */
export const FIREWALL_MARKS = 'marks';

/** Network of a bridge's name; undefined for a bridge that is not ours. */
export function vniOfBridge(name: string): number | undefined {
  const digits = /^vmbr([1-9]\d{0,7})$/u.exec(name)?.[1];
  const vni = Number(digits);
  return digits !== undefined && vni <= VNI_MAX ? vni : undefined;
}

/** Network of one of our links' names; undefined for a name that is not ours. */
export function vniOfLink(name: string): number | undefined {
  const digits = /^(?:vmbr|vxlan|vlan)([1-9]\d{0,7})$/u.exec(name)?.[1];
  const vni = Number(digits);
  return digits !== undefined && vni <= VNI_MAX ? vni : undefined;
}

/**
 * Largest MTU inside a VXLAN network.
 * @param underlay MTU in bytes of the device that carries the tunnels, and the family of its addresses.
 * @returns MTU in bytes: 50 less over IPv4 and 70 less over IPv6: outer IP 20 or 40, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348, section 5).
 */
export function vxlanMtu(underlay: { mtu: number; family: 4 | 6 }): number {
  return underlay.mtu - (underlay.family === 4 ? 50 : 70);
}

/**
 * Name of the tap device of a guest's interface: it follows from the MAC address, so the firewall can know it before the guest runs.
 * 15 characters, the kernel's limit (IFNAMSIZ); libvirt keeps a name that does not begin with `vnet`.
 */
export function tapName(mac: string): string {
  return `tap${mac.replaceAll(':', '')}`;
}

/** MAC address in the name of a guest's tap device; undefined for another device. */
export function macOfTap(name: string): string | undefined {
  const digits = /^tap([0-9a-f]{12})$/u.exec(name)?.[1];
  return digits?.match(/../gu)?.join(':');
}

/** The interfaces of a definition that are plugged into networks of the cluster and have a MAC address. */
export function clusterInterfaces(facts: Pick<DomainFacts, 'networks'>): VmInterface[] {
  return facts.networks.flatMap(({ type, source, mac }) => {
    const network = type === 'bridge' ? vniOfBridge(source) : undefined;
    const address = macAddress.safeParse(mac.toLowerCase());
    return network === undefined || !address.success ? [] : [{ mac: address.data, vni: network }];
  });
}

/** Nodes where the VM is, goes to, or may be started: each of them needs the VM's networks. */
export function nodesOfVm(spec: Pick<VmSpec, 'node'>, status: Pick<VmStatus, 'owner' | 'phase'> | undefined): NodeName[] {
  const nodes = new Set([spec.node]);
  if (status?.owner != null) nodes.add(status.owner);
  if (status?.phase.kind === 'migrating') nodes.add(status.phase.target);
  return [...nodes];
}
