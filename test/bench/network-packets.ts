import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../../common/clock.ts';
import { tapName } from '../../common/domain/network.ts';
import { silentLogger } from '../../common/log.ts';
import type { NetworkAcl } from '../../common/schema/network.ts';
import { NftFirewall } from '../../node-daemon/drivers/nft-firewall.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import { desiredBase, desiredNetwork, desiredPorts, type FirewallPart } from '../../node-daemon/plans/firewall.ts';
import { diffFirewall, RESET, TABLES } from '../../node-daemon/plans/firewall-diff.ts';
import { aManagedNetwork } from '../support/builders.ts';
import { startNetworkNamespace, type NetworkNamespace } from '../support/network-namespace.ts';
import { until } from '../support/until.ts';
import type { LoneBench } from './bench.ts';
import { figure, median, type Figure } from './figure.ts';

const NETWORKS = 100;
/** Of each direction of the networks that the packets do not pass; and of those that they pass, where none is met, so that each packet passes all. */
const RULES = 10;
const OWN_RULES = { short: 1, long: 10 } as const;
/** Many and short: the machine's own speed changes within seconds, and what is compared was measured one after the other. */
const ROUNDS = 15;
const SECONDS = 1;
/** Small, so that the work for each packet counts and not its bytes. */
const BYTES = 64;
/** With our rules at least nine packets of ten that pass without them. */
const RATIO_BAR = 1 / 0.9;
const LIMIT_MS = 30_000;
const GUESTS = [
  { name: 'g1', vni: 1, mac: '52:54:00:00:00:01' },
  { name: 'g2', vni: 2, mac: '52:54:00:00:00:02' },
] as const;

/** What iperf3's client says at the end; the server has told it what was lost. */
const report = z.looseObject({ end: z.looseObject({ sum: z.looseObject({ packets: z.number(), lost_packets: z.number(), seconds: z.number() }) }) });

/** UDP packets per second from a guest of one network to one of another, through both gateways, with the rules of 100 networks and without. */
export const networkPackets: LoneBench = {
  name: 'network-packets',
  async measure() {
    const namespace = await startNetworkNamespace();
    const directory = await mkdtemp(join(tmpdir(), 'pvc-bench-packets-'));
    const ending = new AbortController();
    let server: Promise<void> | undefined;
    try {
      for (const guest of GUESTS) await plug(namespace, guest);
      await namespace.commands('sysctl -qw net.ipv4.ip_forward=1');
      let listening = false;
      server = namespace.follow(['ip', 'netns', 'exec', 'g2', 'iperf3', '--server', '--forceflush'], { signal: ending.signal, onLine: (line) => (listening ||= line.includes('listening')) });
      await until(() => listening, LIMIT_MS, 'the receiver');
      return await compare(namespace, directory);
    } finally {
      ending.abort();
      await server?.catch(() => undefined);
      await namespace.stop();
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function plug(namespace: NetworkNamespace, { name, vni, mac }: (typeof GUESTS)[number]): Promise<void> {
  const commands = (...lines: string[]): Promise<void> => namespace.commands(...lines);
  const [bridge, tap] = [`vmbr${vni}`, tapName(mac)];
  await commands(`ip link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`, `ip link set ${bridge} up`, `ip address add 10.0.${vni}.1/24 dev ${bridge}`);
  await commands(`ip netns add ${name}`, `ip link add ${tap} type veth peer name eth0 address ${mac} netns ${name}`, `ip link set ${tap} master ${bridge} up`);
  await commands(`ip -n ${name} address add 10.0.${vni}.2/24 dev eth0`, `ip -n ${name} link set eth0 up`, `ip -n ${name} route add default via 10.0.${vni}.1`);
}

async function compare({ run, follow, converse }: NetworkNamespace, directory: string): Promise<Figure[]> {
  const firewall = new NftFirewall({ run, follow, converse, clock: systemClock, log: silentLogger, directory });
  const apply = async (lines: readonly string[]): Promise<void> => {
    const fault = await firewall.apply(`${lines.join('\n')}\n`);
    if (fault !== undefined) throw new Error(fault.message);
  };
  const rates = { bare: [] as number[], short: [] as number[], long: [] as number[] };
  const measureWith = async (name: keyof typeof rates): Promise<void> => {
    await apply(RESET);
    if (name !== 'bare') await apply([...TABLES, ...diffFirewall(parts(OWN_RULES[name]), new Map()).flatMap(({ lines }) => lines)]);
    rates[name].push(await packetsPerSecond(run));
  };
  try {
    // The first of each warms everything up.
    for (let round = 0; round <= ROUNDS; round += 1) for (const name of ['bare', 'short', 'long'] as const) await measureWith(name);
  } finally {
    firewall.stop();
  }
  const barePer = (guarded: readonly number[]): number => median(guarded.map((rate, round) => (rates.bare[round] ?? Number.NaN) / rate).slice(1));
  return [
    figure('packets-bare', median(rates.bare.slice(1)), '1/s', null),
    figure(`packets-bare-per-guarded-${NETWORKS}`, barePer(rates.short), 'times', RATIO_BAR),
    figure(`packets-bare-per-guarded-${NETWORKS}-long`, barePer(rates.long), 'times', null),
  ];
}

/** Those that have arrived: the sender sends as fast as it can. */
async function packetsPerSecond(run: NetworkNamespace['run']): Promise<number> {
  const client = ['iperf3', '--client', '10.0.2.2', '--udp', '--bitrate', '0', '--length', String(BYTES), '--time', String(SECONDS), '--json'];
  const { stdout } = await run(['ip', 'netns', 'exec', 'g1', ...client], { timeoutMs: LIMIT_MS });
  const { sum } = report.parse(JSON.parse(stdout)).end;
  return (sum.packets - sum.lost_packets) / sum.seconds;
}

/** @param ownRules of each direction of the two networks that the packets pass. */
function parts(ownRules: number): FirewallPart[] {
  const networks = Array.from({ length: NETWORKS }, (_, at) => aManagedNetwork({ vni: at + 1, ip4: { network: `10.0.${at + 1}.0/24`, gateway: `10.0.${at + 1}.1`, dhcp: null } }));
  const acl = (vni: number): NetworkAcl => {
    const list = Array.from({ length: vni <= GUESTS.length ? ownRules : RULES }, (_, at) => ({ description: `rule-${at}`, rule: `tcp dport ${20_000 + at} drop` }));
    return { vni, in: list, out: list };
  };
  const ports = GUESTS.flatMap(({ mac, vni }) => networks.filter((network) => network.vni === vni).map((network) => ({ mac, network, reservation: { mac, ip4: `10.0.${vni}.2`, ip6: null, hostname: null } })));
  const base = desiredBase({ prefixes: ['10.77.0.0/24'], devices: ['eth0'], upstreamDevice: undefined }, textDigest);
  return [base, desiredPorts(ports, textDigest), ...networks.map((network) => desiredNetwork(network, acl(network.vni), textDigest))];
}
