import { bridgeName } from '../../common/domain/network.ts';
import type { SimulatedClient, SimulatedCluster } from '../support/simulated-cluster.ts';
import type { ScriptStep } from './script.ts';

/** Every mirror and every reconciler has seen what happened before. */
const SEEN_MS = 20;

function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the step needs ${what}`);
  return value;
}

/** What a person asks for. */
export const NETWORK_OPERATIONS: Readonly<Record<string, (client: SimulatedClient, step: ScriptStep) => Promise<unknown>>> = {
  'create-network': ({ network }, step) => network.create({ type: step.type ?? 'managed', vni: needed(step.vni, 'vni') }, { description: `net${step.vni}`, mtu: step.mtu, ...step.settings }),
  'modify-network': ({ network }, step) => network.modify(needed(step.vni, 'vni'), { mtu: step.mtu, ...step.settings }),
  'remove-network': ({ network }, step) => network.remove(needed(step.vni, 'vni')),
};

/** What happens to the links of hosts, and what they must be. */
export const NETWORK_WORLD: Readonly<Record<string, (cluster: SimulatedCluster, step: ScriptStep) => void | Promise<void>>> = {
  'delete-link': (cluster, step) => linksOf(cluster, step).remove(needed(step.link, 'link')),
  'change-link': (cluster, step) => linksOf(cluster, step).change(needed(step.link, 'link'), { ...(step.mtu === undefined ? {} : { mtu: step.mtu }), ...(step.up === undefined ? {} : { up: step.up }) }),
  /** As a person makes it, without our mark. */
  'add-foreign-link': (cluster, step) => linksOf(cluster, step).put({ name: needed(step.link, 'link'), kind: 'bridge', bridge: { stp: true, forwardDelay: 1_500, mcastSnooping: true } }),
  'add-device': (cluster, step) => linksOf(cluster, step).put({ name: needed(step.link, 'link'), up: true, mtu: step.mtu ?? 1_500 }),
  'refuse-link': (cluster, step) => void linksOf(cluster, step).refused.add(needed(step.link, 'link')),
  'allow-link': (cluster, step) => void linksOf(cluster, step).refused.delete(needed(step.link, 'link')),
  /** Each line of a batch takes so long in the next life of the daemon. */
  'slow-links': (cluster, step) => {
    cluster.node(needed(step.node, 'node')).linkLineMs = step.ms;
  },
  'until-network': async (cluster, step) => {
    await cluster.until(() => networkFaults(cluster, step).length === 0, step.withinMs ?? 10_000, `${JSON.stringify(step)}: ${networkFaults(cluster, step).join()}`);
    await cluster.advance(SEEN_MS);
  },
  'check-network': (cluster, step) => {
    const faults = networkFaults(cluster, step);
    if (faults.length > 0) throw new Error(`${JSON.stringify(step)}\n${faults.join('\n')}\n${cluster.record.tail()}`);
  },
  'until-link': async (cluster, step) => cluster.until(() => linkFaults(cluster, step).length === 0, step.withinMs ?? 10_000, `${JSON.stringify(step)}: ${linkFaults(cluster, step).join()}`),
  'check-link': (cluster, step) => {
    const faults = linkFaults(cluster, step);
    if (faults.length > 0) throw new Error(`${JSON.stringify(step)}\n${faults.join('\n')}`);
  },
  /** From here on changes of the host's links are counted. */
  'count-link-changes': (cluster, step) => {
    linksOf(cluster, step).changes = 0;
  },
  'check-link-changes': (cluster, step) => {
    const { changes } = linksOf(cluster, step);
    if (changes !== step.count) throw new Error(`${changes} changes of links on ${step.node} and not ${step.count}`);
  },
};

/** `up: false`: it is reported as not up, or not at all. */
function networkFaults(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const node = needed(step.node, 'node');
  const vni = needed(step.vni, 'vni');
  const one = cluster.record.doc('network-status', node)?.networks.find((network) => network.vni === vni);
  const faults: string[] = [];
  const isUp = one !== undefined && one.appliedVersion !== null && one.mtu !== null;
  if (step.up !== undefined && isUp !== step.up) faults.push(`network ${vni} is ${isUp ? 'up' : 'not up'} on ${node}: ${JSON.stringify(one)}`);
  if (step.mtu !== undefined && one?.mtu !== step.mtu) faults.push(`its MTU is ${one?.mtu}`);
  if (step.reason !== undefined && one?.error?.includes(step.reason) !== true) faults.push(`its error is ${one?.error}`);
  const bridge = cluster.hosts.get(node).links.links.get(bridgeName(vni));
  if (isUp && bridge?.kind !== 'bridge') faults.push(`it is reported as up and ${bridgeName(vni)} does not exist`);
  return faults;
}

function linkFaults(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const link = linksOf(cluster, step).links.get(needed(step.link, 'link'));
  if ((link !== undefined) !== (step.up ?? true)) return [`${step.link} ${link === undefined ? 'does not exist' : 'exists'} on ${step.node}`];
  return step.mtu === undefined || link?.mtu === step.mtu ? [] : [`its MTU is ${link?.mtu}`];
}

function linksOf(cluster: SimulatedCluster, step: ScriptStep): ReturnType<SimulatedCluster['hosts']['get']>['links'] {
  return cluster.hosts.get(needed(step.node, 'node')).links;
}
