import { AppError, isAppError } from '../errors.ts';
import { newUuid, taskId, type NodeName } from '../ids.ts';
import { OSD_ADD_STEPS, OSD_REMOVE_STEPS, osdKey, osdUuid, type DevicePath, type OsdId, type OsdSpec, type OsdStatus, type OsdUuid } from '../schema/osd.ts';
import type { Versioned } from '../schema/resources.ts';
import type { Task } from '../schema/task.ts';
import { isAlive } from './choose-node.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { createTask, findNode } from './node.ts';
import { createResource, readResource, removeResource, updateResource } from './update-resource.ts';

export interface NewOsd {
  node: string;
  device: DevicePath;
  weight: number;
  /** Destroy what is on the device first. */
  zap: boolean;
}

/** Every way to change which OSDs a node has. Each resolves to the task that carries it out, which goes on without the caller. */
export interface OsdOperations {
  /** @throws AppError 'not-found' (the node), 'state' (its daemon is not alive), 'exists' (the device is an OSD's, or becomes one). */
  add(osd: NewOsd, by: { requestedBy: string }): Promise<Task>;
  /**
   * Asked again while it is under way, it is the same task; `force` asked for later makes it a new one.
   * @throws AppError 'not-found', 'state' (it is being added, or its node's daemon is not alive).
   */
  remove(id: OsdId, how: { force: boolean; requestedBy: string }): Promise<Task>;
}

type Context = Pick<OperationContext, 'store' | 'mirror' | 'clock'>;

export function osdOperations(context: OperationContext): OsdOperations {
  return {
    add: (osd, { requestedBy }) => addOsd(context, osd, requestedBy),
    remove: (id, { force, requestedBy }) => removeOsd(context, id, { force, requestedBy }),
  };
}

/**
 * The OSD with exactly this number, of those that nodes of the cluster own.
 * @throws AppError 'not-found'.
 */
export function findOsd(mirror: ClusterMirror, id: OsdId): Versioned<OsdStatus> {
  const osd = Array.from(mirror.all('osd-status').values()).find(({ doc }) => doc.id === id);
  if (osd === undefined) throw notOurs(id);
  return osd;
}

/** What was made in another way is its maker's: nobody here knows how it is stopped. */
function notOurs(id: OsdId): AppError {
  return new AppError('not-found', 'no OSD of a node has this number; one that was made in another way is stopped on its host and then removed with `ceph osd purge`', { osd: id });
}

async function addOsd(context: OperationContext, { node, device, weight, zap }: NewOsd, requestedBy: string): Promise<Task> {
  const { name } = findNode(context.mirror, node).doc;
  refuseDead(context.mirror, name);
  const spec: OsdSpec = { uuid: osdUuid.parse(newUuid()), node: name, device, weight, zap, generation: 1, removal: null };
  try {
    // The one write that decides which of several requests for a device wins.
    await createResource(context, { kind: 'osd', id: osdKey(name, device) }, spec);
  } catch (error) {
    throw isAppError(error, 'exists') ? new AppError('exists', 'this device is an OSD already, or is becoming one', { node, device }) : error;
  }
  return started(context, spec, requestedBy);
}

async function removeOsd(context: OperationContext, id: OsdId, { force, requestedBy }: { force: boolean; requestedBy: string }): Promise<Task> {
  const { id: key, doc: status } = findOsd(context.mirror, id);
  refuseOrphan(context.mirror, status.node, id);
  const written = await updateResource(context, { kind: 'osd', id: key }, (spec) => {
    if (spec.uuid !== status.uuid) throw notOurs(id);
    if (status.phase === 'adding') throw new AppError('state', 'the OSD is being added', { osd: id });
    if (spec.removal !== null && (spec.removal.force || !force)) return spec;
    return { ...spec, generation: spec.generation + 1, removal: { force } };
  });
  return started(context, written.doc, requestedBy);
}

function refuseDead(mirror: ClusterMirror, node: NodeName): void {
  if (!isAlive(mirror, node)) throw new AppError('state', "the node's daemon is not alive", { node });
}

/** Silence is no proof that the OSD is gone, and what it has may be needed: who knows that its node never comes back says so to Ceph, which takes its key away. */
function refuseOrphan(mirror: ClusterMirror, node: NodeName, osd: OsdId): void {
  if (isAlive(mirror, node)) return;
  const way = 'start it, or, when the node never comes back and Ceph shows the OSD as down, use `ceph osd purge`';
  throw new AppError('state', `the daemon of the OSD's node is not alive: ${way}`, { node, osd });
}

async function started(context: OperationContext, spec: OsdSpec, requestedBy: string): Promise<Task> {
  const task = newOsdTask(spec, { requestedBy, nowMs: context.clock.nowMs() });
  await createTask(context, task);
  return task;
}

/** The task that carries out the newest request; its id follows from the document, so it exists once, whoever creates it. */
export function newOsdTask(spec: OsdSpec, origin: { requestedBy: string; nowMs: number }): Task {
  const kind = spec.removal === null ? 'osd-add' : 'osd-remove';
  const names = kind === 'osd-add' ? OSD_ADD_STEPS.filter((name) => name !== 'zap' || spec.zap) : OSD_REMOVE_STEPS;
  return {
    id: taskId.parse(`${kind}-${spec.uuid}-${spec.generation}`),
    kind,
    target: osdKey(spec.node, spec.device),
    generation: spec.generation,
    executor: spec.node,
    requestedBy: origin.requestedBy,
    state: 'pending',
    steps: names.map((name) => ({ name, state: 'waiting', message: null })),
    error: null,
    createdMs: origin.nowMs,
  };
}

/** Takes a request back that its node could not carry out: the OSD stays. A newer request stands. */
export async function keepOsd(context: Context, spec: OsdSpec): Promise<void> {
  const target = { kind: 'osd', id: osdKey(spec.node, spec.device) } as const;
  await updateResource(context, target, (now) => (now.uuid === spec.uuid && now.generation === spec.generation && now.removal !== null ? { ...now, removal: null } : now));
}

/** Removes the document of an OSD that its node has removed, or never got. Gone already is fine. */
export async function forgetOsd(context: Pick<Context, 'store'>, { key, uuid }: { key: string; uuid: OsdUuid }): Promise<void> {
  const now = await readResource(context, 'osd', key);
  if (now?.doc.uuid === uuid) await removeResource(context, { kind: 'osd', id: key }, now.version);
}
