import type { TaskView } from '../../../common/view/task.ts';
import { ClientError } from '../../client-error.ts';
import { one } from '../declare.ts';
import { column, fieldsOf, toneOfState } from '../output/column.ts';
import { section } from '../output/render.ts';
import { attendTask } from '../progress/attend-task.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';

const TASK = one('id of the task', { completes: 'task' });

const COLUMNS = [
  column<TaskView>('id', (row) => row.id),
  column<TaskView>('kind', (row) => row.kind),
  column<TaskView>('target', (row) => row.target),
  column<TaskView>('state', (row) => row.state, { tone: (row) => toneOfState(row.state) }),
  column<TaskView>('done', (row) => row.current, { show: (row) => `${row.current}/${row.total}` }),
  column<TaskView>('status', (row) => row.status),
  column<TaskView>('created', (row) => row.created),
  column<TaskView>('by', (row) => row.requested_by, { extra: true }),
  column<TaskView>('node', (row) => row.executor, { extra: true }),
  column<TaskView>('error', (row) => row.error, { extra: true, tone: () => 'bad' }),
];

type Step = TaskView['steps'][number];
const STEPS = section<TaskView, Step>(
  'Steps',
  [column('step', (row) => row.name), column('state', (row) => row.state, { tone: (row) => toneOfState(row.state) }), column('message', (row) => row.message)],
  (row) => row.steps,
);

const list = listVerb({
  name: 'list',
  about: 'List the tasks that are kept, the newest first',
  columns: COLUMNS,
  examples: [
    ['pvc task list', 'flushes, and OSDs that come and go'],
    ['pvc task list --filter state=RUNNING', 'those that are not over'],
  ],
  rows: async (context) => (await context.tasks()).list(),
});

const info = itemVerb({
  name: 'info',
  about: 'Show a task and its steps',
  arguments: { task: TASK },
  fields: fieldsOf(COLUMNS),
  sections: [STEPS],
  examples: [['pvc task info flush-hv2-3 --watch', 'again every two seconds']],
  item: async (context, { task }) => (await context.tasks()).get(task),
});

const wait = actVerb({
  name: 'wait',
  about: 'Wait until a task has succeeded, and show its steps',
  arguments: { task: TASK },
  waits: true,
  examples: [['pvc task wait flush-hv2-3', 'fails when the task does']],
  run: (context, { task }) => attendTask(context, { task, what: `task ${task}`, done: `task ${task} has succeeded` }),
});

const cancel = actVerb({
  name: 'cancel',
  about: 'Call a task off',
  detail: 'A flush is called off by making its node ready, which brings its VMs back; the return of VMs by flushing the node. The task of an OSD cannot be called off.',
  arguments: { task: TASK },
  examples: [['pvc task cancel flush-hv2-3', 'VMs that have left come back']],
  run: async (context, given) => {
    const task = await (await context.tasks()).get(given.task);
    const nodes = await context.nodes();
    if (task.state !== 'PENDING' && task.state !== 'RUNNING') throw new ClientError('outcome', `task ${task.id} is over: ${task.state}`);
    if (task.kind === 'flush') return { message: (await nodes.ready(task.target)).message };
    if (task.kind === 'ready') return { message: (await nodes.flush(task.target)).message };
    throw new ClientError('outcome', `a task of kind ${task.kind} cannot be called off`);
  },
});

export const TASK_COMMANDS: Group = { name: 'task', about: 'Long jobs: flushes, and OSDs that come and go', verbs: [list, info, wait, cancel] };
