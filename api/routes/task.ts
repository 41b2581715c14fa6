import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { taskListView, taskView, type TaskView } from '../../common/view/task.ts';
import type { ApiMirror } from '../cluster.ts';
import { freeText, text } from '../params/values.ts';
import { presentTask } from '../present/task.ts';
import { ok, route, type Route } from '../route.ts';

const ID_MAX_CHARS = 96;

export function taskRoutes(deps: { mirror: ApiMirror }): Route[] {
  return [
    route({
      method: 'GET',
      path: '/task',
      summary: 'List the tasks',
      description: 'The newest first.',
      values: z.object({}),
      reply: { code: 200, schema: z.array(taskView) },
      handle: () => ok(tasks(deps.mirror)),
    }),
    route({
      method: 'GET',
      path: '/tasks',
      summary: 'List the tasks as the existing command line expects it',
      values: z.object({}),
      reply: { code: 200, schema: taskListView },
      handle: () => ok(byExecutor(tasks(deps.mirror))),
    }),
    route({
      method: 'GET',
      path: '/provisioner/status',
      summary: 'List the jobs of the provisioner (none yet)',
      description: 'The older command line asks for them before it changes the primary.',
      values: z.object({}),
      reply: { code: 200, schema: taskListView.omit({ tasks: true }) },
      handle: () => ok({ active: {}, reserved: {}, scheduled: {} }),
    }),
    route({
      method: 'GET',
      path: '/task/:task',
      pathAliases: ['/tasks/:task'],
      summary: 'Show a task',
      values: z.object({ task: text(freeText(ID_MAX_CHARS), 'Id of the task.') }),
      reply: { code: 200, schema: taskView },
      handle: (values) => {
        const task = deps.mirror.get('task', values.task);
        if (task === undefined) throw new AppError('not-found', 'no task has this id', { task: values.task });
        return ok(presentTask(task.doc));
      },
    }),
  ];
}

function tasks(mirror: ApiMirror): TaskView[] {
  return [...mirror.all('task').values()].sort((a, b) => b.createdZxid - a.createdZxid).map(({ doc }) => presentTask(doc));
}

function byExecutor(all: readonly TaskView[]): z.infer<typeof taskListView> {
  const listed = (state: TaskView['state']): z.infer<typeof taskListView>['active'] => {
    const found: z.infer<typeof taskListView>['active'] = {};
    for (const task of all.filter((one) => one.state === state)) {
      (found[task.executor] ??= []).push({ ...task, name: task.kind, args: '[]', kwargs: `{'node': '${task.target}'}` });
    }
    return found;
  };
  return { active: listed('RUNNING'), reserved: listed('PENDING'), scheduled: {}, tasks: [...all] };
}
