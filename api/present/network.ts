import type { NetworkOnNode, NetworkSpec } from '../../common/schema/network.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { NetworkView } from '../../common/view/network.ts';
import type { ApiMirror } from '../cluster.ts';

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
