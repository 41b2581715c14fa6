import { z } from 'zod';
import type { NetworkSettings } from '../../common/domain/network-settings.ts';
import type { NetworkOperations } from '../../common/operations/network.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import { networkView } from '../../common/view/network.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { clearableList, clearableText, freeText, optionalFlag, optionalText, text } from '../params/values.ts';
import { networkNodes, presentNetwork } from '../present/network.ts';
import { done, messageReply, ok, route, type Reply, type Route } from '../route.ts';
import { digits, nameOf, NAME_MAX_CHARS, network, networkOf } from './network-values.ts';

export interface NetworkRouteDeps {
  mirror: ApiMirror;
  networks: NetworkOperations;
}

const nettype = text(z.enum(['bridged', 'managed']), 'bridged: a VLAN of the hosts, not managed; managed: over VXLAN, with gateway, DHCP, DNS and access rules.');
const label = freeText(NAME_MAX_CHARS);

/** What can be set of a network when it is made and later. */
const SETTINGS = {
  mtu: clearableText(digits, 'Bytes of a packet; when cleared or never set, as large as the underlying network carries.'),
  domain: clearableText(label, 'DNS domain of its hosts; <description>.local when it is not given.'),
  name_servers: clearableList(label, 'Name servers for its hosts; none: the gateway.'),
  ip4_network: clearableText(label, 'IPv4 network with its prefix, such as 10.5.0.0/24.'),
  ip4_gateway: clearableText(label, 'Address of the gateway in it.'),
  ip6_network: clearableText(label, 'IPv6 network with its prefix, such as 2001:db8:5::/64.'),
  ip6_gateway: clearableText(label, 'Address of the gateway in it; the first one when it is not given or not valid.'),
  dhcp4: optionalFlag('Give out IPv4 addresses.'),
  dhcp4_start: clearableText(label, 'First address to give out.'),
  dhcp4_end: clearableText(label, 'Last address to give out.'),
  nat: optionalFlag('Its hosts reach the upstream network under the address of the primary.'),
  anti_spoofing: optionalFlag('Guests may use only their own MAC addresses, and reserved IP addresses only where they are theirs; on at first.'),
};
const ALIASES = { dhcp4_flag: 'dhcp4' };

type Settings = { [name in keyof typeof SETTINGS]?: z.output<(typeof SETTINGS)[name]> };

export function networkRoutes(deps: NetworkRouteDeps): Route[] {
  return [listRoute(deps), ...createRoutes(deps), ...elementRoutes(deps)];
}

function listRoute(deps: NetworkRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/network',
    summary: 'List the networks',
    values: z.object({ limit: optionalText(fuzzyLimit, 'Only networks whose description or VNI matches this regular expression, fuzzily.') }),
    reply: { code: 200, schema: z.array(networkView) },
    handle: ({ limit }) => {
      const nodes = networkNodes(deps.mirror);
      const networks = [...deps.mirror.all('network').values()].sort((a, b) => a.doc.vni - b.doc.vni);
      const found = networks.filter(({ doc }) => limit === undefined || limit(doc.description) || limit(String(doc.vni)));
      return ok(found.map((one) => presentNetwork(deps.mirror, one, nodes)));
    },
  });
}

function createRoutes(deps: NetworkRouteDeps): Route[] {
  const create = async (id: Pick<NetworkSpec, 'type' | 'vni'>, settings: NetworkSettings): Promise<Reply> => {
    const spec = await deps.networks.create(id, settings);
    return done(`network ${nameOf(spec)} is added${gatewaysOf(spec)}`);
  };
  const described = { description: text(label, 'What to call it: letters, digits, dots, dashes and underscores.'), nettype };
  return [
    route({
      method: 'POST',
      path: '/network',
      summary: 'Add a network',
      description: 'A bridged network has nothing beyond vni, description and mtu; other values are ignored.',
      values: z.object({ vni: text(digits, 'VXLAN identifier (1 to 16777215) of a managed network, VLAN identifier (1 to 4094) of a bridged one.'), ...described, ...SETTINGS }),
      valueAliases: ALIASES,
      reply: { code: 200, schema: messageReply },
      handle: (values) => create({ type: values.nettype, vni: values.vni }, settingsOf(values)),
    }),
    route({
      method: 'POST',
      path: '/network/:network',
      summary: 'Add a network with this VNI',
      values: z.object({ network: text(digits, 'VNI.'), ...described, ...SETTINGS }),
      valueAliases: ALIASES,
      reply: { code: 200, schema: messageReply },
      handle: (values) => create({ type: values.nettype, vni: values.network }, settingsOf(values)),
    }),
  ];
}

function gatewaysOf(spec: NetworkSpec): string {
  const gateways = spec.type === 'managed' ? [spec.ip4?.gateway, spec.ip6?.gateway].filter((one) => one !== undefined) : [];
  return gateways.length === 0 ? '' : ` with gateway ${gateways.join(' and ')}`;
}

function elementRoutes(deps: NetworkRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/network/:network',
      summary: 'Show a network',
      values: z.object({ network }),
      reply: { code: 200, schema: networkView },
      handle: (values) => ok(presentNetwork(deps.mirror, networkOf(deps, values.network))),
    }),
    route({
      method: 'PUT',
      path: '/network/:network',
      summary: 'Change a network',
      description: 'What is not given stays as it is; empty text or "none" clears.',
      values: z.object({ network, description: optionalText(label, 'What to call it from now on.'), ...SETTINGS }),
      valueAliases: ALIASES,
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const spec = await deps.networks.modify(networkOf(deps, values.network).doc.vni, { description: values.description, ...settingsOf(values) });
        return done(`network ${nameOf(spec)} is as described now${gatewaysOf(spec)}`);
      },
    }),
    route({
      method: 'DELETE',
      path: '/network/:network',
      summary: 'Remove a network that no VM has an interface in',
      description: 'Its access rules, reservations and leases go with it.',
      values: z.object({ network }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { doc } = networkOf(deps, values.network);
        await deps.networks.remove(doc.vni);
        return done(`network ${nameOf(doc)} is removed`);
      },
    }),
  ];
}

function settingsOf(values: Settings & { description?: string | undefined }): NetworkSettings {
  return {
    description: values.description,
    mtu: values.mtu,
    domain: values.domain,
    nameServers: values.name_servers,
    ip4Network: values.ip4_network,
    ip4Gateway: values.ip4_gateway,
    dhcp4: values.dhcp4,
    dhcp4Start: values.dhcp4_start,
    dhcp4End: values.dhcp4_end,
    ip6Network: values.ip6_network,
    ip6Gateway: values.ip6_gateway,
    nat: values.nat,
    antiSpoofing: values.anti_spoofing,
  };
}
