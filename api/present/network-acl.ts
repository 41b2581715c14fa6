import type { AclDirection, NetworkAcl } from '../../common/schema/network.ts';
import type { NetworkAclView } from '../../common/view/network-acl.ts';

/** All rules in the order in which they are looked through, `in` first. */
export function presentAcl(acl: NetworkAcl): NetworkAclView[] {
  const of = (direction: AclDirection): NetworkAclView[] => acl[direction].map(({ description, rule }, order) => ({ direction, order, description, rule }));
  return [...of('in'), ...of('out')];
}
