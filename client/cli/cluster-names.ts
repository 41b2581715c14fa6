import type { DhcpLeaseView } from '../../common/view/dhcp-lease.ts';
import { ClusterClient } from '../cluster-client.ts';
import type { Connection } from '../connection.ts';
import { NetworkClient } from '../network-client.ts';
import { StorageClient } from '../storage-client.ts';
import { TaskClient } from '../task-client.ts';
import type { Candidate } from './complete.ts';
import type { Completes } from './declare.ts';

export interface Asked {
  /** Arguments of the command that stand before it, such as the network of a rule. */
  readonly before: readonly string[];
  readonly timeoutMs: number;
}

/** The names of this kind that the cluster has. VMs, nodes and OSDs are in its status, which is small however many VMs there are. @throws ClientError. */
export async function namesOf(connection: Connection, kind: Completes, { before, timeoutMs }: Asked): Promise<readonly Candidate[]> {
  const options = { timeoutMs };
  const [first = '', second = ''] = before;
  switch (kind) {
    case 'vm':
      return (await new ClusterClient(connection).status(options)).detail.vm.map(({ name, state }) => ({ word: name, about: state }));
    case 'node':
      return (await new ClusterClient(connection).status(options)).detail.node.map(({ name, daemon_state, domain_state }) => ({ word: name, about: `${daemon_state}, ${domain_state}` }));
    case 'osd':
      return (await new ClusterClient(connection).status(options)).detail.osd.map(({ id, up }) => ({ word: id, about: up }));
    case 'task':
      return (await new TaskClient(connection).list(options)).map(({ id, state }) => ({ word: id, about: state }));
    case 'network':
      return (await new NetworkClient(connection).list({}, options)).map(({ vni, description }) => ({ word: description, about: `VNI ${vni}` }));
    case 'network-acl':
      return (await new NetworkClient(connection).listAcl(first, {}, options)).map(({ description, rule }) => ({ word: description, about: rule }));
    case 'dhcp-lease':
      return (await new NetworkClient(connection).listLeases(first, {}, options)).map(leaseCandidate);
    case 'pool':
      return (await new StorageClient(connection).listPools({}, options)).map(({ name, tier }) => ({ word: name, about: tier }));
    case 'volume':
      return (await new StorageClient(connection).listVolumes({ pool: first }, options)).map(({ name, stats }) => ({ word: name, about: stats.size }));
    case 'snapshot':
      return (await new StorageClient(connection).listSnapshots({ pool: first, volume: second }, options)).map(({ snapshot, stats }) => ({ word: snapshot, about: stats.size }));
    case 'connection':
    case 'file':
      return [];
  }
}

/** A client of DHCPv6 may not tell its MAC address. */
function leaseCandidate({ mac_address, ip4_address, ip6_address, hostname }: DhcpLeaseView): Candidate {
  const address = ip4_address === '' ? ip6_address : ip4_address;
  return mac_address === '' ? { word: address, about: hostname } : { word: mac_address, about: hostname === '' ? address : `${address} ${hostname}` };
}
