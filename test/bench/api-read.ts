import type { SceneBench } from './bench.ts';
import { figure, median } from './figure.ts';
import { listOfNewFigures } from './fresh-list.ts';
import { sample } from './http-client.ts';
import { seededVm } from './seed.ts';

const ONE_BAR_MS = 1.5;
const FRESH_ROUNDS = 3;
/** Bars of the list by the number of VMs. */
const LIST_BARS_MS = new Map([[1_000, 25], [10_000, 300]]);

/** GET of one VM by name and by UUID, of the list, and of the list right after all nodes have written new figures. */
export const apiRead: SceneBench = {
  name: 'api-read',
  vmCounts: [100, 1_000, 10_000],
  async measure(scene) {
    const { vmCount, api } = scene;
    const vms = Array.from({ length: vmCount }, (_, number) => seededVm(number));
    const one = await sample({ warmUp: 300, count: 1_000 }, async (number) => {
      // A stride that is prime to the sizes visits the VMs in no helpful order.
      const vm = vms[(number * 7_919) % vmCount] ?? seededVm(0);
      const reply = await api.client.get(`/api/v1/vm/${number % 2 === 0 ? vm.name : vm.uuid}`);
      if (!reply.body.includes(vm.uuid)) throw new Error('the reply is not about this VM');
      return reply;
    });
    const figures = [figure(`vm-get-${vmCount}`, median(one), 'ms', ONE_BAR_MS)];
    const listBar = LIST_BARS_MS.get(vmCount);
    if (listBar === undefined) return figures;
    const last = seededVm(vmCount - 1).uuid;
    const list = await sample(vmCount > 1_000 ? { warmUp: 5, count: 15 } : { warmUp: 10, count: 60 }, async () => {
      const reply = await api.client.get('/api/v1/vm');
      if (!reply.body.includes(last)) throw new Error('the list lacks a VM');
      return reply;
    });
    const fresh: number[] = [];
    for (let round = 1; round <= FRESH_ROUNDS; round += 1) fresh.push(await listOfNewFigures(scene, round));
    return [...figures, figure(`vm-list-${vmCount}`, median(list), 'ms', listBar), figure(`vm-list-fresh-${vmCount}`, median(fresh), 'ms', null)];
  },
};
