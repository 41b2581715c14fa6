import type { VmView } from '../../../common/view/vm.ts';
import type { Context } from '../context.ts';
import { flag, integer, neededText, one, text, texts, word } from '../declare.ts';
import { readInput } from '../read-input.ts';
import { actVerb, textVerb, type Verb } from '../verb.ts';
import { MIGRATION_METHODS, SELECTORS, VM } from './vm-parts.ts';

const FILE = one('file of a libvirt domain definition; - for standard input', { completes: 'file' });

const define = actVerb({
  name: 'define',
  about: 'Make a VM of a libvirt domain definition',
  detail: 'It is off then. Its networks and volumes must be there.',
  arguments: { file: FILE },
  options: {
    node: text('--node <node>', 'its home; one is chosen when missing', { completes: 'node' }),
    selector: word('--selector <rule>', SELECTORS, 'how a node is chosen for it'),
    limit: texts('--limit <node>', 'node that it may run on', { completes: 'node' }),
    autostart: flag('--autostart', 'start it once when its node becomes ready'),
    method: word('--migration-method <method>', MIGRATION_METHODS, 'how it gets to another node'),
    downtime: integer('--migration-max-downtime <ms>', 'longest pause of a live migration', { min: 1, max: 60_000 }),
    profile: text('--profile <name>', 'name of the profile it was made with'),
    tags: texts('--tag <tag>', 'tag'),
    protectedTags: texts('--protected-tag <tag>', 'tag that cannot be removed'),
  },
  examples: [
    ['pvc vm define web1.xml', 'on a node of the choice of the cluster'],
    ['pvc vm define web1.xml --node hv1 --tag web --autostart', 'there, with a tag'],
    ['virt-install … --print-xml | pvc vm define -', 'from another program'],
  ],
  run: async (context, { file, node, selector, limit, autostart, method, downtime, profile, tags, protectedTags }) =>
    (await context.vms()).define(await readInput(context.terminal, file), {
      node,
      selector,
      limit,
      autostart,
      migration_method: method,
      migration_max_downtime: downtime,
      profile,
      user_tags: tags,
      protected_tags: protectedTags,
    }),
});

const create = actVerb({
  name: 'create',
  about: 'Make a VM from a template (the cluster cannot yet)',
  arguments: { name: one('name of the VM') },
  options: { template: neededText('--template <name>', 'name of the template'), description: text('--description <text>', 'what it is for') },
  examples: [['pvc vm create web1 --template debian', 'when there are templates']],
  run: async (context, { name, template, description }) => (await context.vms()).createFromTemplate(name, { vm_template: template, description }),
});

const dump = textVerb({
  name: 'dump',
  about: "Print a VM's definition as it was given",
  arguments: { vm: VM },
  examples: [['pvc vm dump web1 > web1.xml', 'keep it']],
  run: async (context, { vm }) => {
    const xml = await (await context.vms()).definition(vm);
    const { safeText } = await import('../output/safe-text.ts');
    const shown = context.terminal.stdout.isTTY === true ? safeText(xml) : xml;
    context.write(shown.endsWith('\n') ? shown : `${shown}\n`);
  },
});

const RESTART = flag('--restart', 'restart it, if it runs, so that it takes over the definition at once');

const modify = actVerb({
  name: 'modify',
  about: "Replace a VM's definition",
  detail: 'A VM that runs takes it over with its next start.',
  arguments: { vm: VM, file: FILE },
  options: { restart: RESTART },
  examples: [['pvc vm modify web1 web1.xml --restart', 'and restart it']],
  run: async (context, { vm, file, restart }) => (await context.vms()).modify(vm, await readInput(context.terminal, file), { restart }),
});

const edit = actVerb({
  name: 'edit',
  about: "Edit a VM's definition",
  detail:
    'Opens it in VISUAL or EDITOR, checks it, shows the difference and asks before it writes. What is refused can be edited again; what was not written is kept in a file.',
  arguments: { vm: VM },
  options: { restart: RESTART, yes: flag('-y, --yes', 'write without asking') },
  examples: [
    ['pvc vm edit web1', 'in the editor'],
    ["EDITOR='sed -i s/512/1024/' pvc vm edit web1 --yes", 'by a script'],
  ],
  run: async (context, { vm, restart, yes }) => (await import('../edit/edit-definition.ts')).editDefinition(context, vm, { restart, yes: yes === true }),
});

const rename = actVerb({
  name: 'rename',
  about: 'Rename a VM that is off',
  arguments: { vm: VM, name: one('its new name') },
  examples: [['pvc vm rename web1 web-old', 'its UUID stays']],
  run: async (context, { vm, name }) => (await context.vms()).rename(vm, name),
});

async function definedOne(context: Context, vm: string): Promise<VmView> {
  return (await context.vms()).get(vm);
}

const stateOf = ({ name, state, node }: VmView): string => `VM ${name} (${state} on node ${node}) is stopped by force, and its definition is lost`;

const remove = actVerb({
  name: 'remove',
  about: 'Stop a VM by force and forget it; its volumes stay',
  arguments: { vm: VM },
  examples: [['pvc vm remove web1', 'asks first']],
  loses: async (context, { vm }) => [stateOf(await definedOne(context, vm))],
  run: async (context, { vm }) => (await context.vms()).remove(vm),
});

const erase = actVerb({
  name: 'delete',
  about: 'Stop a VM by force, forget it, and remove its volumes',
  arguments: { vm: VM },
  examples: [
    ['pvc vm delete web1', 'says which volumes will be lost, and asks'],
    ['pvc vm delete web1 --yes', 'does not ask'],
  ],
  loses: async (context, { vm }) => {
    const seen = await definedOne(context, vm);
    const volumes = seen.disks.filter(({ type }) => type === 'rbd').map(({ name }) => name);
    return [stateOf(seen), volumes.length === 0 ? 'it has no volumes' : `these volumes are lost with all that is on them and their snapshots: ${volumes.join(', ')}`];
  },
  run: async (context, { vm }) => (await context.vms()).remove(vm, { delete_disks: true }),
});

export const VM_DEFINITION_VERBS: readonly Verb[] = [define, create, dump, modify, edit, rename, remove, erase];
