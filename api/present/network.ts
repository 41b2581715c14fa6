import { z } from 'zod';
import type { NetworkOnNode, NetworkSpec } from '../../common/schema/network.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { ApiMirror } from '../cluster.ts';

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

const NONE = 'None';

/** The networks that nodes have told of, by VNI. */
export type NetworkNodes = ReadonlyMap<number, readonly (NetworkOnNode & { node: string })[]>;

export function networkNodes(mirror: ApiMirror): NetworkNodes {
  const byVni = new Map<number, (NetworkOnNode & { node: string })[]>();
  for (const [node, { doc }] of [...mirror.all('network-status')].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const one of doc.networks) {
      const known = byVni.get(one.vni);
      if (known === undefined) byVni.set(one.vni, [{ node, ...one }]);
      else known.push({ node, ...one });
    }
  }
  return byVni;
}

export function presentNetwork(mirror: ApiMirror, { doc, version }: Versioned<NetworkSpec>, nodes: NetworkNodes = networkNodes(mirror)): NetworkView {
  const on = nodes.get(doc.vni) ?? [];
  const aclVersion = mirror.get('network-acl', String(doc.vni))?.version ?? null;
  const inForce = on.flatMap((one) => one.mtu ?? []);
  return {
    vni: doc.vni,
    description: doc.description,
    type: doc.type,
    mtu: String(doc.mtu ?? (inForce.length === 0 ? NONE : Math.min(...inForce))),
    ...presentAddressing(doc),
    nodes: on.map(({ node, appliedVersion, appliedAclVersion, mtu, error }) => ({
      node,
      applied: error === null && appliedVersion === version && appliedAclVersion === aclVersion,
      applied_version: appliedVersion,
      applied_acl_version: appliedAclVersion,
      mtu,
      error,
    })),
  };
}

function presentAddressing(doc: NetworkSpec): Pick<NetworkView, 'domain' | 'name_servers' | 'ip6' | 'ip4' | 'nat' | 'anti_spoofing'> {
  const managed = doc.type === 'managed' ? doc : undefined;
  const [ip4, ip6] = [managed?.ip4, managed?.ip6];
  return {
    domain: managed?.domain ?? NONE,
    name_servers: managed?.nameServers ?? [],
    ip6: { network: ip6?.network ?? NONE, gateway: ip6?.gateway ?? NONE, dhcp_flag: trueOrFalse(ip6 != null) },
    ip4: {
      network: ip4?.network ?? NONE,
      gateway: ip4?.gateway ?? NONE,
      dhcp_flag: trueOrFalse(ip4?.dhcp != null),
      dhcp_start: ip4?.dhcp?.start ?? NONE,
      dhcp_end: ip4?.dhcp?.end ?? NONE,
    },
    nat: managed?.nat ?? false,
    anti_spoofing: managed?.antiSpoofing ?? false,
  };
}

function trueOrFalse(value: boolean): 'True' | 'False' {
  return value ? 'True' : 'False';
}
