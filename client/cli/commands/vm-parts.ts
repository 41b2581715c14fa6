import type { VmView } from '../../../common/view/vm.ts';
import { flag, many, one } from '../declare.ts';
import { column, toneOfState } from '../output/column.ts';
import { showMib } from '../output/units.ts';

/** What more than one command of VMs has. */
export const VM = one('name or UUID of the VM', { completes: 'vm' });
export const VMS = many('names or UUIDs of VMs', { completes: 'vm' });
export const FORCE_LIVE = flag('--force-live', 'fail rather than shut it down to move it');
export const SELECTORS = ['mem', 'memprov', 'vcpus', 'load', 'vms'] as const;
export const MIGRATION_METHODS = ['live', 'shutdown', 'any'] as const;

const toneOf = (row: VmView): ReturnType<typeof toneOfState> => (row.settled ? toneOfState(row.state) : 'busy');

export const VM_COLUMNS = [
  column<VmView>('name', (row) => row.name),
  column<VmView>('state', (row) => row.state, { tone: toneOf }),
  column<VmView>('node', (row) => row.node),
  column<VmView>('home', (row) => (row.last_node === '' ? row.node : row.last_node), { tone: (row) => (row.last_node === '' ? 'faint' : 'busy') }),
  column<VmView>('vcpus', (row) => row.vcpu),
  column<VmView>('memory', (row) => row.memory, { show: (row) => showMib(row.memory) }),
  column<VmView>('networks', (row) => row.networks.map(({ vni }) => vni).join(',')),
  column<VmView>('tags', (row) => row.tags.map(({ name }) => name).join(',')),
  column<VmView>('uuid', (row) => row.uuid, { extra: true }),
  column<VmView>('description', (row) => row.description, { extra: true }),
  column<VmView>('settled', (row) => row.settled, { extra: true }),
  column<VmView>('autostart', (row) => row.node_autostart, { extra: true }),
  column<VmView>('selector', (row) => row.node_selector, { extra: true }),
  column<VmView>('limit', (row) => row.node_limit?.join(',') ?? null, { extra: true }),
  column<VmView>('method', (row) => row.migration_method, { extra: true }),
  column<VmView>('downtime', (row) => row.migration_max_downtime, { show: (row) => `${row.migration_max_downtime} ms`, extra: true }),
  column<VmView>('profile', (row) => row.profile, { extra: true }),
  column<VmView>('disks', (row) => row.disks.map(({ name }) => name).join(','), { extra: true }),
  column<VmView>('why', (row) => row.failed_reason, { tone: () => 'bad', extra: true }),
];
