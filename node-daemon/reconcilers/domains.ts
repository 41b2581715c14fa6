import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { NodeName, VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror, OperationContext } from '../../common/operations/context.ts';
import { createTask, newDomainsTask } from '../../common/operations/node.ts';
import { updateResource } from '../../common/operations/update-resource.ts';
import type { VmOperations } from '../../common/operations/vm.ts';
import { DONE, type Outcome } from '../../common/reconcile/reconciler.ts';
import type { NodeSpec, NodeStatus } from '../../common/schema/node.ts';
import type { Kind } from '../../common/schema/resources.ts';
import type { Task, TaskStep } from '../../common/schema/task.ts';
import { planDomains, type DomainsAction, type DomainsPlan, type DomainsVm, type DomainsView } from '../plans/domains.ts';

/** What could not be placed is looked at again, also when nothing told of a change. */
const RECHECK_MS = 5_000;

export interface DomainsReconcilerDeps {
  me: NodeName;
  mirror: ClusterMirror;
  context: OperationContext;
  operations: Pick<VmOperations, 'migrate' | 'unmigrate' | 'setPower' | 'setMeta'>;
  clock: Clock;
  log: Logger;
  /** Moves at once. */
  parallel: number;
  /** Publishes the domain state with the node's status; resolves when it is written. */
  report: (domains: NodeStatus['domains']) => Promise<void>;
}

/** Carries out `flush` and `ready` of this node, and keeps the task that tells of it. */
export class DomainsReconciler {
  readonly #deps: DomainsReconcilerDeps;
  #generation = -1;
  readonly #tries = new Map<VmId, number>();
  readonly #refusals = new Map<VmId, string>();

  constructor(deps: DomainsReconcilerDeps) {
    this.#deps = deps;
  }

  /** The only key, this node's name, after a change that may matter. */
  keysOf(kind: Kind, id: string): NodeName[] {
    const { me } = this.#deps;
    const matters = kind === 'vm' || kind === 'vm-status' || kind === 'presence' || kind === 'node' || (kind === 'node-status' && id !== me);
    return matters ? [me] : [];
  }

  async reconcile(_key: string, signal: AbortSignal): Promise<Outcome> {
    const spec = this.#deps.mirror.get('node', this.#deps.me)?.doc;
    if (spec === undefined) return DONE;
    if (spec.domains.generation !== this.#generation) this.#begin(spec);
    const reported = this.#reported();
    if (isReached(spec, reported)) return DONE;
    this.#refusals.clear();
    for (const action of planDomains(this.#view(spec, reported)).actions) if (!signal.aborted) await this.#attempt(action);
    const plan = planDomains(this.#view(spec, reported));
    await this.#publish(spec, plan);
    return plan.state === 'flushed' || plan.state === 'ready' ? DONE : { kind: 'recheck', afterMs: RECHECK_MS, why: 'VMs are on their way' };
  }

  #begin(spec: NodeSpec): void {
    this.#generation = spec.domains.generation;
    this.#tries.clear();
    this.#refusals.clear();
  }

  #reported(): { state: NodeStatus['domains']['state']; generation: number } {
    const status = this.#deps.mirror.get('node-status', this.#deps.me)?.doc.domains;
    return { state: status?.state ?? 'flushed', generation: status?.generation ?? 0 };
  }

  #view(spec: NodeSpec, reported: DomainsView['reported']): DomainsView {
    const { me, mirror, parallel } = this.#deps;
    return { me, wish: spec.domains, reported, vms: this.#vms(), parallel, tries: this.#tries, refusals: this.#refusals, fresh: mirror.staleForMs() === 0 };
  }

  #vms(): DomainsVm[] {
    const { me, mirror } = this.#deps;
    return Array.from(mirror.all('vm').values(), ({ doc }) => ({ spec: doc, status: mirror.get('vm-status', doc.uuid)?.doc })).filter(
      ({ spec, status }) => status?.owner === me || spec.homeNode === me || spec.node === me || (status?.phase.kind === 'migrating' && status.phase.target === me),
    );
  }

  /** A refusal is remembered for this round's report; the next round asks again. */
  async #attempt(action: DomainsAction): Promise<void> {
    try {
      await this.#carryOut(action);
    } catch (error) {
      if (!isAppError(error, 'no-resource', 'state', 'not-found', 'conflict')) throw error;
      this.#refusals.set(action.uuid, describeError(error));
      this.#deps.log.info({ vm: action.uuid, why: describeError(error) }, 'the VM cannot be moved now');
    }
  }

