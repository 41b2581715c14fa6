import { describe, expect, test } from 'vitest';
import { PRIMARY_ROLE } from '../../common/schema/resources.ts';
import { clusterPlan, SimulatedCluster, type SimulatedClient } from '../support/simulated-cluster.ts';
import type { FaultKind } from '../support/simulated-faults.ts';
import { macOf } from '../support/simulated-networks.ts';
import { SERVING_WORLD } from './serving-steps.ts';

const KINDS: readonly FaultKind[] = ['kill-before', 'kill-during', 'kill-after', 'lose-done', 'lose-not-done', 'expire', 'partition'];

/** Long enough for a session that ends and another that begins. */
const CONVERGE_LIMIT_MS = 120_000;

/** A daemon that was killed late is back after this, and what it finds is seen. */
const QUIET_MS = 15_000;

/** Hundreds of simulations each. */
const LIMIT_MS = 300_000;

const VNI = 7;
const SETTINGS = { domain: 'lan.example', ip4Network: '10.7.0.0/24', ip4Gateway: '10.7.0.1', dhcp4: true, dhcp4Start: '10.7.0.100', dhcp4End: '10.7.0.199', ip6Network: '2001:db8:7::/64', ip6Gateway: '2001:db8:7::1' };
const NODES = { hv1: {}, hv2: {}, hv3: { coordinator: false } };
const SERVED = { nodes: NODES, networks: [{ vni: VNI, ...SETTINGS }], vms: [{ name: 'web', on: 'hv3', networks: [VNI] }] };

/** Given out, and in the document, before anything goes wrong. */
const OLD_LEASE = '10.7.0.101';
const NEW_LEASE = '10.7.0.102';

interface Job {
  name: string;
  plan?: unknown;
  /** Node whose daemon's calls are the points; the first primary unless it says otherwise. */
  node?: string;
  ask(client: SimulatedClient, cluster: SimulatedCluster): Promise<unknown> | void;
  /** What must hold in the end, whatever went wrong on the way. */
  ended(cluster: SimulatedCluster): boolean;
  /** Calls that must be among the points: else the job does not try what it says. */
  points: readonly RegExp[];
}

const leaseOf = (cluster: SimulatedCluster, address: string): boolean => cluster.record.doc('dhcp-lease', String(VNI))?.ip4.some((lease) => lease.address === address) === true;
const primaryOf = (cluster: SimulatedCluster): string | undefined => cluster.record.doc('lease', PRIMARY_ROLE)?.node;
const grant = (cluster: SimulatedCluster, vm: string, address: string): void => void SERVING_WORLD['lease']?.(cluster, { do: 'lease', vni: VNI, vm, address, name: vm });
const serverOf = (cluster: SimulatedCluster) => cluster.hosts.find(primaryOf(cluster) ?? '')?.dhcp.running.get(VNI);

