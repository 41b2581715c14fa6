import { PRIMARY_ROLE } from '../../common/schema/resources.ts';
import type { SimulatedClient, SimulatedCluster } from '../support/simulated-cluster.ts';
import type { SimulatedHost } from '../support/simulated-hosts.ts';
import { macOf } from '../support/simulated-networks.ts';
import type { ScriptStep } from './script.ts';

/** How long dnsmasq gives an IPv4 address out, as our configuration says it. */
const LEASE_MS = 48 * 3_600_000;

/** Leases are told in whole seconds, and reach the document a moment later. */
const LEASE_TOLERANCE_MS = 2_000;

function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the step needs ${what}`);
  return value;
}

/** What a person asks for. */
export const SERVING_OPERATIONS: Readonly<Record<string, (client: SimulatedClient, step: ScriptStep) => Promise<unknown>>> = {
  'add-rule': ({ acl }, step) => acl.insert({ vni: needed(step.vni, 'vni'), direction: step.direction ?? 'in', description: needed(step.name, 'name'), rule: needed(step.rule, 'rule') }),
  'remove-rule': ({ acl }, step) => acl.remove({ vni: needed(step.vni, 'vni'), direction: step.direction ?? 'in', description: needed(step.name, 'name') }),
  reserve: ({ reservation }, step) => reservation.add(needed(step.vni, 'vni'), { mac: macOfStep(step), addresses: [needed(step.address, 'address')], hostname: step.name }),
  unreserve: ({ reservation }, step) => reservation.remove(needed(step.vni, 'vni'), macOfStep(step)),
};

type WorldAction = (cluster: SimulatedCluster, step: ScriptStep) => void | Promise<void>;

/** What happens to servers, leases and the packet filter, and what they must be. */
export const SERVING_WORLD: Readonly<Record<string, WorldAction>> = {
  /** A guest gets an address, or renews it, of whichever host serves its network. */
  lease: (cluster, step) => {
    const vni = needed(step.vni, 'vni');
    const expiresS = Math.floor((cluster.clock.nowMs() + LEASE_MS) / 1_000);
    const line = `${expiresS} ${macOfStep(step)} ${needed(step.address, 'address')} ${step.name ?? '*'} *`;
    if (!cluster.hosts.all().some((host) => serves(host, vni) && host.dhcp.grant(vni, line))) throw new Error(`nobody serves network ${vni}\n${cluster.record.tail()}`);
  },
  'check-nobody-serves': (cluster, step) => {
    const servers = cluster.hosts.all().filter((host) => serves(host, needed(step.vni, 'vni'))).map((host) => host.name);
    if (servers.length > 0) throw new Error(`${servers.join()} serves network ${step.vni}`);
  },
  'until-lease': (cluster, step) => reach(cluster, step, leaseFaults),
  'check-lease': (cluster, step) => demand(cluster, step, leaseFaults),
  'kill-server': (cluster, step) => {
    const host = hostOf(cluster, step);
    if (step.server === 'dns') host.dns.kill();
    else host.dhcp.kill(needed(step.vni, 'vni'));
  },
  'until-server': (cluster, step) => reach(cluster, step, serverFaults),
  'check-server': (cluster, step) => demand(cluster, step, serverFaults),
  'until-name': (cluster, step) => reach(cluster, step, nameFaults),
  'until-address': (cluster, step) => reach(cluster, step, addressFaults),
  'check-gateway': (cluster, step) => demand(cluster, step, addressFaults),
  /** By hand, as with ip(8). */
  'take-address-off': (cluster, step) => hostOf(cluster, step).setAddress(`${needed(step.link, 'link')} ${needed(step.address, 'address')}`, false),
  /** By hand, as with nft(8). */
  tamper: (cluster, step) => hostOf(cluster, step).firewall.tamper(`${needed(step.lines, 'lines').join('\n')}\n`),
  'until-chain': (cluster, step) => reach(cluster, step, chainFaults),
  'check-chain': (cluster, step) => demand(cluster, step, chainFaults),
  /** A set of the packet filter has the element, or not. */
  'check-set': async (cluster, step) => {
    const held = (await hostOf(cluster, step).firewall.list()).get('inet')?.sets.get(needed(step.name, 'name'))?.has(needed(step.address, 'address')) === true;
    if (held !== (step.up ?? true)) throw new Error(`${step.address} is ${held ? '' : 'not '}in ${step.name} of ${step.node}`);
  },
  /** From here on transactions of the packet filter are counted. */
  'count-transactions': (cluster, step) => {
    hostOf(cluster, step).firewall.applied = 0;
  },
  'check-transactions': (cluster, step) => {
    const { applied } = hostOf(cluster, step).firewall;
    if (applied !== step.count) throw new Error(`${applied} transactions on ${step.node} and not ${step.count}`);
  },
};

type Faults = (cluster: SimulatedCluster, step: ScriptStep) => string[];

async function reach(cluster: SimulatedCluster, step: ScriptStep, faults: Faults): Promise<void> {
  try {
    await cluster.until(() => faults(cluster, step).length === 0, step.withinMs ?? 10_000, JSON.stringify(step));
  } catch (error) {
    if (error instanceof Error) error.message += `\n${faults(cluster, step).join('\n')}`;
    throw error;
  }
}

function demand(cluster: SimulatedCluster, step: ScriptStep, faults: Faults): void {
  const found = faults(cluster, step);
  if (found.length > 0) throw new Error(`${JSON.stringify(step)}\n${found.join('\n')}\n${cluster.record.tail()}`);
}

/** In the document; with `expiresInMs` it also says how long it still lives. */
function leaseFaults({ record, clock }: SimulatedCluster, step: ScriptStep): string[] {
  const leases = record.doc('dhcp-lease', String(needed(step.vni, 'vni')));
  const lease = [...(leases?.ip4 ?? []), ...(leases?.ip6 ?? [])].find(({ address }) => address === step.address);
  if ((lease !== undefined) !== (step.up ?? true)) return [`${step.address} is ${lease === undefined ? 'not ' : ''}given out, says the document`];
  if (lease === undefined || step.expiresInMs === undefined) return [];
  const leftMs = lease.expiresS * 1_000 - clock.nowMs();
  return Math.abs(leftMs - step.expiresInMs) <= LEASE_TOLERANCE_MS ? [] : [`${step.address} runs out in ${leftMs} ms`];
}

function serverFaults(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const host = hostOf(cluster, step);
  const runs = step.server === 'dns' ? host.dns.running !== undefined : host.dhcp.running.has(needed(step.vni, 'vni'));
  return runs === (step.up ?? true) ? [] : [`the server ${runs ? 'runs' : 'does not run'} on ${step.node}`];
}

/** Of the server that the primary runs; with `address` also what the name means. */
function nameFaults({ record, hosts }: SimulatedCluster, step: ScriptStep): string[] {
  const primary = record.doc('lease', PRIMARY_ROLE)?.node;
  const records = primary === undefined ? undefined : hosts.find(primary)?.dns.running?.records.get(`${needed(step.name, 'name')}.`);
  const isThere = records !== undefined && [...records].some((one) => step.address === undefined || one.endsWith(`\t${step.address}`));
  return isThere === (step.up ?? true) ? [] : [`the name is ${isThere ? '' : 'not '}served: ${[...(records ?? [])].join()}`];
}

function addressFaults(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const held = hostOf(cluster, step).addresses.has(`${needed(step.link, 'link')} ${needed(step.address, 'address')}`);
  return held === (step.up ?? true) ? [] : [`${step.node} ${held ? 'has' : 'does not have'} ${step.address}`];
}

/** `count`: its rules; undefined: there is no such chain. */
function chainFaults(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const rules = hostOf(cluster, step).firewall.rulesOf('inet', needed(step.chain, 'chain'));
  const faults = rules?.length === step.count ? [] : [`chain ${step.chain} of ${step.node} is ${JSON.stringify(rules)}`];
  return step.rule === undefined || rules?.includes(step.rule) === true ? faults : [...faults, `chain ${step.chain} of ${step.node} has no rule ${step.rule}: ${JSON.stringify(rules)}`];
}

/** Guests reach its server: it runs, and the gateway is on this host's bridge. */
function serves(host: SimulatedHost, vni: number): boolean {
  return host.dhcp.running.has(vni) && [...host.addresses].some((address) => address.startsWith(`vmbr${vni} `));
}

function macOfStep(step: ScriptStep): string {
  return macOf(needed(step.vm, 'vm'), 0);
}

function hostOf(cluster: SimulatedCluster, step: ScriptStep): SimulatedHost {
  return cluster.hosts.get(needed(step.node, 'node'));
}
