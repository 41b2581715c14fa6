import { z } from 'zod';
import { coordinatorState, daemonState, domainsState } from '../../common/schema/node.ts';
import { nodeCoordinatorStateView, nodeDaemonStateView, nodeDomainStateView, nodeView } from '../../common/view/node.ts';
import { operation } from '../operation.ts';
import { flag, limit, lines, log, message, name } from './values.ts';

const node = name;

export const NODE = {
  list: operation({
    method: 'GET',
    path: '/node',
    values: z.strictObject({ limit, daemon_state: daemonState.optional(), coordinator_state: coordinatorState.optional(), domain_state: domainsState.optional() }),
    reply: z.array(nodeView),
  }),
  get: operation({ method: 'GET', path: '/node/:node', values: z.strictObject({ node }), reply: nodeView }),
  daemonState: operation({ method: 'GET', path: '/node/:node/daemon-state', values: z.strictObject({ node }), reply: nodeDaemonStateView }),
  coordinatorState: operation({ method: 'GET', path: '/node/:node/coordinator-state', values: z.strictObject({ node }), reply: nodeCoordinatorStateView }),
  setCoordinatorState: operation({ method: 'POST', path: '/node/:node/coordinator-state', values: z.strictObject({ node, state: z.enum(['primary', 'secondary']) }), reply: message }),
  domainState: operation({ method: 'GET', path: '/node/:node/domain-state', values: z.strictObject({ node }), reply: nodeDomainStateView }),
  setDomainState: operation({
    method: 'POST',
    path: '/node/:node/domain-state',
    values: z.strictObject({ node, state: z.enum(['flush', 'ready']), wait: flag }),
    reply: message.extend({ task_id: z.string().optional() }),
  }),
  log: operation({ method: 'GET', path: '/node/:node/log', values: z.strictObject({ node, lines }), reply: log }),
} as const;
