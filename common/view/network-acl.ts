import { z } from 'zod';

/** One access rule as clients see it. */
export const networkAclView = z.object({
  direction: z.enum(['in', 'out']).describe('in: towards the network; out: from it.'),
  order: z.int().describe('Place in its direction, from 0.'),
  description: z.string(),
  rule: z.string(),
});
export type NetworkAclView = z.infer<typeof networkAclView>;
