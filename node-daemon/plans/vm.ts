import { wantsToRun } from '../../common/domain/placement.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { MigrationOutcome, VmStatus } from '../../common/schema/vm-status.ts';
import { ownerStep } from './vm-owner.ts';
import { handedOver, isAlive, SETTLED, staleRecheck, writeStatus, type VmStep, type VmView } from './vm-view.ts';

const NOBODYS: VmStatus = {
  owner: null,
  epoch: 0,
  phase: { kind: 'stopped' },
  powerGeneration: 0,
  growthGeneration: 0,
  observedVersion: 0,
  startedVersion: null,
  lastMigration: null,
};

/** Decides the next step for one VM on this host. Foreign domains are never touched. */
export function nextVmStep(view: VmView): VmStep {
  const { spec, status, domain, me } = view;
  if (domain !== undefined && !domain.ours) return SETTLED;
  if (spec === undefined) return stepWithoutSpec(view);
  if (status?.doc.owner === me) return ownerStep(view, spec, status.doc);
  if (isAlive(domain)) return guestStep(view, status?.doc);
  if (domain !== undefined) return isReceiving(view) ? awaitSource() : { kind: 'forget' };
  if (spec.doc.node !== me || (status?.doc.owner ?? null) !== null) return SETTLED;
  if (spec.doc.deletion !== null) return view.fresh ? { kind: 'finish-removal' } : staleRecheck();
  return nomineeStep(view, spec, status?.doc ?? NOBODYS);
}

/** The VM was forgotten: nothing of it stays here. */
function stepWithoutSpec(view: VmView): VmStep {
  if (!view.fresh) return view.domain === undefined && view.status === undefined ? SETTLED : staleRecheck();
  if (isAlive(view.domain)) return { kind: 'destroy-stray' };
  if (view.domain !== undefined) return { kind: 'forget' };
  return view.status?.doc.owner === view.me ? { kind: 'remove-status' } : SETTLED;
}

/** The guest is here and somebody else, or nobody, owns it: it is arriving, or it is a stray. */
function guestStep(view: VmView, status: VmStatus | undefined): VmStep {
  const { domain } = view;
  // The target was faster than the end of our own call to libvirt, which removes the guest from here.
  if (view.migration.kind === 'running') return SETTLED;
  if (!view.fresh) return staleRecheck();
  if (status === undefined || !isReceiving(view)) return { kind: 'destroy-stray' };
  if (domain?.state !== 'running' || domain.incoming) return awaitSource();
  return { kind: 'write-status', status: handedOver(status, view.me, { outcome: 'live', error: null, elapsedMs: 0 }) };
}

function isReceiving(view: VmView): boolean {
  const phase = view.status?.doc.phase;
  return phase?.kind === 'migrating' && phase.target === view.me;
}

function awaitSource(): VmStep {
  return { kind: 'recheck', afterMs: 2_000, why: 'the guest is arriving' };
}

/** Nobody owns the VM and its place is here. */
function nomineeStep(view: VmView, spec: Versioned<VmSpec>, status: VmStatus): VmStep {
  const request = spec.doc.power;
  const answered = view.status !== undefined && status.powerGeneration >= request.generation;
  if (!wantsToRun(spec.doc)) {
    if (answered || view.status === undefined) return SETTLED;
    return writeStatus(spec, { ...status, phase: { kind: 'stopped' }, powerGeneration: request.generation });
  }
  if (answered && status.phase.kind !== 'relocating') return SETTLED;
  if (!view.fresh || !view.ready) return { kind: 'recheck', afterMs: 5_000, why: view.fresh ? 'this node is not ready' : 'the mirror is stale' };
  return writeStatus(spec, {
    ...status,
    owner: view.me,
    epoch: status.epoch + 1,
    phase: { kind: 'starting' },
    powerGeneration: request.generation,
    growthGeneration: spec.doc.growth.generation,
    lastMigration: status.phase.kind === 'relocating' ? relocated(status, spec.doc, view.me) : status.lastMigration,
  });
}

function relocated(status: VmStatus, spec: VmSpec, me: NodeName): MigrationOutcome | null {
  const from = status.lastMigration?.generation === spec.placement.generation ? status.lastMigration.from : null;
  if (from === null) return status.lastMigration;
  return { generation: spec.placement.generation, from, to: me, outcome: 'shutdown', error: status.lastMigration?.error ?? null, elapsedMs: 0 };
}
