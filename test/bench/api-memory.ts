import type { SceneBench } from './bench.ts';
import { figure } from './figure.ts';
import { sample } from './http-client.ts';

const BAR_MIB = 350;

/** Resident memory of the API after it was asked for the whole list again and again. */
export const apiMemory: SceneBench = {
  name: 'api-memory',
  vmCounts: [10_000],
  async measure({ vmCount, api }) {
    await sample({ warmUp: 0, count: 10 }, () => api.client.get('/api/v1/vm'));
    const { now, peak } = await api.memoryMib();
    return [figure(`api-memory-${vmCount}`, now, 'MiB', BAR_MIB), figure(`api-memory-peak-${vmCount}`, peak, 'MiB', null)];
  },
};
