import { pathOf } from '../../common/schema/resources.ts';
import type { VmFigures, VmStatistics } from '../../common/schema/vm-statistics.ts';
import type { Store } from '../../common/store/store.ts';
import { isSeededAt, macOf, NODES, seededVm, type SeededVm } from './seed.ts';

/** What QEMU's balloon tells of a guest that has its driver. */
const MEMORY_TAGS = ['actual', 'available', 'disk_caches', 'hugetlb_pgalloc', 'hugetlb_pgfail', 'last_update', 'major_fault', 'maximum', 'minor_fault', 'rss', 'swap_in', 'swap_out', 'unused', 'usable'];

/**
 * Writes what all running VMs use, one document per node, as the node daemons do once per keepalive interval.
 * @param round another number means other figures.
 */
export async function seedStatistics(store: Store, vmCount: number, round: number): Promise<void> {
  const running = Array.from({ length: vmCount }, (_, number) => ({ number, vm: seededVm(number) })).filter(({ vm }) => vm.runs);
  for (const node of NODES) {
    const doc: VmStatistics = { vms: Object.fromEntries(running.filter(({ number }) => isSeededAt(node, number)).map(({ number, vm }) => [vm.uuid, figuresOf(vm, number, round)])) };
    const path = pathOf('vm-statistics', node);
    const before = await store.read(path);
    if (before === undefined) await store.create(path, doc);
    else await store.update(path, doc, before.version);
  }
}

/** The processor time of a VM in this round: what a reader recognizes the round by. */
export function cpuTimeOf(number: number, round: number): number {
  return 86_400e9 + number * 1e6 + round;
}

/** Of a guest that has run for some days. */
function figuresOf({ uuid }: SeededVm, number: number, round: number): VmFigures {
  const grown = (base: number): number => base * 1_000 + number + round;
  return {
    cpuNs: [cpuTimeOf(number, round), grown(4e10), grown(2e10)],
    memory: Object.fromEntries(MEMORY_TAGS.map((tag, at) => [tag, at % 3 === 0 ? 0 : 524_288 - at * 1_000 - (number % 997)])),
    disks: { sda: [grown(900), grown(4e7), grown(2_000), grown(3e7)], sdb: [grown(90), grown(4e6), grown(200), grown(3e6)] },
    interfaces: {
      [macOf(uuid, 1)]: [grown(8e7), grown(6e4), 0, 0, grown(3e7), grown(4e4), 0, 0],
      [macOf(uuid, 2)]: [grown(8e5), grown(600), 0, 0, grown(3e5), grown(400), 0, 0],
    },
    vnc: { listen: '0.0.0.0', port: 5_900 + (number % 600) },
  };
}
