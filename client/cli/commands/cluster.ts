import { integer, oneWord, text, texts } from '../declare.ts';
import { actVerb, itemVerb, textVerb, type Group } from '../verb.ts';
import { column } from '../output/column.ts';

const status = textVerb({
  name: 'status',
  about: 'Show what there is, and what is wrong, on one screen',
  watches: true,
  examples: [
    ['pvc cluster status', 'counts, use, and a line for each problem'],
    ['pvc cluster status --format json | jq -r .health', 'one word for a script'],
  ],
  run: async (context) => {
    const cluster = await context.cluster();
    const { statusText } = await import('../output/status-text.ts');
    await context.printText(() => cluster.status(), statusText);
  },
});

const maintenance = actVerb({
  name: 'maintenance',
  about: 'Switch maintenance on or off',
  arguments: { state: oneWord(['on', 'off'], 'whether it is maintained') },
  examples: [['pvc cluster maintenance on', 'the health is Maintenance until it is off again']],
  run: async (context, { state }) => (await context.cluster()).setMaintenance(state === 'on'),
});

const primary = itemVerb({
  name: 'primary',
  about: 'Show which node is primary',
  fields: [column<{ primary_node: string }>('node', (row) => row.primary_node)],
  examples: [['pvc cluster primary --columns node --format raw', 'its name, for a script']],
  item: async (context) => ({ primary_node: await (await context.cluster()).primaryNode() }),
});

const events = textVerb({
  name: 'events',
  about: 'Print the changes of VMs, nodes, networks and tasks as they happen',
  detail: 'Until Ctrl-C. A connection that breaks is opened again where it was. With --format json each event is one line.',
  options: {
    kinds: texts('--kind <kind>', 'only vm, node, network or task'),
    id: text('--id <name>', 'only the one with this name, UUID or id', { completes: 'vm' }),
    count: integer('--count <n>', 'end after so many', { min: 1 }),
  },
  examples: [
    ['pvc cluster events', 'a line for each change'],
    ['pvc cluster events --kind vm --format json | jq .document.state', 'for a program'],
  ],
  run: async (context, { kinds, id, count }) => (await import('../follow-events.ts')).followEvents(context, { kinds, id, count }),
});

const description = textVerb({
  name: 'api',
  about: "Print the API's own description, an OpenAPI document",
  examples: [['pvc cluster api | jq -r \'.paths | keys[]\'', 'its paths']],
  run: async (context) => {
    const document = await (await context.identity()).description();
    const { renderDocument } = await import('../output/render.ts');
    context.write(await renderDocument(document, context.settings.format === 'yaml' ? 'yaml' : 'json'));
  },
});

export const CLUSTER_COMMANDS: Group = { name: 'cluster', about: 'The cluster as a whole', verbs: [status, maintenance, primary, events, description] };