const JOBS: readonly Job[] = [
  {
    name: 'the first network',
    plan: { nodes: NODES },
    ask: ({ network }) => network.create({ type: 'managed', vni: VNI }, { description: 'net7', ...SETTINGS }),
    ended: (cluster) => serverOf(cluster) !== undefined,
    points: [/^links\.apply/u, /^addresses\.add/u, /^dhcp\.launch/u, /^dns\.launch/u, /^firewall\.apply/u],
  },
  ...(['hv1', 'hv2'] as const).map((node): Job => ({
    name: `hand-over of the servers, ${node === 'hv1' ? 'the old' : 'the new'} primary`,
    node,
    ask: ({ node: nodes }) => nodes.setCoordinator('hv2', 'primary'),
    // What goes wrong may end the wish: then the role stays where it was, or comes back.
    ended: (cluster) => (primaryOf(cluster) === 'hv2' || cluster.node(node).points.fired !== undefined) && serverOf(cluster) !== undefined && leaseOf(cluster, OLD_LEASE),
    points: node === 'hv1' ? [/^addresses\.remove/u, /^dhcp\.end/u, /^dns\.end/u] : [/^addresses\.add/u, /^dhcp\.launch/u, /^dns\.launch/u],
  })),
  {
    name: 'a lease',
    ask: (_client, cluster) => grant(cluster, 'db', NEW_LEASE),
    ended: (cluster) => {
      // A guest whose server went before the lease was told asks again.
      if (!leaseOf(cluster, NEW_LEASE) && serverOf(cluster)?.leases.has(NEW_LEASE) === false) grant(cluster, 'db', NEW_LEASE);
      return leaseOf(cluster, OLD_LEASE) && leaseOf(cluster, NEW_LEASE);
    },
    points: [/^store\.update \/status\/dhcp-lease/u, /^dhcp\.markLeases/u, /^dns\.change/u],
  },
  {
    name: 'a reservation',
    ask: ({ reservation }) => reservation.add(VNI, { mac: macOf('web', 0), addresses: ['10.7.0.50'], hostname: 'web' }),
    ended: (cluster) => serverOf(cluster)?.hosts.includes('10.7.0.50') === true && leaseOf(cluster, OLD_LEASE),
    points: [/^dhcp\.reloadHosts/u, /^dns\.change/u],
  },
  {
    name: 'an access rule',
    ask: ({ acl }) => acl.insert({ vni: VNI, direction: 'in', description: 'web', rule: 'tcp dport 80 accept' }),
    ended: (cluster) => leaseOf(cluster, OLD_LEASE),
    points: [/^firewall\.apply/u, /^store\.update \/status\/network/u],
  },
  {
    name: 'another range of addresses',
    ask: ({ network }) => network.modify(VNI, { dhcp4End: '10.7.0.149' }),
    ended: (cluster) => serverOf(cluster)?.config.includes('10.7.0.149') === true && leaseOf(cluster, OLD_LEASE),
    points: [/^dhcp\.end/u, /^dhcp\.launch/u],
  },
  {
    name: 'a DHCP server that dies',
    ask: (_client, cluster) => cluster.hosts.get('hv1').dhcp.kill(VNI),
    ended: (cluster) => serverOf(cluster) !== undefined && leaseOf(cluster, OLD_LEASE),
    points: [/^dhcp\.launch/u],
  },
  {
    name: 'removal of a network',
    plan: { ...SERVED, vms: [] },
    ask: ({ network }) => network.remove(VNI),
    ended: (cluster) => cluster.record.doc('network', String(VNI)) === undefined && cluster.record.doc('dhcp-lease', String(VNI)) === undefined && serverOf(cluster) === undefined,
    points: [/^links\.remove/u, /^addresses\.remove/u, /^dhcp\.remove/u, /^firewall\.apply/u],
  },
];

/** Plays one job with at most one fault. @returns the names of the points it passed. */
async function playJob(job: Job, armed?: { at: number; kind: FaultKind }): Promise<readonly string[]> {
  const plan = clusterPlan.parse(job.plan ?? SERVED);
  const cluster = new SimulatedCluster(plan);
  await cluster.start();
  const api = await cluster.client('api');
  await cluster.settled(CONVERGE_LIMIT_MS);
  if (plan.networks.length > 0) {
    grant(cluster, 'old', OLD_LEASE);
    await cluster.until(() => leaseOf(cluster, OLD_LEASE) && cluster.unsettled().length === 0, CONVERGE_LIMIT_MS, 'the first lease');
  }
  const { points } = cluster.node(job.node ?? 'hv1');
  points.start(armed);
  let answered = false;
  Promise.resolve(job.ask(api, cluster)).then(
    () => (answered = true),
    () => (answered = true),
  );
  const converged = (): boolean => answered && job.ended(cluster) && cluster.unsettled().length === 0;
  const what = `${job.name} with ${armed?.kind} at ${armed?.at}`;
  const reach = async (state: string): Promise<void> => {
    await cluster.until(converged, CONVERGE_LIMIT_MS, `${what} ${state}`).catch((error: unknown) => {
      throw new Error(`${cluster.unsettled().join('; ')} ${String(error)}`);
    });
  };
  await reach('converges');
  points.stop();
  if (armed !== undefined && points.fired === undefined) throw new Error(`nothing went wrong at ${armed.at}`);
  if (armed !== undefined) await cluster.advance(QUIET_MS);
  await reach('stays converged');
  return points.names;
}

/** A lost reply is for writes; the middle of a call for those that change the host in several steps. */
function applies(kind: FaultKind, name: string): boolean {
  if (kind === 'lose-done' || kind === 'lose-not-done') return name.startsWith('store.');
  return kind !== 'kill-during' || !name.startsWith('store.');
}

describe('a fault at every numbered point of', () => {
  test.each(JOBS)('$name leaves no address on two nodes and no lease lost, and ends as asked', async (job) => {
    const points = await playJob(job);
    for (const pattern of job.points) expect(points.filter((name) => pattern.test(name)), String(pattern)).not.toEqual([]);
    const failures: string[] = [];
    for (const [index, name] of points.entries()) {
      for (const kind of KINDS.filter((candidate) => applies(candidate, name))) {
        await playJob(job, { at: index + 1, kind }).catch((error: unknown) => {
          failures.push(`${kind} at ${index + 1} of ${points.length}, ${name}: ${error instanceof Error ? error.message : String(error)}`);
        });
      }
    }
    expect(failures.map((failure) => failure.split('\n')[0])).toEqual([]);
  }, LIMIT_MS);
});
