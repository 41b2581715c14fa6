import { z } from 'zod';
import { until } from '../support/until.ts';
import type { Scene } from './bench.ts';
import { NODES, isSeededAt, seededVm } from './seed.ts';
import { cpuTimeOf, seedStatistics } from './seed-statistics.ts';

const SEEN_LIMIT_MS = 30_000;

const shown = z.object({ vcpu_stats: z.object({ cpu_time: z.number() }) });

/** Writes new figures of all guests, waits until the API has those of each node, and asks for the list. @returns how long the list took, in milliseconds. */
export async function listOfNewFigures({ store, api, vmCount }: Pick<Scene, 'store' | 'api' | 'vmCount'>, round: number): Promise<number> {
  await seedStatistics(store, vmCount, round);
  for (const node of NODES) {
    const number = Array.from({ length: vmCount }, (_, at) => at).find((at) => seededVm(at).runs && isSeededAt(node, at)) ?? 0;
    const isThere = async (): Promise<boolean> => {
      const reply = await api.client.get(`/api/v1/vm/${seededVm(number).name}`);
      return shown.parse(JSON.parse(reply.body)).vcpu_stats.cpu_time === cpuTimeOf(number, round);
    };
    await until(isThere, SEEN_LIMIT_MS, `the figures of ${node}`);
  }
  const reply = await api.client.get('/api/v1/vm');
  if (reply.status !== 200) throw new Error(`status ${reply.status}: ${reply.body.slice(0, 300)}`);
  return reply.elapsedMs;
}
