import type { NodeView } from '../../../common/view/node.ts';
import type { Context } from '../context.ts';
import { flag, integer, one, optional, word } from '../declare.ts';
import { column, fieldsOf, toneOfState } from '../output/column.ts';
import { section } from '../output/render.ts';
import { showMib } from '../output/units.ts';
import { attendTask } from '../progress/attend-task.ts';
import { followLines, LINES_MAX } from '../progress/follow-lines.ts';
import { actVerb, itemVerb, listVerb, textVerb, type Group, type Reply } from '../verb.ts';

const DAEMON_STATES = ['init', 'run', 'shutdown', 'stop', 'dead'] as const;
const COORDINATOR_STATES = ['primary', 'secondary', 'takeover', 'relinquish', 'client'] as const;
const DOMAIN_STATES = ['ready', 'flush', 'flushed', 'unflush'] as const;

const node = one('name of the node', { completes: 'node' });

const states = [
  column<NodeView>('daemon', (row) => row.daemon_state, { tone: (row) => toneOfState(row.daemon_state) }),
  column<NodeView>('coordinator', (row) => row.coordinator_state, { tone: (row) => toneOfState(row.coordinator_state) }),
  column<NodeView>('domains', (row) => row.domain_state, { tone: (row) => toneOfState(row.domain_state) }),
];

const memory = (name: string, of: (row: NodeView) => number, extra?: true) => column<NodeView>(name, of, { show: (row) => showMib(of(row)), ...(extra === undefined ? {} : { extra }) });

const COLUMNS = [
  column<NodeView>('name', (row) => row.name),
  ...states,
  column<NodeView>('vms', (row) => row.domains_count),
  column<NodeView>('cpus', (row) => row.cpu_count),
  column<NodeView>('vcpus', (row) => row.vcpu.allocated),
  column<NodeView>('load', (row) => row.load),
  memory('memory', (row) => row.memory.total),
  memory('used', (row) => row.memory.used),
  memory('free', (row) => row.memory.free),
  memory('allocated', (row) => row.memory.allocated, true),
  memory('provisioned', (row) => row.memory.provisioned, true),
  column<NodeView>('health', (row) => row.health, { extra: true }),
  column<NodeView>('version', (row) => row.pvc_version, { extra: true }),
  column<NodeView>('kernel', (row) => row.kernel, { extra: true }),
  column<NodeView>('os', (row) => row.os, { extra: true }),
  column<NodeView>('arch', (row) => row.arch, { extra: true }),
  column<NodeView>('libvirt', (row) => row.libvirt_version, { extra: true }),
  column<NodeView>('qemu', (row) => row.qemu_version, { extra: true }),
];

const FIELDS = fieldsOf(COLUMNS);

const RUNNING = section<NodeView, string>('VMs', [column('name', (name) => name)], (row) => row.running_domains);
const BLOCKED = section<NodeView, NodeView['flush_blocked'][number]>(
  'VMs that the last flush could not move',
  [column('name', (row) => row.name), column('why', (row) => row.why)],
  (row) => row.flush_blocked,
);

const list = listVerb({
  name: 'list',
  about: 'List the nodes',
  arguments: { limit: optional('only nodes whose name matches this regular expression, anywhere in it') },
  options: {
    daemonState: word('--daemon-state <state>', DAEMON_STATES, 'only nodes whose daemon is in this state'),
    coordinatorState: word('--coordinator-state <state>', COORDINATOR_STATES, 'only nodes with this part'),
    domainState: word('--domain-state <state>', DOMAIN_STATES, 'only nodes that run VMs, or none, or are on the way'),
  },
  columns: COLUMNS,
  examples: [
    ['pvc node list', 'all of them'],
    ['pvc node list --daemon-state dead', 'those that have gone without a word'],
    ['pvc node list --columns name,free --sort -free', 'where there is most memory left'],
    ['pvc node list --format json | jq -r .[].name', 'for a program'],
  ],
  rows: async (context, { limit, daemonState, coordinatorState, domainState }) =>
    (await context.nodes()).list({ limit, daemon_state: daemonState, coordinator_state: coordinatorState, domain_state: domainState }),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a node, the VMs on it, and what keeps it from being flushed',
  arguments: { node },
  fields: FIELDS,
  sections: [RUNNING, BLOCKED],
  examples: [
    ['pvc node info hv1', 'states, memory, versions, VMs'],
    ['pvc node info hv1 --watch', 'again every two seconds'],
  ],
  item: async (context, given) => (await context.nodes()).get(given.node),
});

interface States {
  name: string;
  daemon_state: string;
  coordinator_state: string;
  domain_state: string;
}

const state = itemVerb({
  name: 'state',
  about: 'Show the three states of a node',
  arguments: { node },
  fields: [
    column<States>('daemon', (row) => row.daemon_state, { tone: (row) => toneOfState(row.daemon_state) }),
    column<States>('coordinator', (row) => row.coordinator_state, { tone: (row) => toneOfState(row.coordinator_state) }),
    column<States>('domains', (row) => row.domain_state, { tone: (row) => toneOfState(row.domain_state) }),
  ],
  examples: [
    ['pvc node state hv1', 'daemon, coordinator, domains'],
    ['pvc node state hv1 --columns domains --format raw', 'one word for a script'],
  ],
  item: async (context, given): Promise<States> => {
    const nodes = await context.nodes();
    const [daemon, coordinator, domains] = await Promise.all([nodes.daemonState(given.node), nodes.coordinatorState(given.node), nodes.domainState(given.node)]);
    return { ...daemon, ...coordinator, ...domains };
  },
});

