import { wantsToRun } from '../../common/domain/placement.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { MigrationOutcome, VmPhase, VmStatus } from '../../common/schema/vm-status.ts';
import { handedOver, isAlive, SETTLED, staleRecheck, writeStatus, type VmStep, type VmView } from './vm-view.ts';

/** A guest that ignores its power button may notice it the second time. */
const PRESS_AGAIN_MS = 10_000;

type Spec = Versioned<VmSpec>;

/** This node owns the VM. */
export function ownerStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (spec.doc.deletion !== null) return removalStep(view, spec, status);
  return isAlive(view.domain) ? aliveStep(view, spec, status) : goneStep(view, spec, status);
}

function removalStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (view.migration.kind === 'running') return { kind: 'abort-migration' };
  if (isAlive(view.domain)) return view.fresh ? { kind: 'destroy' } : staleRecheck();
  return release(spec, status, { kind: 'stopped' });
}

/** The guest runs. */
function aliveStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  const { power } = spec.doc;
  if (status.phase.kind === 'migrating') return migratingStep(view, spec, status);
  if (!wantsToRun(spec.doc)) return view.fresh ? offStep(view, spec, status) : staleRecheck();
  if (status.phase.kind === 'shutting-down') return view.fresh ? shuttingDownStep(view, spec, status) : staleRecheck();
  if (power.action === 'restart' && status.powerGeneration < power.generation) return beginShutdown(view, spec, status, 'start');
  if (view.domain?.state === 'paused' && status.phase.kind === 'starting') return { kind: 'recheck', afterMs: 500, why: 'the guest is starting' };
  if (status.phase.kind !== 'running') return running(spec, status);
  if (spec.doc.node !== view.me) return moveStep(view, spec, status);
  if (status.growthGeneration < spec.doc.growth.generation) return { kind: 'grow-disks', growth: spec.doc.growth };
  if (status.observedVersion !== spec.version) return writeStatus(spec, { ...status, powerGeneration: power.generation });
  return SETTLED;
}

function running(spec: Spec, status: VmStatus): VmStep {
  return writeStatus(spec, { ...status, phase: { kind: 'running' }, powerGeneration: spec.doc.power.generation, startedVersion: spec.version });
}

/** It was asked to be off. */
function offStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (spec.doc.power.action === 'stop') return { kind: 'destroy' };
  if (status.phase.kind === 'shutting-down' && status.phase.next === 'stop') return shuttingDownStep(view, spec, status);
  return beginShutdown(view, spec, status, 'stop');
}

type AfterShutdown = Extract<VmPhase, { kind: 'shutting-down' }>['next'];

function beginShutdown(view: VmView, spec: Spec, status: VmStatus, next: AfterShutdown): VmStep {
  const sinceMs = status.phase.kind === 'shutting-down' ? status.phase.sinceMs : view.nowMs;
  return writeStatus(spec, { ...status, phase: { kind: 'shutting-down', sinceMs, next }, powerGeneration: spec.doc.power.generation });
}

/** The power button was pressed: wait, press again, and end it by force at the limit. */
function shuttingDownStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (status.phase.kind !== 'shutting-down') return SETTLED;
  const { sinceMs, next } = status.phase;
  if (next === 'stop' && wantsToRun(spec.doc)) return beginShutdown(view, spec, status, 'start');
  const leftMs = sinceMs + view.shutdownTimeoutMs - view.nowMs;
  if (leftMs <= 0) return { kind: 'destroy' };
  const pressedMs = view.buttonPressedMs;
  if (pressedMs === undefined || pressedMs < sinceMs || view.nowMs - pressedMs >= PRESS_AGAIN_MS) return { kind: 'press-power-button' };
  return { kind: 'recheck', afterMs: Math.min(leftMs, PRESS_AGAIN_MS), why: 'the guest is shutting down' };
}

