import type { VmView } from '../../../common/view/vm.ts';
import { flag, optional, text, word } from '../declare.ts';
import { column, fieldsOf, toneOfState } from '../output/column.ts';
import { section } from '../output/render.ts';
import { showBytes } from '../output/units.ts';
import { itemVerb, listVerb, type Group } from '../verb.ts';
import { VM_DEFINITION_VERBS } from './vm-definition.ts';
import { VM_OUTPUT_VERBS } from './vm-output.ts';
import { VM, VM_COLUMNS } from './vm-parts.ts';
import { VM_PLACE_VERBS } from './vm-place.ts';
import { VM_POWER_VERBS } from './vm-power.ts';
import { META_VERB, TAG_COMMANDS } from './vm-rules.ts';

const STATES = ['start', 'restart', 'shutdown', 'stop', 'disable', 'fail', 'migrate', 'unmigrate', 'provision', 'import', 'restore', 'mirror'] as const;

const list = listVerb({
  name: 'list',
  about: 'List the VMs',
  arguments: { limit: optional('only VMs whose name matches this regular expression, anywhere in it; or a UUID', { completes: 'vm' }) },
  options: {
    node: text('--node <node>', 'only VMs on this node', { completes: 'node' }),
    state: word('--state <state>', STATES, 'only VMs in this state'),
    tag: text('--tag <tag>', 'only VMs with this tag'),
    negate: flag('--negate', 'turn each of these round'),
  },
  columns: VM_COLUMNS,
  examples: [
    ['pvc vm list', 'all of them'],
    ['pvc vm list ^web --state start', 'those that run and whose name begins with web'],
    ['pvc vm list --node hv1 --sort -memory', 'on one node, the largest first'],
    ['pvc vm list --columns name --format raw', 'names alone, for a script'],
    ['pvc vm list --watch', 'again every two seconds'],
  ],
  rows: async (context, filter) => (await context.vms()).list(filter),
});

const DISKS = section<VmView, VmView['disks'][number]>(
  'Disks',
  [column('type', (row) => row.type), column('name', (row) => row.name), column('dev', (row) => row.dev), column('bus', (row) => row.bus), column('read', (row) => row.rd_bytes, { show: (row) => showBytes(row.rd_bytes) }), column('written', (row) => row.wr_bytes, { show: (row) => showBytes(row.wr_bytes) })],
  (row) => row.disks,
);
const NETWORKS = section<VmView, VmView['networks'][number]>(
  'Networks',
  [column('vni', (row) => row.vni), column('mac', (row) => row.mac), column('model', (row) => row.model), column('received', (row) => row.rd_bytes, { show: (row) => showBytes(row.rd_bytes) }), column('sent', (row) => row.wr_bytes, { show: (row) => showBytes(row.wr_bytes) })],
  (row) => row.networks,
);
const LAST_MIGRATION = section<VmView, NonNullable<VmView['last_migration']>>(
  'Last migration',
  [column('from', (row) => row.from), column('to', (row) => row.to), column('outcome', (row) => row.outcome, { tone: (row) => (row.outcome === 'failed' ? 'bad' : undefined) }), column('seconds', (row) => Math.round(row.elapsed_ms / 100) / 10), column('error', (row) => row.error)],
  (row) => (row.last_migration === null ? [] : [row.last_migration]),
);

const info = itemVerb({
  name: 'info',
  about: 'Show a VM, its disks and networks, and how its last migration went',
  arguments: { vm: VM },
  fields: fieldsOf(VM_COLUMNS),
  sections: [DISKS, NETWORKS, LAST_MIGRATION],
  examples: [
    ['pvc vm info web1', 'by name, or by UUID'],
    ['pvc vm info web1 --format yaml', 'everything, with its counters'],
  ],
  item: async (context, { vm }) => (await context.vms()).get(vm),
});

const state = itemVerb({
  name: 'state',
  about: "Show a VM's state",
  arguments: { vm: VM },
  fields: [column<{ name: string; state: string }>('name', (row) => row.name), column<{ name: string; state: string }>('state', (row) => row.state, { tone: (row) => toneOfState(row.state) })],
  examples: [['pvc vm state web1 --columns state --format raw', 'one word for a script']],
  item: async (context, { vm }) => (await context.vms()).state(vm),
});

export const VM_COMMANDS: Group = {
  name: 'vm',
  about: 'Virtual machines',
  verbs: [list, info, state, ...VM_POWER_VERBS, ...VM_PLACE_VERBS, ...VM_DEFINITION_VERBS, META_VERB, ...VM_OUTPUT_VERBS],
  groups: [TAG_COMMANDS],
};
