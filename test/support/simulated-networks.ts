import { createHash } from 'node:crypto';
import { z } from 'zod';
import { bridgeName, tapName, vlanName, vniOfLink, vxlanName } from '../../common/domain/network.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import { addressOf } from './simulated-daemon.ts';
import type { SimulatedHost } from './simulated-hosts.ts';
import type { SimulationRecord } from './simulated-record.ts';
import { firewallFaults, servingFaults } from './simulated-serving-faults.ts';

/** What a plan or a script says of a network, as the API's routes pass it on. */
export const networkSettings = z.strictObject({
  mtu: z.number().optional(),
  domain: z.string().optional(),
  ip4Network: z.string().nullable().optional(),
  ip4Gateway: z.string().nullable().optional(),
  dhcp4: z.boolean().optional(),
  dhcp4Start: z.string().nullable().optional(),
  dhcp4End: z.string().nullable().optional(),
  ip6Network: z.string().nullable().optional(),
  ip6Gateway: z.string().nullable().optional(),
  nat: z.boolean().optional(),
  antiSpoofing: z.boolean().optional(),
});

export const networkPlan = z.strictObject({ vni: z.number(), type: z.enum(['managed', 'bridged']).default('managed'), ...networkSettings.shape });

export interface NetworksView {
  readonly record: SimulationRecord;
  /** Hosts whose daemon runs. */
  readonly hosts: readonly SimulatedHost[];
  readonly coordinators: readonly string[];
}

/** The same VM has the same addresses in every run. */
export function macOf(vmName: string, at: number): string {
  const hex = createHash('sha256').update(`${vmName}/${at}`).digest('hex');
  return `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`;
}

/** What the hosts' links lack or have too much, by a look of its own at the documents; empty when all is well. */
export function networkFaults(view: NetworksView): string[] {
  const networks = view.record.all('network');
  const faultsOn = (host: SimulatedHost): string[] => [...networks.flatMap((network) => faultsOf(view, host, network)), ...leftovers(host, networks), ...servingFaults(view.record, host)];
  return view.hosts.flatMap((host) => faultsOn(host).map((fault) => `${host.name}: ${fault}`));
}

function faultsOf(view: NetworksView, host: SimulatedHost, network: NetworkSpec): string[] {
  if (!nodesOf(view, network).has(host.name)) return [];
  const { links } = host.links;
  const faults: string[] = [];
  const bridge = links.get(bridgeName(network.vni));
  const uplink = links.get(network.type === 'managed' ? vxlanName(network.vni) : vlanName(network.vni));
  if (bridge?.ours !== true || !bridge.up) faults.push(`network ${network.vni} has no bridge`);
  if (uplink?.ours !== true || !uplink.up || uplink.master !== bridge?.name) faults.push(`network ${network.vni} is not connected`);
  const status = view.record.doc('network-status', host.name)?.networks.find((one) => one.vni === network.vni);
  if (status === undefined || status.appliedVersion === null || status.error !== null) faults.push(`network ${network.vni} is reported as ${JSON.stringify(status)}`);
  return network.type === 'managed' ? [...faults, ...forwardingFaults(view, host, network), ...firewallFaults(view.record, host, network)] : faults;
}

function forwardingFaults(view: NetworksView, host: SimulatedHost, network: NetworkSpec): string[] {
  const entries = host.links.fdb.get(vxlanName(network.vni)) ?? [];
  const flood = entries.filter((entry) => entry.kind === 'flood').map((entry) => entry.dst).sort();
  const peers = [...nodesOf(view, network)].filter((name) => name !== host.name).map(addressOf).sort();
  const faults = flood.join() === peers.join() ? [] : [`network ${network.vni} floods to ${flood.join()} and not to ${peers.join()}`];
  for (const vm of membersOf(view, network)) {
    const owner = view.record.doc('vm-status', vm.uuid)?.owner ?? null;
    for (const nic of vm.interfaces) {
      if (nic.vni !== network.vni) continue;
      const to = entries.find((entry) => entry.mac === nic.mac)?.dst;
      const wanted = owner === null || owner === host.name ? undefined : addressOf(owner);
      if (to !== wanted) faults.push(`frames to ${vm.name} go to ${to ?? 'no node'} and not to ${wanted ?? 'no node'}`);
      if (owner === host.name && host.links.links.get(tapName(nic.mac))?.master !== bridgeName(nic.vni)) faults.push(`${vm.name} is not plugged into network ${nic.vni}`);
    }
  }
  return faults;
}

/** Of networks that are not defined any more; those that are defined and not needed here may stay for a while. */
function leftovers(host: SimulatedHost, networks: readonly NetworkSpec[]): string[] {
  const known = new Set(networks.map((network) => network.vni));
  return [...host.links.links.values()].flatMap((link) => {
    const vni = link.ours ? vniOfLink(link.name) : undefined;
    return vni === undefined || known.has(vni) ? [] : [`${link.name} is left over`];
  });
}

function nodesOf(view: NetworksView, network: NetworkSpec): Set<string> {
  const nodes = new Set(network.type === 'managed' ? view.coordinators : []);
  for (const vm of membersOf(view, network)) {
    const status = view.record.doc('vm-status', vm.uuid);
    nodes.add(vm.node);
    if (status?.owner != null) nodes.add(status.owner);
  }
  return nodes;
}

function membersOf({ record }: NetworksView, network: NetworkSpec): VmSpec[] {
  return record.all('vm').filter((vm) => vm.interfaces.some((nic) => nic.vni === network.vni));
}
