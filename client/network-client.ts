import type { z } from 'zod';
import type { DhcpLeaseView } from '../common/view/dhcp-lease.ts';
import { networkAclView, type NetworkAclView } from '../common/view/network-acl.ts';
import type { NetworkView } from '../common/view/network.ts';
import { ClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import type { Given } from './operation.ts';
import { NETWORK } from './operations/network.ts';
import { ServiceClient } from './service-client.ts';

/** What a command answers: a sentence for people. */
type Done = Promise<{ message: string }>;

/** A VNI, or a network's description, exactly. */
export type NetworkName = z.input<typeof NETWORK.get.values>['network'];

/**
 * Networks of guests, their access rules, and who has which address. Every method throws ClientError only: status 404 for a reading
 * method, 510 for a command, when there is no such network; 510 when the API refuses or fails, with the reason as message.
 */
export class NetworkClient extends ServiceClient {
  /** The networks by VNI. `limit` is a regular expression found anywhere in description or VNI. */
  list(filter: Given<typeof NETWORK.list> = {}, options?: CallOptions): Promise<NetworkView[]> {
    return this.connection.call(NETWORK.list, filter, options);
  }

  /** One network. An unset value is the text `None`, a flag `True` or `False`; `nodes` are those that have it. */
  get(network: NetworkName, options?: CallOptions): Promise<NetworkView> {
    return this.connection.call(NETWORK.get, { network }, options);
  }

  /** Adds a network: a VXLAN for `managed` (VNI up to 16,777,215), a VLAN of the hosts for `bridged` (up to 4,094). `mtu` in bytes. 510: VNI, description or addresses are taken or not valid. */
  create(settings: Given<typeof NETWORK.create>, options?: CallOptions): Done {
    return this.connection.call(NETWORK.create, settings, options);
  }

  /** Changes a network. What is not given stays as it is, null clears. */
  modify(network: NetworkName, changes: Given<typeof NETWORK.modify, 'network'>, options?: CallOptions): Done {
    return this.connection.call(NETWORK.modify, { ...changes, network }, options);
  }

  /** Removes a network with its rules, reservations and leases. 510: a VM has an interface in it. */
  remove(network: NetworkName, options?: CallOptions): Done {
    return this.connection.call(NETWORK.remove, { network }, options);
  }

  /** The access rules in their order, those towards the network (`in`) first. `limit` is a regular expression on the description. */
  listAcl(network: NetworkName, filter: Given<typeof NETWORK.listAcl, 'network'> = {}, options?: CallOptions): Promise<NetworkAclView[]> {
    return this.connection.call(NETWORK.listAcl, { ...filter, network }, options);
  }

  /**
   * The rules of this description: none, one, or one of each direction.
   * @throws ClientError 'malformed' for an answer that is none of these.
   */
  async getAcl(network: NetworkName, acl: string, how: { direction?: 'in' | 'out' | undefined } = {}, options?: CallOptions): Promise<NetworkAclView[]> {
    const found = await this.connection.call(NETWORK.getAcl, { ...how, network, acl }, options);
    if (Array.isArray(found)) return found;
    const one = networkAclView.safeParse(found);
    if (one.success) return [one.data];
    if (Object.keys(found).length === 0) return [];
    throw new ClientError('malformed', 'the answer is not what the API promises', { details: ['an access rule was expected'] });
  }

  /** Adds a rule of nft, such as `tcp dport 22 accept`, at this place of its direction (from 0), or at the end. 510: nft refuses it, or the description is taken. */
  addAcl(network: NetworkName, rule: Given<typeof NETWORK.addAcl, 'network'>, options?: CallOptions): Done {
    return this.connection.call(NETWORK.addAcl, { ...rule, network }, options);
  }

  /** Changes the text or the place of a rule. The direction may be left out where only one has such a rule. */
  changeAcl(network: NetworkName, acl: string, changes: Given<typeof NETWORK.changeAcl, 'network' | 'acl'>, options?: CallOptions): Done {
    return this.connection.call(NETWORK.changeAcl, { ...changes, network, acl }, options);
  }

  /** Removes a rule. The direction may be left out where only one has such a rule. */
  removeAcl(network: NetworkName, acl: string, how: { direction?: 'in' | 'out' | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(NETWORK.removeAcl, { ...how, network, acl }, options);
  }

  /** Reservations, then leases; only reservations with `static`. `limit` is a regular expression on the MAC address. */
  listLeases(network: NetworkName, filter: Given<typeof NETWORK.listLeases, 'network'> = {}, options?: CallOptions): Promise<DhcpLeaseView[]> {
    return this.connection.call(NETWORK.listLeases, { ...filter, network }, options);
  }

  /** A lease or reservation by MAC address, IP address or host name. 404: there is none. */
  getLease(network: NetworkName, lease: string, options?: CallOptions): Promise<DhcpLeaseView> {
    return this.connection.call(NETWORK.getLease, { network, lease }, options);
  }

  /** Reserves an address of each family at most for a MAC address. 510: not in the network, or taken. */
  reserve(network: NetworkName, reservation: Given<typeof NETWORK.reserve, 'network'>, options?: CallOptions): Done {
    return this.connection.call(NETWORK.reserve, { ...reservation, network }, options);
  }

  /** Removes a reservation. 510: it is a lease, which ends by itself. */
  unreserve(network: NetworkName, lease: string, options?: CallOptions): Done {
    return this.connection.call(NETWORK.unreserve, { network, lease }, options);
  }
}