/** Flush and ready: the task's steps are VMs. Called off by asking for the opposite. */
async function setDomains(context: Context, name: string, wish: 'flush' | 'ready'): Promise<Reply> {
  const nodes = await context.nodes();
  const reply = wish === 'flush' ? await nodes.flush(name) : await nodes.ready(name);
  if (!context.settings.wait || reply.task_id === undefined) return { message: reply.message };
  const [what, about] = wish === 'flush' ? [`the flush of node ${name}`, 'its VMs come back'] : [`the return of VMs to node ${name}`, 'the node is flushed again'];
  const done = wish === 'flush' ? `node ${name} is flushed` : `node ${name} is ready`;
  const cancel = { about, run: () => (wish === 'flush' ? nodes.ready(name) : nodes.flush(name)) };
  return attendTask(context, { task: reply.task_id, what, cancel, done });
}

const flush = actVerb({
  name: 'flush',
  about: 'Move all VMs away from a node',
  detail: 'It runs none until `pvc node ready`. VMs are moved live if possible. A VM that fits nowhere stays, and the command says which. Ctrl-C asks whether to go on.',
  arguments: { node },
  waits: true,
  examples: [
    ['pvc node flush hv2', 'with a line for each VM'],
    ['pvc node flush hv2 --no-wait', 'come back at once; see pvc task list'],
  ],
  run: (context, given) => setDomains(context, given.node, 'flush'),
});

const ready = actVerb({
  name: 'ready',
  about: 'Let a node run VMs again, and bring its own back',
  arguments: { node },
  waits: true,
  examples: [['pvc node ready hv2', 'after it was flushed; a new node begins so, too']],
  run: (context, given) => setDomains(context, given.node, 'ready'),
});

const primary = actVerb({
  name: 'primary',
  about: 'Make a coordinator the primary node',
  detail: 'The addresses of the cluster and the API move with it; this command waits until they are there.',
  arguments: { node },
  waits: true,
  examples: [['pvc node primary hv3', 'within seconds']],
  run: async (context, given) => {
    const nodes = await context.nodes();
    const { message } = await nodes.setCoordinatorState(given.node, 'primary');
    if (!context.settings.wait) return { message };
    await nodes.waitNode(given.node, { coordinator_state: 'primary' }, { limitMs: context.settings.waitLimitMs });
    return { message: `node ${given.node} is primary` };
  },
});

const secondary = actVerb({
  name: 'secondary',
  about: 'Let another coordinator become primary',
  arguments: { node },
  waits: true,
  examples: [['pvc node secondary hv1', 'before work on the primary node']],
  run: async (context, given) => {
    const nodes = await context.nodes();
    const { message } = await nodes.setCoordinatorState(given.node, 'secondary');
    if (!context.settings.wait) return { message };
    await nodes.waitNode(given.node, { coordinator_state: 'secondary' }, { limitMs: context.settings.waitLimitMs });
    return { message: `node ${given.node} is secondary` };
  },
});

const log = textVerb({
  name: 'log',
  about: "Show the end of the log of a node's daemon",
  arguments: { node },
  options: {
    lines: integer('-n, --lines <n>', 'how many lines; 10 when missing', { min: 1, max: LINES_MAX }),
    follow: flag('--follow', 'go on as it grows, until Ctrl-C'),
  },
  examples: [
    ['pvc node log hv1 --lines 100', 'the last hundred lines'],
    ['pvc node log hv1 --follow', 'what it writes from now on, some seconds late'],
  ],
  run: async (context, given) => {
    const nodes = await context.nodes();
    await followLines(context, { read: async (lines) => (await nodes.log(given.node, { lines })).data, lines: given.lines, follow: given.follow === true });
  },
});

const wait = actVerb({
  name: 'wait',
  about: 'Wait until a node is in a state',
  arguments: { node },
  options: {
    daemonState: word('--daemon-state <state>', DAEMON_STATES, 'state of its daemon'),
    coordinatorState: word('--coordinator-state <state>', COORDINATOR_STATES, 'its part'),
    domainState: word('--domain-state <state>', DOMAIN_STATES, 'whether it runs VMs'),
  },
  waits: true,
  examples: [['pvc node wait hv2 --daemon-state run --domain-state ready', 'after a reboot']],
  run: async (context, { daemonState, coordinatorState, domainState, ...given }) => {
    const wanted = { daemon_state: daemonState, coordinator_state: coordinatorState, domain_state: domainState };
    const states = Object.fromEntries(Object.entries(wanted).filter(([, one]) => one !== undefined));
    const seen = await (await context.nodes()).waitNode(given.node, states, { limitMs: context.settings.waitLimitMs });
    return { message: `node ${seen.name}: ${seen.daemon_state}, ${seen.coordinator_state}, ${seen.domain_state}` };
  },
});

export const NODE_COMMANDS: Group = {
  name: 'node',
  about: 'Hypervisors',
  verbs: [list, info, state, flush, ready, primary, secondary, log, wait],
};
