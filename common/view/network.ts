import { z } from 'zod';

const orNone = z.string().describe('"None" when it is not set.');
const trueText = z.enum(['True', 'False']);

/** One network as clients see it. Its texts "None", "True" and "False" are what the existing command lines compare with. */
export const networkView = z.object({
  vni: z.int(),
  description: z.string(),
  type: z.enum(['managed', 'bridged']),
  mtu: z.string().describe('As set, else as the nodes have it; "None" when that is not known yet.'),
  domain: orNone,
  name_servers: z.array(z.string()),
  ip6: z.object({ network: orNone, gateway: orNone, dhcp_flag: trueText }),
  ip4: z.object({ network: orNone, gateway: orNone, dhcp_flag: trueText, dhcp_start: orNone, dhcp_end: orNone }),
  nat: z.boolean(),
  anti_spoofing: z.boolean(),
  nodes: z
    .array(
      z.object({
        node: z.string(),
        applied: z.boolean(),
        applied_version: z.int().nullable(),
        applied_acl_version: z.int().nullable(),
        mtu: z.int().nullable(),
        error: z.string().nullable(),
      }),
    )
    .describe('The nodes that have it; "applied": links and rules there are as they shall be. Versions are those of the documents that the node follows.'),
});
export type NetworkView = z.infer<typeof networkView>;
