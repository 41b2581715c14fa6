import type { DhcpLeaseView } from '../../../common/view/dhcp-lease.ts';
import type { NetworkAclView } from '../../../common/view/network-acl.ts';
import type { NetworkView } from '../../../common/view/network.ts';
import type { Context } from '../context.ts';
import { clearable, clearableTexts, flag, integer, neededText, oneNumber, onOff, optional, text, texts, word, type Option } from '../declare.ts';
import { column, fieldsOf, type Tone } from '../output/column.ts';
import { countedAll, named } from '../output/counted.ts';
import { section } from '../output/render.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { LEASE_COLUMNS, LEASE_COMMANDS, RESERVATION_COMMANDS } from './dhcp-lease.ts';
import { ACL_COLUMNS, ACL_COMMANDS } from './network-acl.ts';
import { NETWORK } from './network-parts.ts';

/** Highest VXLAN network identifier: 24 bits (RFC 7348). */
const VNI_MAX = 16_777_215;

/** The API has the text None for what is not set. */
const orNull = (given: string): string | null => (given === 'None' ? null : given);

function rangeOf({ ip4 }: NetworkView): string | null {
  return ip4.dhcp_flag === 'True' ? `${ip4.dhcp_start}-${ip4.dhcp_end}` : null;
}

/** How many of the nodes that have it have it as it is described. */
function nodesOf({ nodes }: NetworkView): string | null {
  return nodes.length === 0 ? null : `${nodes.filter(({ applied }) => applied).length}/${nodes.length}`;
}

function toneOfNodes({ nodes }: NetworkView): Tone | undefined {
  if (nodes.some(({ error }) => error !== null)) return 'bad';
  return nodes.every(({ applied }) => applied) ? undefined : 'busy';
}

export const NETWORK_COLUMNS = [
  column<NetworkView>('vni', (row) => row.vni),
  column<NetworkView>('description', (row) => row.description),
  column<NetworkView>('type', (row) => row.type),
  column<NetworkView>('mtu', (row) => orNull(row.mtu)),
  column<NetworkView>('ipnet', (row) => orNull(row.ip4.network)),
  column<NetworkView>('gateway', (row) => orNull(row.ip4.gateway)),
  column<NetworkView>('dhcp', rangeOf),
  column<NetworkView>('ipnet6', (row) => orNull(row.ip6.network)),
  column<NetworkView>('domain', (row) => orNull(row.domain)),
  column<NetworkView>('nodes', nodesOf, { tone: toneOfNodes }),
  column<NetworkView>('gateway6', (row) => orNull(row.ip6.gateway), { extra: true }),
  column<NetworkView>('dns', (row) => row.name_servers.join(','), { extra: true }),
  column<NetworkView>('nat', (row) => row.nat, { extra: true }),
  column<NetworkView>('anti-spoofing', (row) => row.anti_spoofing, { extra: true }),
];

/** A network, with what belongs to it when that is asked for. */
interface WholeNetwork extends NetworkView {
  acl?: NetworkAclView[];
  leases?: DhcpLeaseView[];
}

type OfNode = NetworkView['nodes'][number];
const NODES = section<WholeNetwork, OfNode>(
  'Nodes that have it',
  [
    column('node', (row) => row.node),
    column('applied', (row) => row.applied, { tone: (row) => (row.applied ? 'good' : 'busy') }),
    column('mtu', (row) => row.mtu),
    column('error', (row) => row.error, { tone: () => 'bad' }),
  ],
  (row) => row.nodes,
);
const RULES = section<WholeNetwork, NetworkAclView>('Access rules', ACL_COLUMNS, (row) => row.acl ?? []);
const LEASES = section<WholeNetwork, DhcpLeaseView>('Reservations and leases', LEASE_COLUMNS, (row) => row.leases ?? []);

