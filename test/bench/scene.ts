import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { silentLogger } from '../../common/log.ts';
import { ZooKeeperStore } from '../../common/store/zookeeper-store.ts';
import { startZooKeeper, type Ensemble } from '../support/zookeeper-server.ts';
import { startApi, type ApiProcess } from './api-process.ts';
import type { SceneBench } from './bench.ts';
import { figure, type Figure } from './figure.ts';
import { seedNodes, seedVms } from './seed.ts';
import { seedStatistics } from './seed-statistics.ts';

const SESSION_TIMEOUT_MS = 30_000;

/**
 * Runs the benches, smallest number of VMs first, over one standalone ZooKeeper that grows. The API is started anew for each number.
 */
export async function runSceneBenches(benches: readonly SceneBench[], report: (figures: readonly Figure[]) => void): Promise<void> {
  const vmCounts = [...new Set(benches.flatMap((bench) => bench.vmCounts))].sort((a, b) => a - b);
  if (vmCounts.length === 0) return;
  const folder = await mkdtemp(join(tmpdir(), 'pvc-bench-'));
  const ensemble = await startZooKeeper(1);
  const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: SESSION_TIMEOUT_MS, clock: systemClock, log: silentLogger });
  try {
    await store.start(new AbortController().signal);
    await seedNodes(store);
    let seeded = 0;
    for (const vmCount of vmCounts) {
      await seedVms(store, seeded, vmCount);
      seeded = vmCount;
      await seedStatistics(store, vmCount, 0);
      await runAt(vmCount, { benches, ensemble, store, folder, report });
    }
  } finally {
    await store.stop();
    await ensemble.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The API prepares the text of each VM in the background after its start, or when it is first asked for. The figures are those afterwards. */
async function firstList(api: ApiProcess, vmCount: number): Promise<Figure> {
  const reply = await api.client.get('/api/v1/vm');
  if (reply.status !== 200) throw new Error(`status ${reply.status}: ${reply.body.slice(0, 300)}`);
  return figure(`vm-list-first-${vmCount}`, reply.elapsedMs, 'ms', null);
}

interface Run {
  benches: readonly SceneBench[];
  ensemble: Ensemble;
  store: ZooKeeperStore;
  folder: string;
  report: (figures: readonly Figure[]) => void;
}

async function runAt(vmCount: number, { benches, ensemble, store, folder, report }: Run): Promise<void> {
  const zookeeper = ensemble.hosts[0] ?? '';
  const api = await startApi(folder, zookeeper);
  try {
    report([await firstList(api, vmCount)]);
    for (const bench of benches.filter((one) => one.vmCounts.includes(vmCount))) report(await bench.measure({ vmCount, zookeeper, store, api }));
  } finally {
    await api.stop();
  }
}
