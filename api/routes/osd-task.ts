import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import type { OsdOperations } from '../../common/operations/osd.ts';
import { devicePath, osdId, osdWeight } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import type { ApiMirror } from '../cluster.ts';
import { flag, freeText, text } from '../params/values.ts';
import { messageReply, route, type Call, type Reply, type Route } from '../route.ts';
import { waitForChange } from '../wait.ts';
import { REALLY_MEAN_IT_ALIASES, reallyMeanIt, refuseUnlessMeant } from './storage-values.ts';

export interface OsdTaskRouteDeps {
  mirror: ApiMirror;
  osds: OsdOperations;
  clock: Clock;
}

async function refused(): Promise<never> {
  throw new AppError('state', 'this cluster has no storage: pvc.enable_storage is false');
}

/** What answers in a cluster that is configured without storage. */
export const NO_OSDS: OsdOperations = { add: refused, remove: refused };

const NAME_MAX_CHARS = 255;
const WEIGHT_MAX_CHARS = 32;

const number = z.string().regex(/^\d{1,5}$/u, 'must be the number of an OSD').transform(Number).pipe(osdId);
const weight = z
  .string()
  .max(WEIGHT_MAX_CHARS)
  .regex(/^\d+(\.\d+)?$/u, 'must be a number, such as 1.0')
  .transform(Number)
  .pipe(osdWeight);

const taskReply = messageReply.extend({ task_id: z.string().optional(), task_name: z.string().optional(), run_on: z.string().optional() });

/** OSDs come and go by tasks of their node. */
export function osdTaskRoutes(deps: OsdTaskRouteDeps): Route[] {
  return [addRoute(deps), removeRoute(deps)];
}

function addRoute(deps: OsdTaskRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/storage/ceph/osd',
    summary: 'Add an OSD on a device of a node',
    description: `The device must be a whole disk, in use by nobody, and empty, unless zap is set; the disk of an OSD of this cluster is never zapped. Answers when the OSD is up, or has left nothing behind. ${NEWER_CLIENT}`,
    values: z.object({
      node: text(freeText(NAME_MAX_CHARS), 'Name of the node, exactly.'),
      device: text(devicePath, 'Path of the device on the node, such as /dev/sdb.'),
      weight: text(weight, 'Weight in CRUSH, such as 1.0.'),
      zap: flag('Destroy first what is on the device.'),
      yes_i_really_mean_it: flag('Must be set with zap.'),
    }),
    valueAliases: REALLY_MEAN_IT_ALIASES,
    reply: { code: 200, schema: taskReply },
    handle: async ({ yes_i_really_mean_it: isMeant, ...osd }, call) => {
      if (osd.zap) refuseUnlessMeant(isMeant);
      return answer(deps, await deps.osds.add(osd, { requestedBy: call.caller.who }), call, `an OSD was added on ${osd.device} of node ${osd.node}`);
    },
  });
}

function removeRoute(deps: OsdTaskRouteDeps): Route {
  return route({
    method: 'DELETE',
    path: '/storage/ceph/osd/:osd',
    summary: 'Remove an OSD and empty its device',
    description: `Its data moves to other OSDs first; when it cannot, the OSD stays. ${NEWER_CLIENT}`,
    values: z.object({
      osd: text(number, 'Number of the OSD, exactly.'),
      yes_i_really_mean_it: reallyMeanIt,
      force: flag('Remove it without moving its data: what only it holds is lost.'),
    }),
    valueAliases: { ...REALLY_MEAN_IT_ALIASES, force_flag: 'force' },
    reply: { code: 200, schema: taskReply },
    handle: async (values, call) => {
      refuseUnlessMeant(values.yes_i_really_mean_it);
      const task = await deps.osds.remove(values.osd, { force: values.force, requestedBy: call.caller.who });
      return answer(deps, task, call, `OSD ${values.osd} was removed`);
    },
  });
}

const NEWER_CLIENT = 'The newer command line is answered at once, with code 202 and the id of the task.';

/** Its requests say so, as `pvc-client-cli/VERSION`; the older one has the name of a library there, and takes 202 for a failure. */
const NEWER_CLIENT_AGENT = /^pvc-client-cli\//u;

async function answer(deps: OsdTaskRouteDeps, task: Task, call: Call, message: string): Promise<Reply> {
  const facts = { task_id: task.id, task_name: task.kind, run_on: task.executor };
  if (NEWER_CLIENT_AGENT.test(call.request.get('user-agent') ?? '')) return { kind: 'json', code: 202, body: { message: `task ${task.id} is under way`, ...facts } };
  await finished(deps, task, call);
  return { kind: 'json', code: 200, body: { message, ...facts } };
}

/** @throws AppError 'component' with the task's own reason, node and device when it failed, 'state' when a newer request ended it. */
async function finished(deps: OsdTaskRouteDeps, task: Task, call: Call): Promise<void> {
  const wait = { mirror: deps.mirror, clock: deps.clock, what: `the end of task ${task.id}, which goes on`, kinds: ['task'] as const, signal: call.gone() };
  await waitForChange(wait, () => {
    const now = deps.mirror.get('task', task.id)?.doc;
    if (now?.state === 'failed') throw new AppError('component', FAILURE[task.kind], { why: now.error ?? undefined, target: task.target, task: task.id });
    if (now?.state === 'cancelled') throw new AppError('state', 'a newer request has ended the task', { task: task.id });
    return now === undefined || now.state === 'done' ? true : undefined;
  });
}

const FAILURE = { 'osd-add': 'the OSD could not be added', 'osd-remove': 'the OSD could not be removed', flush: 'the task failed', ready: 'the task failed' } as const satisfies Record<Task['kind'], string>;
