import type { VmView } from '../../../common/view/vm.ts';
import { clearable, clearableTexts, clearableWord, flag, integer, one, onOff } from '../declare.ts';
import { column } from '../output/column.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';
import { MIGRATION_METHODS, SELECTORS, VM } from './vm-parts.ts';

type Meta = Pick<VmView, 'name' | 'node_limit' | 'node_selector' | 'node_autostart' | 'migration_method' | 'migration_max_downtime' | 'profile'>;

/** Shows the rules, after it has changed those that are given. */
export const META_VERB = itemVerb({
  name: 'meta',
  about: "Show a VM's rules, or change those that are given",
  detail: 'Where it may run, how a node is chosen for it, how it moves. What is not given stays as it is.',
  arguments: { vm: VM },
  options: {
    limit: clearableTexts('--limit <node>', 'node that it may run on', { completes: 'node' }),
    selector: clearableWord('--selector <rule>', SELECTORS, 'how a node is chosen for it'),
    autostart: onOff('--autostart <on|off>', 'start it once when its node becomes ready'),
    profile: clearable('--profile <name>', 'name of its profile'),
    method: clearableWord('--migration-method <method>', MIGRATION_METHODS, 'how it gets to another node'),
    downtime: integer('--migration-max-downtime <ms>', 'longest pause of a live migration', { min: 1, max: 60_000 }),
    blocked: clearableWord('--on-flush-blocked <what>', ['block', 'shutdown'], 'what a flush does when no node has room for it'),
  },
  fields: [
    column<Meta>('name', (row) => row.name),
    column<Meta>('limit', (row) => row.node_limit?.join(',') ?? null),
    column<Meta>('selector', (row) => row.node_selector),
    column<Meta>('autostart', (row) => row.node_autostart),
    column<Meta>('method', (row) => row.migration_method),
    column<Meta>('downtime', (row) => row.migration_max_downtime, { show: (row) => `${row.migration_max_downtime} ms` }),
    column<Meta>('profile', (row) => row.profile),
  ],
  examples: [
    ['pvc vm meta web1', 'show them'],
    ['pvc vm meta web1 --limit hv1,hv2 --autostart on', 'change two of them'],
    ['pvc vm meta web1 --limit none', 'it may run anywhere'],
  ],
  item: async (context, { vm, limit, selector, autostart, profile, method, downtime, blocked }): Promise<Meta> => {
    const vms = await context.vms();
    const changes = { limit, selector, autostart, profile, migration_method: method, migration_max_downtime: downtime, on_flush_blocked: blocked };
    if (Object.values(changes).some((one) => one !== undefined)) context.note((await vms.setMeta(vm, changes)).message);
    return vms.meta(vm);
  },
});

const TAG = one('the tag: letters, digits, dots, dashes and underscores');
type Tag = VmView['tags'][number];

export const TAG_COMMANDS: Group = {
  name: 'tag',
  about: 'Tags of VMs',
  verbs: [
    listVerb({
      name: 'list',
      about: "List a VM's tags",
      arguments: { vm: VM },
      columns: [column<Tag>('name', (row) => row.name), column<Tag>('protected', (row) => row.protected)],
      examples: [['pvc vm tag list web1', 'and which of them cannot be removed']],
      rows: async (context, { vm }) => (await (await context.vms()).tags(vm)).tags,
    }),
    actVerb({
      name: 'add',
      about: 'Add a tag to a VM',
      arguments: { vm: VM, tag: TAG },
      options: { protected: flag('--protected', 'it cannot be removed') },
      examples: [['pvc vm tag add web1 web', 'pvc vm list --tag web finds it']],
      run: async (context, given) => (await context.vms()).addTag(given.vm, given.tag, { protected: given.protected }),
    }),
    actVerb({
      name: 'remove',
      about: 'Remove a tag from a VM',
      arguments: { vm: VM, tag: TAG },
      examples: [['pvc vm tag remove web1 web', 'unless it is protected']],
      run: async (context, { vm, tag }) => (await context.vms()).removeTag(vm, tag),
    }),
  ],
};
