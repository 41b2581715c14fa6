import { describe, expect, test } from 'vitest';
import { clusterPlan, domainXml, SimulatedCluster, uuidOf, type SimulatedClient } from '../support/simulated-cluster.ts';
import type { FaultKind } from '../support/simulated-faults.ts';
import type { SimulationRecord } from '../support/simulated-record.ts';

const KINDS: readonly FaultKind[] = ['kill-before', 'kill-during', 'kill-after', 'lose-done', 'lose-not-done', 'expire', 'partition'];

/** Long enough for a session that ends, its restart and a forced stop. */
const CONVERGE_LIMIT_MS = 240_000;

/** A daemon that was killed late is back after this, and what it finds is seen. */
const QUIET_MS = 5_000;

/** Hundreds of simulations each; seconds of work on an idle machine. */
const LIMIT_MS = 300_000;

interface Job {
  name: string;
  plan: unknown;
  /** Node whose daemon's calls are the points. */
  node: string;
  ask(client: SimulatedClient, cluster: SimulatedCluster): Promise<unknown>;
  /** What must hold in the end, whatever went wrong on the way. */
  verify(cluster: SimulatedCluster): void;
  ended(cluster: SimulatedCluster): boolean;
}

const THREE = { hv1: {}, hv2: {}, hv3: {} };
const web = uuidOf('web');

const MIB = 1024 ** 2;

/** What `PUT /storage/ceph/volume` does: first the volume has its size, then guests are to be told. */
async function growVolume(cluster: SimulatedCluster, { vm }: SimulatedClient, sizeBytes: number): Promise<void> {
  cluster.resizeVolume('web', sizeBytes);
  await vm.announceVolumeSize({ pool: 'vms', volume: 'web' }, sizeBytes);
}

const guestSize = (cluster: SimulatedCluster): unknown => cluster.hosts.find(cluster.nodeRunning('web') ?? '')?.domains.get(web)?.diskSizes.get('vda');

const runsOnce = (cluster: SimulatedCluster, name: string): void => expect(cluster.nodesRunning(name), name).toHaveLength(1);

const JOBS: readonly Job[] = [
  {
    name: 'start',
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1', running: false }] },
    node: 'hv1',
    ask: ({ vm }) => vm.setPower(web, 'start'),
    ended: (cluster) => cluster.phaseOf('web') === 'running',
    verify: (cluster) => expect(cluster.nodesRunning('web')).toEqual(['hv1']),
  },
  {
    name: 'shutdown',
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] },
    node: 'hv1',
    ask: ({ vm }) => vm.setPower(web, 'shutdown'),
    ended: (cluster) => cluster.phaseOf('web') === 'stopped',
    verify: (cluster) => expect(cluster.nodesRunning('web')).toEqual([]),
  },
  {
    name: 'restart',
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] },
    node: 'hv1',
    ask: ({ vm }) => vm.setPower(web, 'restart'),
    ended: (cluster) => cluster.phaseOf('web') === 'running' && powerAnswered(cluster.record),
    verify: (cluster) => expect(cluster.nodesRunning('web')).toEqual(['hv1']),
  },
  ...(['hv1', 'hv2'] as const).map((node): Job => ({
    name: `live migration, ${node === 'hv1' ? 'source' : 'target'}`,
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] },
    node,
    ask: ({ vm }) => vm.migrate(web, { node: 'hv2' }),
    ended: (cluster) => cluster.phaseOf('web') === 'running' && cluster.unsettled().length === 0,
    verify: (cluster) => runsOnce(cluster, 'web'),
  })),
  {
    name: 'move by shutdown, source',
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] },
    node: 'hv1',
    ask: ({ vm }) => vm.migrate(web, { node: 'hv2', method: 'shutdown' }),
    ended: (cluster) => cluster.unsettled().length === 0,
    verify: (cluster) => runsOnce(cluster, 'web'),
  },
  {
    name: 'removal of a running VM',
    plan: { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] },
    node: 'hv1',
    ask: async (client) => {
      await client.vm.remove(web, { disks: false }).catch(() => undefined);
    },
    ended: (cluster) => cluster.record.doc('vm', web) === undefined,
    verify: (cluster) => {
      expect(cluster.nodesRunning('web')).toEqual([]);
      expect(cluster.record.doc('vm-name', 'web')).toBeUndefined();
    },
  },
  {
    name: 'start in a network that was just created',
    plan: { nodes: { ...THREE, hv1: { coordinator: false } }, networks: [{ vni: 8 }], vms: [{ name: 'web', on: 'hv1', running: false, networks: [8] }] },
    node: 'hv1',
    ask: async ({ network, vm }) => {
      await network.create({ type: 'managed', vni: 7 }, { description: 'net7' });
      await vm.modify(web, { xml: domainXml({ name: 'web', memoryMib: 512, vcpus: 1, networks: [7, 8] }), restart: false });
      await vm.setPower(web, 'start');
    },
    ended: (cluster) => cluster.phaseOf('web') === 'running',
    // A node that is away for a moment is not where a VM is started.
    verify: (cluster) => runsOnce(cluster, 'web'),
  },
  ...(['hv1', 'hv2'] as const).map((node): Job => ({
    name: `live migration with a network, ${node === 'hv1' ? 'source' : 'target'}`,
    plan: { nodes: { hv1: {}, hv2: { coordinator: false }, hv3: {} }, networks: [{ vni: 7 }], vms: [{ name: 'web', on: 'hv1', networks: [7] }] },
    node,
    ask: ({ vm }) => vm.migrate(web, { node: 'hv2' }),
    ended: (cluster) => cluster.phaseOf('web') === 'running' && cluster.unsettled().length === 0,
    verify: (cluster) => runsOnce(cluster, 'web'),
  })),
  {
    name: 'flush of two VMs',
    plan: { nodes: THREE, vms: ['a', 'b'].map((name) => ({ name, on: 'hv1' })) },
    node: 'hv1',
    ask: ({ node }) => node.setDomains('hv1', 'flush', { requestedBy: 'test' }),
    ended: (cluster) => cluster.record.doc('node-status', 'hv1')?.domains.state === 'flushed',
    verify: (cluster) => {
      for (const name of ['a', 'b']) {
        runsOnce(cluster, name);
        expect(cluster.nodeRunning(name)).not.toBe('hv1');
      }
    },
  },
  {
    name: 'growth of a disk',
    plan: { nodes: THREE, storage: true, vms: [{ name: 'web', on: 'hv1', volumes: ['web'] }] },
    node: 'hv1',
    ask: (client, cluster) => growVolume(cluster, client, 3 * MIB),
    ended: growthAnswered,
    verify: (cluster) => {
      expect(cluster.nodesRunning('web')).toEqual(['hv1']);
      expect(guestSize(cluster)).toBe(3 * MIB);
    },
  },
  {
    name: 'growth of a disk, twice',
    plan: { nodes: THREE, storage: true, vms: [{ name: 'web', on: 'hv1', volumes: ['web'] }] },
    node: 'hv1',
    ask: async (client, cluster) => {
      await growVolume(cluster, client, 3 * MIB);
      await growVolume(cluster, client, 5 * MIB);
    },
    ended: growthAnswered,
    verify: (cluster) => expect(guestSize(cluster)).toBe(5 * MIB),
  },
  ...(['hv1', 'hv2'] as const).map((node): Job => ({
    name: `growth of a disk during a live migration, ${node === 'hv1' ? 'source' : 'target'}`,
    plan: { nodes: THREE, storage: true, vms: [{ name: 'web', on: 'hv1', volumes: ['web'] }] },
    node,
    ask: async (client, cluster) => {
      await client.vm.migrate(web, { node: 'hv2' });
      await growVolume(cluster, client, 3 * MIB);
    },
    ended: (cluster) => growthAnswered(cluster) && cluster.unsettled().length === 0,
    verify: (cluster) => {
      runsOnce(cluster, 'web');
      expect(guestSize(cluster)).toBe(3 * MIB);
    },
  })),
];

