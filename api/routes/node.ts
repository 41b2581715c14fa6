import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import { unpackLines } from '../../common/log-tail.ts';
import { findNode, type NodeOperations } from '../../common/operations/node.ts';
import { readResource } from '../../common/operations/update-resource.ts';
import { coordinatorState, daemonState, domainsState } from '../../common/schema/node.ts';
import type { Task } from '../../common/schema/task.ts';
import type { Store } from '../../common/store/store.ts';
import { nodeCoordinatorStateView, nodeDaemonStateView, nodeDomainStateView, nodeView, type NodeView } from '../../common/view/node.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { flag, freeText, optionalInteger, optionalText, text } from '../params/values.ts';
import { presentNode } from '../present/node.ts';
import { done, messageReply, ok, route, type Call, type Route } from '../route.ts';
import { waitForChange } from '../wait.ts';

export interface NodeRouteDeps {
  store: Store;
  mirror: ApiMirror;
  nodes: NodeOperations;
  clock: Clock;
}

/** Longest name that is looked up; every real one is shorter. */
const NAME_MAX_CHARS = 255;
/** What a node keeps of its log, at most. */
const LOG_LINES_MAX = 5_000;
const LOG_LINES_DEFAULT = 10;

const node = text(freeText(NAME_MAX_CHARS), 'Name of the node, exactly.');

export function nodeRoutes(deps: NodeRouteDeps): Route[] {
  return [...readRoutes(deps), ...stateRoutes(deps), logRoute(deps)];
}

function view(deps: NodeRouteDeps, name: string): NodeView {
  return presentNode(deps.mirror, findNode(deps.mirror, name).doc.name);
}

function readRoutes(deps: NodeRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/node',
      summary: 'List the nodes',
      values: z.object({
        limit: optionalText(fuzzyLimit, 'Only nodes whose name matches this regular expression, fuzzily.'),
        daemon_state: optionalText(daemonState, 'Only nodes whose daemon is in this state.'),
        coordinator_state: optionalText(coordinatorState, 'Only nodes in this coordinator state.'),
        domain_state: optionalText(domainsState, 'Only nodes in this domain state.'),
      }),
      valueAliases: { 'daemon-state': 'daemon_state', 'coordinator-state': 'coordinator_state', 'domain-state': 'domain_state' },
      reply: { code: 200, schema: z.array(nodeView) },
      handle: ({ limit, daemon_state, coordinator_state, domain_state }) => {
        const names = [...deps.mirror.all('node').keys()].sort().filter((name) => limit?.(name) ?? true);
        const fits = (one: NodeView): boolean =>
          (daemon_state ?? one.daemon_state) === one.daemon_state &&
          (coordinator_state ?? one.coordinator_state) === one.coordinator_state &&
          (domain_state ?? one.domain_state) === one.domain_state;
        return ok(names.map((name) => presentNode(deps.mirror, name)).filter(fits));
      },
    }),
    route({
      method: 'GET',
      path: '/node/:node',
      summary: 'Show a node',
      values: z.object({ node }),
      reply: { code: 200, schema: nodeView },
      handle: (values) => ok(view(deps, values.node)),
    }),
    route({
      method: 'GET',
      path: '/node/:node/daemon-state',
      summary: "Show the state of a node's daemon",
      values: z.object({ node }),
      reply: { code: 200, schema: nodeDaemonStateView },
      handle: (values) => ok(nodeDaemonStateView.parse(view(deps, values.node))),
    }),
    route({
      method: 'GET',
      path: '/node/:node/coordinator-state',
      summary: 'Show whether a node is primary',
      values: z.object({ node }),
      reply: { code: 200, schema: nodeCoordinatorStateView },
      handle: (values) => ok(nodeCoordinatorStateView.parse(view(deps, values.node))),
    }),
    route({
      method: 'GET',
      path: '/node/:node/domain-state',
      summary: 'Show whether a node runs VMs',
      values: z.object({ node }),
      reply: { code: 200, schema: nodeDomainStateView },
      handle: (values) => ok(nodeDomainStateView.parse(view(deps, values.node))),
    }),
  ];
}

function stateRoutes(deps: NodeRouteDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/node/:node/coordinator-state',
      summary: 'Make a node primary or secondary',
      values: z.object({ node, state: text(z.enum(['primary', 'secondary']), 'The state to bring it into.') }),
      valueAliases: { 'coordinator-state': 'state', coordinator_state: 'state' },
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        await deps.nodes.setCoordinator(values.node, values.state);
        return done(`node ${values.node} is asked to become ${values.state}`);
      },
    }),
    route({
      method: 'POST',
      path: '/node/:node/domain-state',
      summary: 'Flush a node, or make it ready for VMs',
      values: z.object({
        node,
        state: text(z.enum(['flush', 'ready']), 'flush: move all VMs away; ready: bring them back and run new ones.'),
        wait: flag('Answer when it is done, or has failed.'),
      }),
      valueAliases: { 'domain-state': 'state', domain_state: 'state' },
      reply: { code: 200, schema: messageReply.extend({ task_id: z.string().optional() }) },
      handle: async (values, call) => {
        const task = await deps.nodes.setDomains(values.node, values.state, { requestedBy: call.caller.who });
        if (task === undefined) return done(`node ${values.node} is ${values.state === 'flush' ? 'flushed' : 'ready'} already`);
        if (values.wait) await finished(deps, task, call);
        const verb = values.wait ? 'has done' : 'is asked to';
        return ok({ message: `node ${values.node} ${verb} ${values.state}; task ${task.id}`, task_id: task.id });
      },
    }),
  ];
}

/** A task that is gone was swept because it is over. @throws AppError 'component' with the task's own error when it failed, 'state' when a newer request ended it. */
async function finished(deps: NodeRouteDeps, task: Task, call: Call): Promise<void> {
  const wait = { mirror: deps.mirror, clock: deps.clock, what: `the end of task ${task.id}`, kinds: ['task'] as const, signal: call.gone() };
  await waitForChange(wait, () => {
    const now = deps.mirror.get('task', task.id)?.doc;
    if (now?.state === 'failed') throw new AppError('component', 'the task failed', { task: task.id, why: now.error ?? undefined });
    if (now?.state === 'cancelled') throw new AppError('state', 'a newer request has ended the task', { task: task.id });
    return now === undefined || now.state === 'done' ? true : undefined;
  });
}

function logRoute(deps: NodeRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/node/:node/log',
    summary: "Show the end of a node daemon's log",
    values: z.object({ node, lines: optionalInteger({ min: 1, max: LOG_LINES_MAX }, `How many of the last lines; ${LOG_LINES_DEFAULT} when missing.`) }),
    reply: { code: 200, schema: z.object({ name: z.string(), data: z.string() }) },
    handle: async (values) => {
      const { name } = findNode(deps.mirror, values.node).doc;
      const kept = await readResource(deps, 'node-log', name);
      const lines = kept === undefined ? [] : unpackLines(kept.doc.packed);
      return ok({ name, data: lines.slice(-(values.lines ?? LOG_LINES_DEFAULT)).join('\n') });
    },
  });
}
