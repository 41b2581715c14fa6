import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror, OperationContext } from '../../common/operations/context.ts';
import { createTask } from '../../common/operations/node.ts';
import { forgetOsd, keepOsd, newOsdTask } from '../../common/operations/osd.ts';
import { createResource, readResource, removeResource, updateResource } from '../../common/operations/update-resource.ts';
import { DONE, type Outcome } from '../../common/reconcile/reconciler.ts';
import { osdKey, type OsdId, type OsdSpec, type OsdStatus, type OsdUuid } from '../../common/schema/osd.ts';
import type { Kind } from '../../common/schema/resources.ts';
import type { Task } from '../../common/schema/task.ts';
import { hasFailed, planKeptOsd, planOsd, type OsdAction, type OsdLimits, type OsdNext } from '../plans/osd.ts';
import { closed, isOpen, withNext } from '../plans/osd-task.ts';
import { OsdActions } from './osd-actions.ts';
import { OsdObserver, type OsdWorld, type SeenOsd } from './osd-observer.ts';

export interface OsdReconcilerDeps {
  me: NodeName;
  mirror: ClusterMirror;
  context: OperationContext;
  world: OsdWorld;
  clock: Clock;
  log: Logger;
  limits: OsdLimits;
}

/** Steps in one run; an adding has ten, and a run that needs more has found something that does not settle. */
const ROUNDS_MAX = 40;

/** An OSD that was started is looked at again soon: most that cannot run end within seconds. */
const STARTED_LOOK_MS = 5_000;

/** The creator of a task writes it right after the OSD's document. */
const TASK_WAIT_MS = 1_000;

/** The mirror holds what the store has within milliseconds. */
const MIRROR_LOOK_MS = 200;
const STALE_LOOK_MS = 1_000;

/** Between tries of what has failed, growing with their number up to ten times this. */
const RETRY_MS = 1_000;

/** Adds, keeps running and removes the OSDs of this node, one document at a time. */
export class OsdReconciler {
  readonly #deps: OsdReconcilerDeps;
  readonly #observer: OsdObserver;
  readonly #actions: OsdActions;
  /** Tasks that were missing in an earlier run. */
  readonly #missing = new Set<string>();

  constructor(deps: OsdReconcilerDeps) {
    this.#deps = deps;
    this.#observer = new OsdObserver(deps);
    this.#actions = new OsdActions({ world: deps.world, registered: (spec, id) => this.#report(spec, { phase: 'adding', id }) });
  }