  async #carryOut(action: DomainsAction): Promise<void> {
    const { operations } = this.#deps;
    switch (action.kind) {
      case 'move-away':
        await this.#moveAway(action.uuid);
        return;
      case 'start-elsewhere':
        this.#countTry(action.uuid);
        await operations.setPower(action.uuid, 'start');
        return;
      case 'bring-home':
        this.#countTry(action.uuid);
        await operations.unmigrate(action.uuid);
        return;
      case 'start':
        this.#countTry(action.uuid);
        await operations.setPower(action.uuid, 'start');
        await operations.setMeta(action.uuid, { autostart: false });
    }
  }

  /** With no place to go, the VM is shut down if it says so, and started again when the node is ready. */
  async #moveAway(uuid: VmId): Promise<void> {
    const { operations, mirror } = this.#deps;
    try {
      await operations.migrate(uuid, { force: true });
      this.#countTry(uuid);
    } catch (error) {
      const mayShutDown = mirror.get('vm', uuid)?.doc.onFlushBlocked === 'shutdown';
      if (!isAppError(error, 'no-resource') || !mayShutDown) throw error;
      await operations.setMeta(uuid, { autostart: true });
      await operations.setPower(uuid, 'shutdown');
    }
  }

  #countTry(uuid: VmId): void {
    this.#tries.set(uuid, (this.#tries.get(uuid) ?? 0) + 1);
  }

  async #publish(spec: NodeSpec, plan: DomainsPlan): Promise<void> {
    await this.#writeTask(spec, plan);
    await this.#deps.report({ state: plan.state, generation: spec.domains.generation, blocked: [...plan.blocked] });
  }

  async #writeTask(spec: NodeSpec, plan: DomainsPlan): Promise<void> {
    const { context, clock, mirror, me } = this.#deps;
    const fresh = newDomainsTask(spec, { requestedBy: 'the node', nowMs: clock.nowMs() });
    if (mirror.get('task', fresh.id) === undefined) await createTask(context, fresh);
    await updateResource(context, { kind: 'task', id: fresh.id }, (task) => advance(task, plan));
    for (const { doc } of mirror.all('task').values()) {
      if (doc.target === me && doc.id !== fresh.id && isOpen(doc)) {
        await updateResource(context, { kind: 'task', id: doc.id }, (task) => (isOpen(task) ? { ...task, state: 'cancelled' } : task));
      }
    }
  }
}

function isReached(spec: NodeSpec, reported: DomainsView['reported']): boolean {
  return reported.generation === spec.domains.generation && reported.state === 'ready' && spec.domains.wish === 'ready';
}

function isOpen(task: Task): boolean {
  return task.state === 'pending' || task.state === 'running';
}

/** What was a step and is none any more is done. */
function advance(task: Task, plan: DomainsPlan): Task {
  const open = new Map(plan.steps.map((step) => [step.name, step]));
  const finished = task.steps.filter((step) => !open.has(step.name)).map((step): TaskStep => ({ ...step, state: 'done', message: null }));
  const steps = [...finished, ...open.values()];
  const state = plan.state === 'flushed' || plan.state === 'ready' ? 'done' : 'running';
  const failed = plan.steps.filter((step) => step.state === 'failed');
  const error = failed.length === 0 ? null : `${failed.length} of the VMs cannot be moved: ${failed.map((step) => `${step.name}: ${step.message ?? ''}`).join('; ')}`;
  const next: Task = { ...task, steps, state, error };
  return isDeepStrictEqual(next, task) ? task : next;
}
