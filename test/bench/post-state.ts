import { pathOf } from '../../common/schema/resources.ts';
import type { Scene, SceneBench } from './bench.ts';
import { figure, median } from './figure.ts';
import { sample } from './http-client.ts';
import { seededVm, type SeededVm } from './seed.ts';

const BAR_MS = 6;
const SAMPLES = { warmUp: 50, count: 200 };

/** POST of a state: `start` of VMs that are off, which looks for a node, and `shutdown` of VMs that run. Each call changes another VM. */
export const postState: SceneBench = {
  name: 'post-state',
  vmCounts: [1_000, 10_000],
  async measure(scene) {
    const vms = Array.from({ length: scene.vmCount }, (_, number) => seededVm(number)).reverse();
    const start = await post(scene, vms.filter((vm) => !vm.runs), 'start');
    const shutdown = await post(scene, vms.filter((vm) => vm.runs), 'shutdown');
    return [
      figure(`post-state-start-${scene.vmCount}`, median(start), 'ms', BAR_MS),
      figure(`post-state-shutdown-${scene.vmCount}`, median(shutdown), 'ms', BAR_MS),
    ];
  },
};

async function post({ api, store }: Scene, vms: readonly SeededVm[], state: 'start' | 'shutdown'): Promise<number[]> {
  const elapsed = await sample(SAMPLES, (number) => api.client.post(`/api/v1/vm/${vms[number]?.name}/state`, { state }));
  const entry = await store.read(pathOf('vm', vms[SAMPLES.count]?.uuid ?? ''));
  if (entry?.version !== 1) throw new Error('a reply said 200 and nothing was written');
  return elapsed;
}
