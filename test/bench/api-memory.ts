import type { SceneBench } from './bench.ts';
import { figure } from './figure.ts';
import { listOfNewFigures } from './fresh-list.ts';

const BAR_MIB = 350;
/** Few: ZooKeeper keeps its last 500 writes in memory (commitLogCount), and these have 400 kB each. */
const ROUNDS = 5;

/** Resident memory of the API after it was asked for the whole list again and again, each time with new figures of all guests. */
export const apiMemory: SceneBench = {
  name: 'api-memory',
  vmCounts: [10_000],
  async measure(scene) {
    const { vmCount, api } = scene;
    for (let round = 1; round <= ROUNDS; round += 1) await listOfNewFigures(scene, round);
    const { now, peak } = await api.memoryMib();
    return [figure(`api-memory-${vmCount}`, now, 'MiB', BAR_MIB), figure(`api-memory-peak-${vmCount}`, peak, 'MiB', null)];
  },
};
