import type { VmView } from '../../../common/view/vm.ts';
import { ClientError } from '../../client-error.ts';
import type { VmClient } from '../../vm-client.ts';
import type { Context } from '../context.ts';
import { flag, text, word } from '../declare.ts';
import { column } from '../output/column.ts';
import { attend } from '../progress/attend.ts';
import { actVerb, itemVerb, type Reply, type Verb } from '../verb.ts';
import { FORCE_LIVE, SELECTORS, VM } from './vm-parts.ts';

interface Place {
  name: string;
  node: string;
  last_node: string;
}

const where = itemVerb({
  name: 'node',
  about: 'Show where a VM is, and where it was migrated from',
  arguments: { vm: VM },
  fields: [column<Place>('name', (row) => row.name), column<Place>('node', (row) => row.node), column<Place>('home', (row) => (row.last_node === '' ? row.node : row.last_node))],
  examples: [['pvc vm node web1 --columns node --format raw', 'the name of the node, for a script']],
  item: async (context, { vm }) => (await context.vms()).node(vm),
});

/** Asks for another place and shows how far it is. @throws ClientError 'outcome' when the VM stayed where it was. */
async function relocate(context: Context, name: string, ask: (vms: VmClient) => Promise<{ message: string }>): Promise<Reply> {
  const vms = await context.vms();
  const before = await vms.node(name);
  const { message } = await ask(vms);
  if (!context.settings.wait) return { message };
  const { migrationDisplay } = await import('../progress/migration-display.ts');
  const after = await attend<VmView>(context, {
    what: `the migration of VM ${before.name}`,
    seeLater: `pvc vm info ${before.name}`,
    cancel: { about: `the VM stays on node ${before.node}`, run: () => vms.abortMigration(name) },
    display: await migrationDisplay(context.terminal, before.node),
    wait: (options) => vms.waitVm(name, ['start', 'stop', 'disable'], options),
  });
  if (after === undefined) return { message };
  if (after.node === before.node) throw stayed(after);
  return { message: `VM ${after.name} ${after.state === 'start' ? 'runs' : 'is'} on node ${after.node}` };
}

function stayed({ name, node, last_migration }: VmView): ClientError {
  const why = last_migration?.error ?? undefined;
  return new ClientError('outcome', `VM ${name} is still on node ${node}: its migration ${endOf(last_migration?.outcome)}`, { details: why === undefined ? [] : [why] });
}

function endOf(outcome: string | undefined): string {
  if (outcome === undefined) return 'did not happen';
  return outcome === 'aborted' ? 'was called off' : outcome;
}

const TARGET = {
  node: text('--node <node>', 'where to; one is chosen when missing', { completes: 'node' }),
  selector: word('--selector <rule>', SELECTORS, 'how a node is chosen: most free memory, least provisioned memory, fewest vCPUs, least load, fewest VMs'),
};
const DETAIL = 'Live if possible, by shutdown and start if not. A VM that is off only gets another place. Ctrl-C asks whether to go on.';

const migrate = actVerb({
  name: 'migrate',
  about: 'Move a VM to another node for a while',
  detail: `${DETAIL} unmigrate brings it home.`,
  arguments: { vm: VM },
  options: { ...TARGET, force: flag('--force', 'also when it has been migrated already; its home stays what it was'), forceLive: FORCE_LIVE },
  waits: true,
  examples: [
    ['pvc vm migrate web1', 'to a node of the choice of the cluster, with a bar'],
    ['pvc vm migrate web1 --node hv2 --force-live', 'there, or not at all'],
  ],
  run: (context, { vm, node, selector, force, forceLive }) => relocate(context, vm, (vms) => vms.migrate(vm, { node, selector, force, force_live: forceLive })),
});

const unmigrate = actVerb({
  name: 'unmigrate',
  about: 'Bring a migrated VM back home',
  detail: DETAIL,
  arguments: { vm: VM },
  options: { forceLive: FORCE_LIVE },
  waits: true,
  examples: [['pvc vm unmigrate web1', 'where it was before it was migrated']],
  run: (context, { vm, forceLive }) => relocate(context, vm, (vms) => vms.unmigrate(vm, { force_live: forceLive })),
});

const move = actVerb({
  name: 'move',
  about: 'Move a VM to another node for good',
  detail: DETAIL,
  arguments: { vm: VM },
  options: { ...TARGET, forceLive: FORCE_LIVE },
  waits: true,
  examples: [['pvc vm move web1 --node hv3', 'that is its home from then on']],
  run: (context, { vm, node, selector, forceLive }) => relocate(context, vm, (vms) => vms.move(vm, { node, selector, force_live: forceLive })),
});

const abort = actVerb({
  name: 'abort',
  about: 'Let a VM that is on its way to another node stay where it is',
  arguments: { vm: VM },
  examples: [['pvc vm abort web1', 'while it is being migrated']],
  run: async (context, { vm }) => (await context.vms()).abortMigration(vm),
});

export const VM_PLACE_VERBS: readonly Verb[] = [where, migrate, unmigrate, move, abort];