/** The VM's place is another node. */
function moveStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  const { placement, node } = spec.doc;
  if (status.lastMigration?.generation === placement.generation && isFailure(status.lastMigration)) {
    return { kind: 'keep-here', generation: placement.generation };
  }
  if (!view.fresh) return staleRecheck();
  if (!view.targetAlive) return writeStatus(spec, failedMove(view, spec, status, { outcome: 'failed', error: 'the target node is not alive', elapsedMs: 0 }));
  const begun: VmStatus = { ...status, lastMigration: outcome(view, spec, { outcome: 'failed', error: 'interrupted', elapsedMs: 0 }) };
  if (placement.method === 'shutdown') return beginShutdown(view, spec, begun, 'relocate');
  return writeStatus(spec, { ...begun, phase: { kind: 'migrating', target: node, progress: null } });
}

/** A live migration was begun by this node, in this process or in one before it. */
function migratingStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (status.phase.kind !== 'migrating') return SETTLED;
  const { migration } = view;
  const cancelled = spec.doc.node !== status.phase.target || !wantsToRun(spec.doc);
  if (migration.kind === 'running') return cancelled && view.fresh ? { kind: 'abort-migration' } : SETTLED;
  const generation = status.lastMigration?.generation ?? spec.doc.placement.generation;
  const ended = migration.kind === 'ended' && migration.generation === generation ? migration : undefined;
  // Whatever the call said: a guest that pauses here may run there, and only the target knows.
  if (view.domain?.state === 'paused' && ended?.outcome !== 'done') return pausedAtSwitchOver(view, spec, status, status.phase.target);
  if (ended !== undefined) return endedStep(view, spec, status, ended);
  if (cancelled) return writeStatus(spec, failedMove(view, spec, status, { outcome: 'aborted', error: 'aborted on request', elapsedMs: 0 }));
  if (status.phase.progress !== null) return interruptedStep(view, spec, status);
  return { kind: 'migrate', target: status.phase.target, generation };
}

function endedStep(view: VmView, spec: Spec, status: VmStatus, ended: Extract<VmView['migration'], { kind: 'ended' }>): VmStep {
  if (status.phase.kind !== 'migrating') return SETTLED;
  const { target } = status.phase;
  if (ended.outcome === 'done') return writeStatus(spec, handedOver(status, target, { outcome: 'live', error: null, elapsedMs: ended.elapsedMs }));
  const failure = { outcome: ended.outcome === 'refused' ? ('failed' as const) : ended.outcome, error: ended.error, elapsedMs: ended.elapsedMs };
  const mayShutDown = ended.outcome === 'failed' && spec.doc.placement.method === 'any' && view.targetAlive && spec.doc.node === target && wantsToRun(spec.doc);
  if (mayShutDown) return beginShutdown(view, spec, failedMove(view, spec, status, failure), 'relocate');
  return writeStatus(spec, failedMove(view, spec, status, failure));
}

/** The daemon was started again in the middle of a migration; the data link went with the old one, so libvirt gives up or has. */
function interruptedStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  return writeStatus(spec, failedMove(view, spec, status, { outcome: 'failed', error: 'the daemon was started again during the migration', elapsedMs: 0 }));
}

function pausedAtSwitchOver(view: VmView, spec: Spec, status: VmStatus, target: NodeName): VmStep {
  switch (view.located) {
    case undefined:
      return { kind: 'locate-on-target', target };
    case 'running':
      return writeStatus(spec, handedOver(status, target, { outcome: 'live', error: null, elapsedMs: 0 }));
    case 'absent':
      return { kind: 'resume' };
  }
}

type Failure = Pick<MigrationOutcome, 'outcome' | 'error' | 'elapsedMs'>;

function failedMove(view: VmView, spec: Spec, status: VmStatus, failure: Failure): VmStatus {
  const asked = outcome(view, spec, failure);
  // Of the move that was begun: an abort has put the desired place back by now, with a generation of its own.
  const begun = status.phase.kind === 'migrating' ? { to: status.phase.target, generation: status.lastMigration?.generation ?? asked.generation } : {};
  return { ...status, phase: { kind: 'running' }, lastMigration: { ...asked, ...begun } };
}

function outcome(view: VmView, spec: Spec, result: Failure): MigrationOutcome {
  return { generation: spec.doc.placement.generation, from: view.me, to: spec.doc.node, ...result };
}

function isFailure(migration: MigrationOutcome): boolean {
  return migration.outcome === 'failed' || migration.outcome === 'aborted';
}

