import { describe, expect, test } from 'vitest';
import { SimulatedApi } from '../support/simulated-api.ts';
import { clusterPlan, domainXml, SimulatedCluster, uuidOf, type SimulatedClient } from '../support/simulated-cluster.ts';
import type { FaultKind } from '../support/simulated-faults.ts';

const KINDS: readonly FaultKind[] = ['kill-before', 'kill-during', 'kill-after', 'lose-done', 'lose-not-done', 'expire', 'partition'];

const CONVERGE_LIMIT_MS = 240_000;

/** Longer than the end of a killed process's session. */
const QUIET_MS = 15_000;

const LIMIT_MS = 300_000;

const THREE = { hv1: {}, hv2: {}, hv3: {} };
const web = uuidOf('web');
const other = uuidOf('other');

interface Job {
  name: string;
  plan: unknown;
  /** Brings the cluster where the request makes sense. */
  prepare?(client: SimulatedClient, cluster: SimulatedCluster): Promise<void>;
  ask(client: SimulatedClient): Promise<unknown>;
  /** Nothing of the request was done. */
  before(cluster: SimulatedCluster): boolean;
  /** All of it was done. */
  after(cluster: SimulatedCluster): boolean;
}

const OFF = { nodes: THREE, vms: [{ name: 'web', on: 'hv1', running: false }] };
const ON = { nodes: THREE, vms: [{ name: 'web', on: 'hv1' }] };
const specOf = (cluster: SimulatedCluster) => cluster.record.doc('vm', web);
const holds = (cluster: SimulatedCluster, name: string): string | undefined => cluster.record.doc('vm-name', name)?.uuid;
const on = (cluster: SimulatedCluster, node: string): boolean => cluster.nodesRunning('web').join() === node;

const JOBS: readonly Job[] = [
  {
    name: 'define',
    plan: { nodes: THREE },
    ask: ({ vm }) => vm.define({ xml: domainXml({ name: 'web', memoryMib: 512, vcpus: 1 }) }),
    before: (cluster) => specOf(cluster) === undefined,
    after: (cluster) => specOf(cluster)?.name === 'web' && holds(cluster, 'web') === web,
  },
  {
    name: 'start',
    plan: OFF,
    ask: ({ vm }) => vm.setPower(web, 'start'),
    before: (cluster) => specOf(cluster)?.power.action === 'stop' && on(cluster, ''),
    after: (cluster) => cluster.phaseOf('web') === 'running' && on(cluster, 'hv1'),
  },
  {
    name: 'shutdown',
    plan: ON,
    ask: ({ vm }) => vm.setPower(web, 'shutdown'),
    before: (cluster) => specOf(cluster)?.power.action === 'start' && on(cluster, 'hv1'),
    after: (cluster) => specOf(cluster)?.power.action === 'shutdown' && on(cluster, ''),
  },
  {
    name: 'modify with restart',
    plan: ON,
    ask: ({ vm }) => vm.modify(web, { xml: domainXml({ name: 'web', memoryMib: 768, vcpus: 1 }), restart: true }),
    before: (cluster) => specOf(cluster)?.memoryMib === 512 && on(cluster, 'hv1'),
    after: (cluster) => specOf(cluster)?.memoryMib === 768 && specOf(cluster)?.power.action === 'restart' && on(cluster, 'hv1'),
  },
  {
    name: 'rename',
    plan: OFF,
    ask: ({ vm }) => vm.rename(web, 'shop'),
    before: (cluster) => specOf(cluster)?.name === 'web' && holds(cluster, 'web') === web,
    after: (cluster) => specOf(cluster)?.name === 'shop' && holds(cluster, 'shop') === web,
  },
  {
    name: 'removal of a VM that is off',
    plan: OFF,
    ask: ({ vm }) => vm.remove(web, { disks: false }),
    before: (cluster) => specOf(cluster)?.deletion === null && holds(cluster, 'web') === web,
    after: (cluster) => specOf(cluster) === undefined && holds(cluster, 'web') === undefined,
  },
  {
    name: 'removal of a VM that runs',
    plan: ON,
    ask: ({ vm }) => vm.remove(web, { disks: false }),
    before: (cluster) => specOf(cluster)?.deletion === null && on(cluster, 'hv1'),
    after: (cluster) => specOf(cluster) === undefined && on(cluster, ''),
  },
  {
    name: 'live migration',
    plan: ON,
    ask: ({ vm }) => vm.migrate(web, { node: 'hv2' }),
    before: (cluster) => specOf(cluster)?.homeNode === null && on(cluster, 'hv1'),
    after: (cluster) => specOf(cluster)?.homeNode === 'hv1' && on(cluster, 'hv2'),
  },
  {
    name: 'unmigrate',
    plan: ON,
    prepare: async ({ vm, mirror }, cluster) => {
      await cluster.done(vm.migrate(web, { node: 'hv2' }));
      await cluster.until(() => mirror.get('vm-status', web)?.doc.owner === 'hv2' && cluster.unsettled().length === 0, CONVERGE_LIMIT_MS, 'the VM is away');
    },
    ask: ({ vm }) => vm.unmigrate(web),
    before: (cluster) => specOf(cluster)?.homeNode === 'hv1' && on(cluster, 'hv2'),
    after: (cluster) => specOf(cluster)?.homeNode === null && on(cluster, 'hv1'),
  },
  {
    name: 'flush of two VMs',
    plan: { nodes: THREE, vms: ['web', 'other'].map((name) => ({ name, on: 'hv1' })) },
    ask: ({ node }) => node.setDomains('hv1', 'flush', { requestedBy: 'test' }),
    before: (cluster) => cluster.record.doc('node-status', 'hv1')?.domains.state === 'ready' && on(cluster, 'hv1'),
    after: (cluster) => cluster.record.doc('node-status', 'hv1')?.domains.state === 'flushed' && !on(cluster, 'hv1') && cluster.nodesRunning('other').length === 1,
  },
  {
    name: 'hand-over of the primary',
    plan: { nodes: THREE },
    ask: ({ node }) => node.setCoordinator('hv2', 'primary'),
    before: (cluster) => cluster.record.doc('lease', 'primary')?.node === 'hv1' && cluster.record.doc('node-status', 'hv1')?.coordinatorState === 'primary',
    after: (cluster) => cluster.record.doc('lease', 'primary')?.node === 'hv2' && cluster.record.doc('node-status', 'hv2')?.coordinatorState === 'primary',
  },
];