  keys(): Iterable<string> {
    const { mirror, me } = this.#deps;
    const tasks = Array.from(mirror.all('task').values(), ({ doc }) => doc).filter((task) => this.#isOurs(task) && isOpen(task));
    const documents = [...mirror.all('osd').keys(), ...mirror.all('osd-status').keys()].filter((key) => key.startsWith(`${me}:`));
    return new Set([...documents, ...tasks.map((task) => task.target)]);
  }

  keysOf(kind: Kind, id: string): string[] {
    if (kind === 'osd' && id.startsWith(`${this.#deps.me}:`)) return [id];
    const task = kind === 'task' ? this.#deps.mirror.get('task', id)?.doc : undefined;
    return task !== undefined && this.#isOurs(task) && isOpen(task) ? [task.target] : [];
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const { mirror } = this.#deps;
    const spec = mirror.get('osd', key)?.doc;
    const status = mirror.get('osd-status', key)?.doc;
    const current = spec === undefined || isKept(spec, status) ? undefined : newOsdTask(spec, { requestedBy: '', nowMs: 0 }).id;
    const others = this.#openTasks(key).filter((task) => task.id !== current);
    if (mirror.staleForMs() > 0 && (current !== undefined || others.length > 0 || spec === undefined)) return look(STALE_LOOK_MS, 'the mirror is stale');
    if ((others.length > 0 || spec === undefined) && !(await this.#isUpToDate(key))) return look(MIRROR_LOOK_MS, 'the mirror is behind');
    for (const task of others) await this.#close(task, spec);
    if (spec === undefined) return this.#forgetStatus(key);
    return isKept(spec, status) ? this.#keep(spec, status, signal) : this.#work(spec, signal);
  }

  #isOurs(task: Task): boolean {
    return task.executor === this.#deps.me && (task.kind === 'osd-add' || task.kind === 'osd-remove');
  }

  #openTasks(key: string): Task[] {
    return Array.from(this.#deps.mirror.all('task').values(), ({ doc }) => doc).filter((task) => task.target === key && this.#isOurs(task) && isOpen(task));
  }

  /** Nothing may be concluded from a document that is missing or old in the mirror alone: a task may have come before it. */
  async #isUpToDate(key: string): Promise<boolean> {
    const stored = await readResource(this.#deps.context, 'osd', key);
    return stored?.modifiedZxid === this.#deps.mirror.get('osd', key)?.modifiedZxid;
  }

  /** What was asked for is so, or nobody asks for it any more. */
  async #close(task: Task, spec: OsdSpec | undefined): Promise<void> {
    const isReached = task.kind === 'osd-remove' ? spec === undefined : spec !== undefined && task.id.includes(spec.uuid);
    await updateResource(this.#deps.context, { kind: 'task', id: task.id }, (now) => (isOpen(now) ? closed(now, isReached) : now));
  }

  async #keep(spec: OsdSpec, status: OsdStatus & { id: OsdId }, signal: AbortSignal): Promise<Outcome> {
    const { view, seen } = await this.#observer.lookAtKept(spec, status.id, signal);
    const next = planKeptOsd(view);
    if (next.kind === 'settled') {
      await this.#report(spec, { phase: next.phase, id: status.id, error: next.error });
      return DONE;
    }
    try {
      await this.#actions.run('activate', { spec, seen }, signal);
      await this.#actions.run('start', { spec, seen }, signal);
    } catch (error) {
      if (!signal.aborted) await this.#report(spec, { phase: 'stopped', id: status.id, error: describeError(error) });
      throw error;
    }
    this.#deps.log.info({ osd: status.id, device: seen.deviceName }, 'OSD started');
    return look(STARTED_LOOK_MS, 'the OSD was started');
  }

  async #work(spec: OsdSpec, signal: AbortSignal): Promise<Outcome> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const task = await this.#task(spec);
      if (task === undefined) return look(TASK_WAIT_MS, 'the task has not come yet');
      const status = this.#deps.mirror.get('osd-status', osdKey(spec.node, spec.device))?.doc;
      const { view, seen } = await this.#observer.look({ spec, status, task, exhausted: this.#actions.exhausted(spec.uuid) }, signal);
      await this.#report(spec, { phase: spec.removal === null ? 'adding' : 'removing', id: seen.id ?? null });
      const next = planOsd(view);
      const outcome = await this.#take(next, { spec, task, seen }, signal);
      if (outcome !== undefined) return outcome;
    }
    throw new AppError('bug', 'an OSD does not settle', { osd: spec.uuid });
  }

  /** Undefined when the next look follows at once. */
  async #take(next: OsdNext, work: { spec: OsdSpec; task: Task; seen: SeenOsd }, signal: AbortSignal): Promise<Outcome | undefined> {
    const { spec, task, seen } = work;
    signal.throwIfAborted();
    if (next.kind === 'end') return this.#finish(spec, task, seen);
    await this.#write(task.id, next);
    if (next.kind === 'fail') this.#deps.log.warn({ osd: spec.uuid, device: spec.device, task: task.id, step: next.step, why: next.why }, 'work on an OSD has failed and is undone');
    if (next.kind === 'wait') return look(next.afterMs, next.why);
    return next.kind === 'do' ? this.#try(next.action, work, signal) : undefined;
  }

  async #try(action: OsdAction, { spec, seen }: { spec: OsdSpec; seen: SeenOsd }, signal: AbortSignal): Promise<Outcome | undefined> {
    try {
      await this.#actions.run(action, { spec, seen }, signal);
      return undefined;
    } catch (error) {
      if (signal.aborted || isAppError(error, 'unavailable', 'unknown-outcome', 'cancelled', 'conflict', 'bug')) throw error;
      const tries = this.#actions.failed(spec.uuid, action, error);
      this.#deps.log.warn({ osd: spec.uuid, device: spec.device, action, tries, why: describeError(error), cause: isAppError(error) ? error.cause : error }, 'a step of the work on an OSD did not succeed');
      return look(RETRY_MS * Math.min(tries, 10), describeError(error));
    }
  }

  /** The documents first, the task last: whoever waits for it finds everything as it says. */
  async #finish(spec: OsdSpec, task: Task, { id }: SeenOsd): Promise<Outcome> {
    const isGone = (spec.removal !== null) !== hasFailed(task);
    const key = osdKey(spec.node, spec.device);
    await this.#deps.world.store.dropSecret(spec.uuid);
    if (isGone) {
      await forgetOsd(this.#deps.context, { key, uuid: spec.uuid });
      await this.#forgetStatus(key);
    } else {
      await keepOsd(this.#deps.context, spec);
      await this.#report(spec, { phase: 'running', id: id ?? null });
    }
    await this.#write(task.id, { kind: 'end' });
    this.#observer.forget(spec.uuid);
    this.#actions.forget(spec.uuid);
    this.#deps.log.info({ osd: id, device: spec.device, task: task.id, failed: hasFailed(task) }, 'work on an OSD is over');
    return DONE;
  }

  /** The creator may have died between the two documents; then it is made here. */
  async #task(spec: OsdSpec): Promise<Task | undefined> {
    const { context, mirror, clock } = this.#deps;
    const fresh = newOsdTask(spec, { requestedBy: 'the node', nowMs: clock.nowMs() });
    const known = mirror.get('task', fresh.id)?.doc ?? (await readResource(context, 'task', fresh.id))?.doc;
    if (known !== undefined) {
      this.#missing.delete(fresh.id);
      return known;
    }
    if (!this.#missing.has(fresh.id)) {
      this.#missing.add(fresh.id);
      return undefined;
    }
    await createTask(context, fresh);
    return fresh;
  }

  async #write(id: string, next: OsdNext): Promise<void> {
    await updateResource(this.#deps.context, { kind: 'task', id }, (now) => {
      const then = withNext(now, next);
      return isDeepStrictEqual(then, now) ? now : then;
    });
  }

  async #report(spec: OsdSpec, state: { phase: OsdStatus['phase']; id: OsdId | null; error?: string | null }): Promise<void> {
    const { context } = this.#deps;
    const target = { kind: 'osd-status', id: osdKey(spec.node, spec.device) } as const;
    const status: OsdStatus = { uuid: spec.uuid, node: spec.node, device: spec.device, id: state.id, phase: state.phase, error: state.error ?? null };
    try {
      await updateResource(context, target, (now) => (isDeepStrictEqual(now, status) ? now : status));
    } catch (error) {
      if (!isAppError(error, 'not-found')) throw error;
      await createResource(context, target, status);
    }
  }

  async #forgetStatus(key: string): Promise<Outcome> {
    const now = await readResource(this.#deps.context, 'osd-status', key);
    if (now !== undefined) await removeResource(this.#deps.context, { kind: 'osd-status', id: key }, now.version);
    return DONE;
  }
}

/** It has been added, and nobody asks to remove it. */
function isKept(spec: OsdSpec, status: OsdStatus | undefined): status is OsdStatus & { id: OsdId } {
  return spec.removal === null && isAdded(spec.uuid, status);
}

function isAdded(uuid: OsdUuid, status: OsdStatus | undefined): boolean {
  return status?.uuid === uuid && status.id !== null && status.phase !== 'adding';
}

function look(afterMs: number, why: string): Outcome {
  return { kind: 'recheck', afterMs, why };
}
