import { AppError, isAppError } from '../errors.ts';
import { taskId, type NodeName } from '../ids.ts';
import type { NodeSpec, PrimaryWish } from '../schema/node.ts';
import { PRIMARY_ROLE, PRIMARY_WISH_ID, type Versioned } from '../schema/resources.ts';
import type { Task } from '../schema/task.ts';
import { isAlive } from './choose-node.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { createResource, updateResource } from './update-resource.ts';

/** Every way to change a node. */
export interface NodeOperations {
  /** Creates the node's desired state when it starts for the first time. */
  register(node: NodeName, wish: 'ready' | 'flush'): Promise<void>;
  /** Asks the node to run VMs or to run none. Resolves to the task that carries it out; undefined when it is so already. */
  setDomains(node: string, wish: 'ready' | 'flush', by: { requestedBy: string }): Promise<Task | undefined>;
  /** Asks a coordinator to become primary, or the primary to hand over to another one. */
  setCoordinator(node: string, wish: 'primary' | 'secondary'): Promise<void>;
}

/** @throws AppError 'not-found'. */
export function findNode(mirror: ClusterMirror, name: string): Versioned<NodeSpec> {
  const node = mirror.get('node', name);
  if (node === undefined) throw new AppError('not-found', 'no node has this name', { node: name });
  return node;
}

export function nodeOperations(context: OperationContext): NodeOperations {
  return {
    register: (node, wish) => register(context, node, wish),
    setDomains: (node, wish, { requestedBy }) => setDomains(context, { node, wish, requestedBy }),
    setCoordinator: (node, wish) => setCoordinator(context, node, wish),
  };
}

async function register(context: OperationContext, node: NodeName, wish: 'ready' | 'flush'): Promise<void> {
  try {
    await createResource(context, { kind: 'node', id: node }, { name: node, domains: { wish, generation: 1 } });
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
  }
}

async function setDomains(context: OperationContext, request: { node: string; wish: 'ready' | 'flush'; requestedBy: string }): Promise<Task | undefined> {
  const { node, wish, requestedBy } = request;
  const current = findNode(context.mirror, node).doc;
  if (isReached(context.mirror, current, wish)) return undefined;
  if (!isAlive(context.mirror, node)) throw new AppError('state', "the node's daemon is not alive", { node });
  const written = await updateResource(context, { kind: 'node', id: node }, (spec) => ({
    ...spec,
    domains: { wish, generation: spec.domains.generation + 1 },
  }));
  const task = newDomainsTask(written.doc, { requestedBy, nowMs: context.clock.nowMs() });
  await createTask(context, task);
  return task;
}

/** The task that carries out the node's present wish; its id follows from node and generation, so it exists once. */
export function newDomainsTask(spec: NodeSpec, origin: { requestedBy: string; nowMs: number }): Task {
  const kind = spec.domains.wish === 'flush' ? 'flush' : 'ready';
  return {
    id: taskId.parse(`${kind}-${spec.name}-${spec.domains.generation}`),
    kind,
    target: spec.name,
    generation: spec.domains.generation,
    executor: spec.name,
    requestedBy: origin.requestedBy,
    state: 'pending',
    steps: [],
    error: null,
    createdMs: origin.nowMs,
  };
}

/** The executor may have been faster. */
export async function createTask(context: OperationContext, task: Task): Promise<void> {
  try {
    await createResource(context, { kind: 'task', id: task.id }, task);
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
  }
}

function isReached(mirror: ClusterMirror, spec: NodeSpec, wish: 'ready' | 'flush'): boolean {
  const status = mirror.get('node-status', spec.name)?.doc.domains;
  const reached = wish === 'flush' ? 'flushed' : 'ready';
  return spec.domains.wish === wish && status?.state === reached && status.generation === spec.domains.generation;
}

async function setCoordinator(context: OperationContext, name: string, wish: 'primary' | 'secondary'): Promise<void> {
  const node = findNode(context.mirror, name).doc.name;
  const status = context.mirror.get('node-status', node)?.doc;
  if (status === undefined || status.coordinatorState === 'client') throw new AppError('state', 'the node is not a coordinator', { node });
  if (!isAlive(context.mirror, node)) throw new AppError('state', "the node's daemon is not alive", { node });
  const holder = context.mirror.get('lease', PRIMARY_ROLE)?.doc.node;
  if ((holder === node) === (wish === 'primary')) return;
  if (wish === 'secondary' && !hasOtherCoordinator(context.mirror, node)) throw new AppError('state', 'there is no other live coordinator', { node });
  await writeWish(context, wish === 'primary' ? { node, avoid: null } : { node: null, avoid: node });
}

function hasOtherCoordinator(mirror: ClusterMirror, node: NodeName): boolean {
  return Array.from(mirror.all('node-status').values()).some(
    ({ doc }) => doc.name !== node && doc.coordinatorState !== 'client' && isAlive(mirror, doc.name),
  );
}

async function writeWish(context: OperationContext, wish: Omit<PrimaryWish, 'generation'>): Promise<void> {
  const target = { kind: 'primary-wish', id: PRIMARY_WISH_ID } as const;
  try {
    await updateResource(context, target, (current) => ({ ...wish, generation: current.generation + 1 }));
    return;
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
  await createResource(context, target, { ...wish, generation: 1 });
}