function growthAnswered({ record }: SimulatedCluster): boolean {
  const { generation } = record.doc('vm', web)?.growth ?? { generation: 0 };
  return generation > 0 && record.doc('vm-status', web)?.growthGeneration === generation;
}

function powerAnswered(record: SimulationRecord): boolean {
  return (record.doc('vm-status', web)?.powerGeneration ?? 0) >= (record.doc('vm', web)?.power.generation ?? 0);
}

/** Plays one job with at most one fault. @returns the names of the points it passed. */
async function playJob(job: Job, armed?: { at: number; kind: FaultKind }): Promise<readonly string[]> {
  const cluster = new SimulatedCluster(clusterPlan.parse(job.plan));
  await cluster.start();
  const api = await cluster.client('api');
  const { points } = cluster.node(job.node);
  points.start(armed);
  if (job.name.startsWith('removal')) cluster.record.defined.clear();
  let answered = false;
  job.ask(api, cluster).then(
    () => (answered = true),
    () => (answered = true),
  );
  const converged = (): boolean => answered && job.ended(cluster) && cluster.unsettled().length === 0;
  await cluster.until(converged, CONVERGE_LIMIT_MS, `${job.name} with ${armed?.kind} at ${armed?.at} converges`);
  points.stop();
  if (armed !== undefined && points.fired === undefined) throw new Error(`nothing went wrong at ${armed.at}`);
  if (armed !== undefined) await cluster.advance(QUIET_MS);
  await cluster.until(converged, CONVERGE_LIMIT_MS, `${job.name} with ${armed?.kind} at ${armed?.at} stays converged`);
  job.verify(cluster);
  return points.names;
}

/** A point that only reads loses nothing when its reply is lost: those faults are for writes. */
function applies(kind: FaultKind, name: string): boolean {
  if (kind === 'lose-done' || kind === 'lose-not-done') return name.startsWith('store.');
  if (kind === 'kill-during') return /hypervisor\.(migrate|create|destroy)/u.test(name);
  return true;
}

describe('a fault at every numbered point of', () => {
  test.each(JOBS)('$name leaves no VM twice and none lost, and ends as asked', async (job) => {
    const points = await playJob(job);
    expect(points.length).toBeGreaterThan(1);
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

describe('the source daemon killed at any time of a live migration', () => {
  test.each(['source-runs', 'source-paused', 'target-runs'] as const)('leaves the guest on exactly one node when the switch-over ends as %s', async (brokenSwitchOver) => {
    const failures: string[] = [];
    for (let atMs = 0; atMs <= 2_500; atMs += 50) {
      const cluster = new SimulatedCluster(clusterPlan.parse({ nodes: THREE, vms: [{ name: 'web', on: 'hv1', guest: { brokenSwitchOver, switchOverMs: 300 } }] }));
      await cluster.start();
      const api = await cluster.client('api');
      await cluster.done(api.vm.migrate(web, { node: 'hv2' }));
      await cluster.advance(atMs);
      cluster.node('hv1').killAndRestart();
      await cluster
        .advance(2_000)
        .then(() => cluster.settled(60_000))
        .then(() => runsOnce(cluster, 'web'))
        .catch((error: unknown) => failures.push(`killed after ${atMs} ms: ${String(error)}`));
    }
    expect(failures.map((failure) => failure.split('\n')[0])).toEqual([]);
  }, LIMIT_MS);
});
