import { z } from 'zod';
import { VXLAN_PORT } from '../../common/domain/network.ts';
import { AppError } from '../../common/errors.ts';
import { LINK_GROUP, type FdbEntry, type HostLink, type HostLinks, type LinkChange } from './link.ts';
import { parseJson } from '../../common/json.ts';

const FLOOD_MAC = '00:00:00:00:00:00';

const linkListing = z.array(
  z.looseObject({
    ifname: z.string().optional(),
    flags: z.array(z.string()).default([]),
    mtu: z.int().default(0),
    master: z.string().optional(),
    /** The device below a VLAN. */
    link: z.string().nullish(),
    group: z.string().optional(),
    address: z.string().optional(),
    inet6_addr_gen_mode: z.string().optional(),
    linkinfo: z.looseObject({ info_kind: z.string().optional(), info_data: z.record(z.string(), z.unknown()).optional() }).optional(),
  }),
);
type ListedLink = z.infer<typeof linkListing>[number];

const vxlanData = z.looseObject({ id: z.int(), local: z.string().optional(), local6: z.string().optional(), link: z.string().optional(), port: z.int(), learning: z.boolean().default(false) });
const vlanData = z.looseObject({ id: z.int() });
const bridgeData = z.looseObject({ stp_state: z.int(), forward_delay: z.int(), mcast_snooping: z.int().default(0) });

const fdbListing = z.array(
  z.looseObject({ mac: z.string().optional(), ifname: z.string().optional(), dst: z.string().optional(), flags: z.array(z.string()).default([]), state: z.string().default('') }),
);

/**
 * Output of `ip -json -details link show`.
 * @throws AppError 'component' for anything else.
 */
export function parseLinks(text: string): Pick<HostLinks, 'links' | 'ipv6'> {
  const listed = parse(linkListing, text);
  const links = new Map<string, HostLink>();
  for (const one of listed) if (one.ifname !== undefined) links.set(one.ifname, toLink(one.ifname, one));
  return { links, ipv6: listed.some((one) => one.inet6_addr_gen_mode !== undefined) };
}

/** Output of `bridge -json fdb show`, by device. `device` is that of a listing of one, which does not name it. */
export function parseFdb(text: string, device?: string): Map<string, FdbEntry[]> {
  const found = new Map<string, FdbEntry[]>();
  for (const { mac, ifname = device, dst, flags, state } of parse(fdbListing, text)) {
    if (mac === undefined || ifname === undefined || dst === undefined || !flags.includes('self')) continue;
    const entries = found.get(ifname) ?? [];
    found.set(ifname, entries);
    entries.push({ mac, dst, kind: kindOf(mac, flags, state) });
  }
  return found;
}

function kindOf(mac: string, flags: readonly string[], state: string): FdbEntry['kind'] {
  if (mac === FLOOD_MAC) return 'flood';
  if (state !== '' && state !== 'stale') return 'other';
  return flags.includes('extern_learn') ? 'told' : 'learned';
}

/** Name of the link that a line of `ip -oneline monitor link address` tells of: `Deleted 5: vxlan7@eth0: <BROADCAST…`, `4: vmbr7    inet 10.7.0.1/24…`. */
export function linkOfEvent(line: string): string | undefined {
  return /^(?:Deleted )?\d+: ([^\s:@]+)(?:[@:]|\s+inet)/u.exec(line)?.[1];
}

/** Lines for `ip -batch`; a change of a forwarding table has none. */
export function ipLines(change: LinkChange): string[] {
  switch (change.do) {
    case 'add-bridge':
      return [`link add name ${change.name} group ${LINK_GROUP} address ${change.mac} mtu ${change.mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`];
    case 'add-vxlan':
      return [`link add name ${change.name} group ${LINK_GROUP} mtu ${change.mtu} type vxlan id ${change.vni} local ${change.local} dev ${change.device} dstport ${VXLAN_PORT} learning`];
    case 'add-vlan':
      return [`link add link ${change.device} name ${change.name} group ${LINK_GROUP} mtu ${change.mtu} type vlan id ${change.id}`];
    case 'remove':
      return [`link delete dev ${change.name}`];
    case 'set-bridge':
      return [`link set dev ${change.name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`];
    case 'silence':
      return [`link set dev ${change.name} addrgenmode none`];
    case 'set-mtu':
      return [`link set dev ${change.name} mtu ${change.mtu}`];
    case 'set-master':
      return [`link set dev ${change.name} master ${change.master}`];
    case 'set-up':
      return [`link set dev ${change.name} up`];
    default:
      return [];
  }
}

/**
 * Line for `bridge -batch`. `dynamic extern_learn`: the entry does not age, and a frame from that address on another tunnel moves it, where
 * a `permanent` or `static` one would make the kernel drop the frame (docs/decisions/0008-vxlan-forwarding.md).
 */
export function bridgeLine(change: LinkChange): string | undefined {
  switch (change.do) {
    case 'add-flood':
      return `fdb append ${FLOOD_MAC} dev ${change.device} dst ${change.dst} self permanent`;
    case 'remove-flood':
      return `fdb delete ${FLOOD_MAC} dev ${change.device} dst ${change.dst} self`;
    case 'set-mac':
      return `fdb replace ${change.mac} dev ${change.device} dst ${change.dst} self dynamic extern_learn`;
    case 'remove-mac':
      return `fdb delete ${change.mac} dev ${change.device} self`;
    default:
      return undefined;
  }
}

/** What `ip -force -batch` and `bridge -force -batch` say of each line that failed, by its number from 1. */
export function batchFailures(stderr: string): Map<number, string> {
  const failures = new Map<number, string>();
  let said: string[] = [];
  for (const line of stderr.split('\n')) {
    const number = /^Command failed -:(\d+)/u.exec(line)?.[1];
    if (number === undefined) {
      if (line.trim() !== '') said.push(line.trim());
      continue;
    }
    failures.set(Number(number), said.join('; ') || 'refused without a word');
    said = [];
  }
  return failures;
}

function toLink(name: string, one: ListedLink): HostLink {
  const kind = one.linkinfo?.info_kind;
  const data = one.linkinfo?.info_data;
  const bridge = kind === 'bridge' ? bridgeData.safeParse(data).data : undefined;
  const vxlan = kind === 'vxlan' ? vxlanData.safeParse(data).data : undefined;
  const vlan = kind === 'vlan' ? vlanData.safeParse(data).data : undefined;
  return {
    name,
    kind,
    ours: one.group === String(LINK_GROUP),
    up: one.flags.includes('UP'),
    mtu: one.mtu,
    mac: one.address,
    master: one.master,
    ipv6: one.inet6_addr_gen_mode !== undefined && one.inet6_addr_gen_mode !== 'none',
    vxlan: vxlan && { vni: vxlan.id, local: vxlan.local ?? vxlan.local6, device: vxlan.link, port: vxlan.port, learning: vxlan.learning },
    vlan: vlan && { id: vlan.id, device: one.link ?? undefined },
    bridge: bridge && { stp: bridge.stp_state !== 0, forwardDelay: bridge.forward_delay, mcastSnooping: bridge.mcast_snooping !== 0 },
  };
}

function parse<T>(schema: z.ZodType<T>, text: string): T {
  const parsed = schema.safeParse(text.trim() === '' ? [] : parseJson(text));
  if (parsed.success) return parsed.data;
  throw new AppError('component', 'iproute2 printed something unexpected', { text: text.slice(0, 200) }, { cause: parsed.error });
}