/** Plays one job with at most one fault in the API. @returns the names of the points it passed. */
async function playJob(job: Job, armed?: { at: number; kind: FaultKind }): Promise<readonly string[]> {
  const cluster = new SimulatedCluster(clusterPlan.parse(job.plan));
  await cluster.start();
  const api = new SimulatedApi(cluster);
  await cluster.done(api.boot());
  await job.prepare?.(api.client!, cluster);
  cluster.record.defined.clear();
  api.points.start(armed);
  let answer: 'done' | 'refused' | undefined;
  job.ask(api.client!).then(
    () => (answer = 'done'),
    () => (answer = 'refused'),
  );
  const over = (): boolean => api.client !== undefined && cluster.unsettled().length === 0 && (answer !== undefined || api.restarts > 0);
  await cluster.until(over, CONVERGE_LIMIT_MS, `${job.name}: the API is there and the cluster has settled`);
  if (armed === undefined) expect(answer).toBe('done');
  const names = [...api.points.names];
  api.points.stop();
  if (armed !== undefined && api.points.fired === undefined) throw new Error(`nothing went wrong at ${armed.at}`);
  await cluster.advance(QUIET_MS);
  const either = (): boolean => over() && (job.after(cluster) || (answer !== 'done' && job.before(cluster)));
  await cluster.until(either, CONVERGE_LIMIT_MS, `${job.name}: all or nothing, and all if it was answered with success`);
  await askAgain(job, cluster, api);
  return names;
}

/** Whoever got no answer asks again; what is done already may be refused, and stays done. */
async function askAgain(job: Job, cluster: SimulatedCluster, api: SimulatedApi): Promise<void> {
  const wasDone = job.after(cluster);
  await cluster.done(job.ask(api.client!)).catch((error: unknown) => {
    if (!wasDone) throw error;
  });
  await cluster.until(() => cluster.unsettled().length === 0 && job.after(cluster), CONVERGE_LIMIT_MS, `${job.name}: asked again, it is done`);
}

describe('the API goes wrong at every numbered write of', () => {
  test.each(JOBS)('$name: all of it is done or nothing, success is kept, and asking again does it', async (job) => {
    const points = await playJob(job);
    expect(points.length).toBeGreaterThan(0);
    expect(points.every((name) => name.startsWith('store.'))).toBe(true);
    const failures: string[] = [];
    for (const [index, name] of points.entries()) {
      for (const kind of KINDS) {
        await playJob(job, { at: index + 1, kind }).catch((error: unknown) => {
          failures.push(`${kind} at ${index + 1} of ${points.length}, ${name}: ${error instanceof Error ? error.message : String(error)}`);
        });
      }
    }
    expect(failures.map((failure) => failure.split('\n')[0])).toEqual([]);
  }, LIMIT_MS);

  test('a rename that was killed half-way leaves no name that nobody can have', async () => {
    const failures: string[] = [];
    for (let at = 1; at <= 4; at += 1) {
      const cluster = new SimulatedCluster(clusterPlan.parse(OFF));
      await cluster.start();
      const api = new SimulatedApi(cluster);
      await cluster.done(api.boot());
      api.points.start({ at, kind: 'kill-after' });
      void api.client!.vm.rename(web, 'shop').catch(() => undefined);
      await cluster.until(() => api.restarts > 0, CONVERGE_LIMIT_MS, 'the API is back');
      const free = specOf(cluster)?.name === 'web' ? 'shop' : 'web';
      const defined = api.client!.vm.define({ xml: domainXml({ name: free, memoryMib: 512, vcpus: 1 }, other) });
      await cluster.done(defined).catch((error: unknown) => failures.push(`killed at ${at}, ${free}: ${String(error)}`));
    }
    expect(failures.map((failure) => failure.split('\n')[0])).toEqual([]);
  }, LIMIT_MS);
});