const list = listVerb({
  name: 'list',
  about: 'List the networks',
  arguments: { limit: optional('only networks whose description or VNI matches this regular expression, anywhere in it', { completes: 'network' }) },
  columns: NETWORK_COLUMNS,
  examples: [
    ['pvc network list', 'all of them, by VNI'],
    ['pvc network list --filter type=managed --columns vni,description,ipnet', 'those that the cluster manages'],
    ['pvc network list --format json | jq -r .[].description', 'for a program'],
  ],
  rows: async (context, { limit }) => (await context.networks()).list({ limit }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a network, and which nodes have it as it is described',
  arguments: { network: NETWORK },
  options: { long: flag('-l, --long', 'also its access rules, reservations and leases') },
  fields: fieldsOf(NETWORK_COLUMNS),
  sections: [NODES, RULES, LEASES],
  examples: [
    ['pvc network info office', 'by its description'],
    ['pvc network info 5 --long', 'by its VNI, with its rules and leases'],
  ],
  item: async (context, { network, long }): Promise<WholeNetwork> => {
    const networks = await context.networks();
    const found = await networks.get(network);
    if (long !== true || found.type === 'bridged') return found;
    const [acl, leases] = await Promise.all([networks.listAcl(network), networks.listLeases(network)]);
    return { ...found, acl, leases };
  },
});

const SWITCHES = {
  dhcp: onOff('--dhcp <on|off>', 'give out IPv4 addresses; needs --dhcp-start and --dhcp-end'),
  nat: onOff('--nat <on|off>', 'guests reach the upstream network under the address of the primary'),
  antiSpoofing: onOff('--anti-spoofing <on|off>', 'guests may use only addresses of their own'),
};

const add = actVerb({
  name: 'add',
  about: 'Add a network',
  detail:
    'A managed network is a VXLAN with a gateway, DHCP, DNS and access rules; a bridged one is a VLAN of the hosts, where somebody else does that. An IPv6 network without a gateway gets one. Guests are put into it by an interface of type bridge with source vmbr and the VNI.',
  arguments: { vni: oneNumber('VNI of a managed network (1 to 16777215), VLAN of a bridged one (1 to 4094)', { min: 1, max: VNI_MAX }) },
  options: {
    description: neededText('-d, --description <name>', 'what to call it: letters, digits, dots, dashes and underscores'),
    type: word('-p, --type <type>', ['managed', 'bridged'], 'managed when missing'),
    mtu: integer('-m, --mtu <bytes>', 'largest packet; what the underlay carries when missing', { min: 1 }),
    domain: text('-n, --domain <domain>', 'DNS domain of its guests; the description and .local when missing'),
    dns: texts('--dns-server <address>', 'name server for guests; the gateway when missing'),
    ipnet: text('-i, --ipnet <network>', 'IPv4 network, such as 10.5.0.0/24'),
    gateway: text('-g, --gateway <address>', 'IPv4 address of the gateway, which the primary has'),
    ipnet6: text('--ipnet6 <network>', 'IPv6 network, such as 2001:db8:5::/64'),
    gateway6: text('--gateway6 <address>', 'IPv6 address of the gateway; the first one when missing'),
    dhcpStart: text('--dhcp-start <address>', 'first address that is given out'),
    dhcpEnd: text('--dhcp-end <address>', 'last address that is given out'),
    ...SWITCHES,
  },
  examples: [
    ['pvc network add 5 -d office -i 10.5.0.0/24 -g 10.5.0.1', 'IPv4, without DHCP'],
    ['pvc network add 6 -d lab --ipnet6 2001:db8:6::/64 --nat on', 'IPv6 alone'],
    ['pvc network add 100 -d lan -p bridged', 'VLAN 100 of the hosts'],
  ],
  run: async (context, { vni, description, type, dns, ...rest }) =>
    (await context.networks()).create({ vni, description, nettype: type ?? 'managed', name_servers: dns, mtu: rest.mtu, ...settingsOf(rest) }),
});

/** What the API calls the settings that adding and changing have in common. */
function settingsOf<T>(given: { domain: T; ipnet: T; gateway: T; ipnet6: T; gateway6: T; dhcpStart: T; dhcpEnd: T; dhcp: boolean | undefined; nat: boolean | undefined; antiSpoofing: boolean | undefined }) {
  return {
    domain: given.domain,
    ip4_network: given.ipnet,
    ip4_gateway: given.gateway,
    ip6_network: given.ipnet6,
    ip6_gateway: given.gateway6,
    dhcp4: given.dhcp,
    dhcp4_start: given.dhcpStart,
    dhcp4_end: given.dhcpEnd,
    nat: given.nat,
    anti_spoofing: given.antiSpoofing,
  };
}

const mtu = integer('-m, --mtu <bytes>', 'largest packet; none: what the underlay carries', { min: 1 });
const MTU_OR_NONE: Option<number | null | undefined> = { ...mtu, read: (raw) => (raw === 'none' ? null : mtu.read(raw)) };

const modify = actVerb({
  name: 'modify',
  about: 'Change a network',
  detail: 'What is not given stays as it is. VNI and type cannot be changed.',
  arguments: { network: NETWORK },
  options: {
    description: text('-d, --description <name>', 'what to call it'),
    mtu: MTU_OR_NONE,
    domain: clearable('-n, --domain <domain>', 'DNS domain of its guests'),
    dns: clearableTexts('--dns-server <address>', 'name server for guests, instead of those it has'),
    ipnet: clearable('-i, --ipnet <network>', 'IPv4 network'),
    gateway: clearable('-g, --gateway <address>', 'IPv4 address of the gateway'),
    ipnet6: clearable('--ipnet6 <network>', 'IPv6 network'),
    gateway6: clearable('--gateway6 <address>', 'IPv6 address of the gateway'),
    dhcpStart: clearable('--dhcp-start <address>', 'first address that is given out'),
    dhcpEnd: clearable('--dhcp-end <address>', 'last address that is given out'),
    ...SWITCHES,
  },
  examples: [
    ['pvc network modify office --dhcp on --dhcp-start 10.5.0.100 --dhcp-end 10.5.0.199', 'give out a hundred addresses'],
    ['pvc network modify office -d headquarters --ipnet6 none --gateway6 none', 'another name, and no IPv6 any more'],
  ],
  run: async (context, { network, description, dns, ...rest }) => (await context.networks()).modify(network, { description, name_servers: dns, mtu: rest.mtu, ...settingsOf(rest) }),
});

/** What goes with a network. The VMs that are in it are told, too: while there are any the cluster refuses. */
async function lossOf(context: Context, name: string): Promise<string[]> {
  const networks = await context.networks();
  const found = await networks.get(name);
  const shown = `network ${found.description} (${found.vni}) is removed from all nodes`;
  const vms = (await (await context.vms()).list()).filter((vm) => vm.networks.some(({ vni }) => vni === String(found.vni)));
  const users = vms.length === 0 ? [] : [`it is used by ${named(vms.map((vm) => `VM ${vm.name}`))}: the cluster refuses`];
  if (found.type === 'bridged') return [shown, ...users];
  const [acl, leases] = await Promise.all([networks.listAcl(name), networks.listLeases(name)]);
  const reserved = leases.filter(({ timestamp }) => timestamp === 'static').length;
  const kept = countedAll([acl.length, 'access rule'], [reserved, 'reservation'], [leases.length - reserved, 'lease']);
  return [shown, ...(kept === '' ? [] : [`lost with it: ${kept}`]), ...users];
}

const remove = actVerb({
  name: 'remove',
  about: 'Remove a network with its access rules, reservations and leases',
  detail: 'It is refused while a VM has an interface in it.',
  arguments: { network: NETWORK },
  examples: [['pvc network remove office', 'says what will be lost, and asks']],
  loses: (context, { network }) => lossOf(context, network),
  run: async (context, { network }) => (await context.networks()).remove(network),
});

export const NETWORK_COMMANDS: Group = {
  name: 'network',
  about: 'Client networks, their rules and leases',
  verbs: [list, info, add, modify, remove],
  groups: [ACL_COMMANDS, RESERVATION_COMMANDS, LEASE_COMMANDS],
};
