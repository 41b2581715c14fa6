import { z } from 'zod';
import type { AclDirection, NetworkAcl } from '../../common/schema/network.ts';

/** One access rule as clients see it. */
export const networkAclView = z.object({
  direction: z.enum(['in', 'out']).describe('in: towards the network; out: from it.'),
  order: z.int().describe('Place in its direction, from 0.'),
  description: z.string(),
  rule: z.string(),
});
export type NetworkAclView = z.infer<typeof networkAclView>;

/** All rules in the order in which they are looked through, `in` first. */
export function presentAcl(acl: NetworkAcl): NetworkAclView[] {
  const of = (direction: AclDirection): NetworkAclView[] => acl[direction].map(({ description, rule }, order) => ({ direction, order, description, rule }));
  return [...of('in'), ...of('out')];
}