/** The guest does not run here. */
function goneStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  const { phase } = status;
  switch (phase.kind) {
    case 'starting':
      return startingStep(view, spec, status);
    case 'running':
      return endedByItself(view, spec, status);
    case 'shutting-down':
      return afterShutdown(view, spec, status, phase.next);
    case 'migrating':
      return departedStep(view, spec, status, phase);
    case 'stopped':
    case 'relocating':
    case 'failed':
      return release(spec, status, phase);
  }
}

function startingStep(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (isSuperseded(spec, status)) return release(spec, status, { kind: 'stopped' });
  if (view.domain?.shutoffReason === 'crashed') return release(spec, status, { kind: 'failed', reason: 'the guest crashed while it started' });
  if (view.domain?.shutoffReason === 'shutdown') return release(spec, status, { kind: 'stopped' });
  return { kind: 'create' };
}

/**
 * It was asked to be off, or asked something since that decides anew (off and on again, say): how this run ended is no news. We may
 * have ended it ourselves, and libvirt calls that a crash when it was being started again.
 */
function isSuperseded(spec: Spec, status: VmStatus): boolean {
  return !wantsToRun(spec.doc) || status.powerGeneration < spec.doc.power.generation;
}

/** Nobody here asked for it: the guest powered itself off, QEMU died, or the host was started again. */
function endedByItself(view: VmView, spec: Spec, status: VmStatus): VmStep {
  if (isSuperseded(spec, status)) return release(spec, status, { kind: 'stopped' });
  switch (view.domain?.shutoffReason) {
    case 'shutdown':
    case 'destroyed':
      return release(spec, status, { kind: 'stopped' });
    case 'crashed':
    case 'failed':
      return release(spec, status, { kind: 'failed', reason: 'the guest crashed' });
    case 'migrated':
      return release(spec, status, { kind: 'failed', reason: 'the guest was migrated by other means' });
    case 'unknown':
    case undefined:
      return writeStatus(spec, starting(spec, status));
  }
}

/** Before the guest starts again, the definition goes that still says how its last run ended. */
function afterShutdown(view: VmView, spec: Spec, status: VmStatus, next: AfterShutdown): VmStep {
  const runs = wantsToRun(spec.doc);
  if (next === 'relocate' && runs) return release(spec, status, { kind: 'relocating' });
  if (!runs) return release(spec, status, { kind: 'stopped' });
  if (view.domain !== undefined) return { kind: 'forget' };
  return writeStatus(spec, { ...starting(spec, status), startedVersion: null });
}

/** The guest is made anew, and opens its volumes after this is written. */
function starting({ doc }: Spec, status: VmStatus): VmStatus {
  return { ...status, phase: { kind: 'starting' }, powerGeneration: doc.power.generation, growthGeneration: doc.growth.generation };
}

/** The guest is gone from here in the middle of a migration: it runs at the target, or it is lost. */
function departedStep(view: VmView, spec: Spec, status: VmStatus, phase: Extract<VmPhase, { kind: 'migrating' }>): VmStep {
  if (view.migration.kind === 'running') return SETTLED;
  if (view.domain?.shutoffReason === 'crashed') {
    return release(spec, status, isSuperseded(spec, status) ? { kind: 'stopped' } : { kind: 'failed', reason: 'the guest crashed during its migration' });
  }
  const done = view.migration.kind === 'ended' && view.migration.outcome === 'done' ? view.migration : undefined;
  if (done === undefined && view.located === undefined) return { kind: 'locate-on-target', target: phase.target };
  if (done === undefined && view.located === 'absent') return writeStatus(spec, { ...status, phase: { kind: 'starting' } });
  return writeStatus(spec, handedOver(status, phase.target, { outcome: 'live', error: null, elapsedMs: done?.elapsedMs ?? 0 }));
}

/** Nobody owns the VM any more. A request to run that came meanwhile stays unanswered, so that it is carried out. */
function release(spec: Spec, status: VmStatus, phase: VmPhase): VmStep {
  const powerGeneration = wantsToRun(spec.doc) ? status.powerGeneration : spec.doc.power.generation;
  return writeStatus(spec, { ...status, owner: null, epoch: status.epoch + 1, phase, powerGeneration, startedVersion: null });
}
