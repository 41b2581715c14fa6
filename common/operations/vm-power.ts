import { isMoving, shownVmState } from '../domain/vm-state.ts';
import { AppError } from '../errors.ts';
import type { NodeName, VmId } from '../ids.ts';
import type { PowerRequest, VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';
import { confirmPlace } from './confirm-place.ts';
import { chooseNode, isAlive, reasonAgainstNode } from './choose-node.ts';
import type { OperationContext } from './context.ts';
import { vmStatusOf } from './find-vm.ts';
import { updateResource } from './update-resource.ts';
import type { Versioned } from '../schema/resources.ts';

/**
 * Asks for another power state; what already is so has no effect. A VM that is off and whose node cannot take it is started elsewhere.
 * @throws AppError 'not-found'; 'state' when it makes no sense now; 'no-resource' when no node can start it.
 */
export async function setVmPower(context: OperationContext, uuid: VmId, action: PowerRequest['action']): Promise<VmSpec> {
  let before: VmSpec | undefined;
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    const status = vmStatusOf(context.mirror, uuid);
    before = startsFromOff(status, action) ? spec : undefined;
    if (spec.deletion !== null) throw new AppError('state', 'the VM is being removed', { vm: spec.name });
    if (!hasEffect(spec, status, action)) return spec;
    refuseUnreachable(context, spec, status);
    const node = startsFromOff(status, action) ? startNode(context, spec) : spec.node;
    return { ...spec, node, power: { action, generation: spec.power.generation + 1 }, autostart: action === 'disable' ? false : spec.autostart };
  });
  if (before !== undefined && before !== written.doc) await confirmPlace(context, written, () => cancelStart(context, written));
  return written.doc;
}

/** The start that was asked for is taken back, unless something else was asked for since. */
async function cancelStart(context: OperationContext, { id, doc }: Versioned<VmSpec>): Promise<void> {
  await updateResource(context, { kind: 'vm', id }, (spec) => {
    if (spec.power.generation !== doc.power.generation) return spec;
    return { ...spec, power: { action: 'stop', generation: spec.power.generation + 1 } };
  });
}

/** Whether the request changes anything, by what the VM shows now. */
function hasEffect(spec: VmSpec, status: VmStatus | undefined, action: PowerRequest['action']): boolean {
  const shown = shownVmState(spec, status);
  const off = shown === 'stop' || shown === 'disable';
  switch (action) {
    case 'start':
      if (status?.owner === null && status.phase.kind === 'relocating') return true;
      return shown !== 'start' && shown !== 'migrate' && shown !== 'restart';
    case 'restart':
      if (off || shown === 'fail') throw new AppError('state', 'only a running VM can be restarted', { vm: spec.name, state: shown });
      return shown !== 'restart';
    case 'shutdown':
      return !off && shown !== 'shutdown';
    case 'stop':
      return shown !== 'stop';
    case 'disable':
      return shown !== 'disable';
  }
}

function startsFromOff(status: VmStatus | undefined, action: PowerRequest['action']): boolean {
  return action === 'start' && (status?.owner ?? null) === null;
}

function startNode(context: OperationContext, spec: VmSpec): NodeName {
  return chooseNode(context, { vm: spec, wanted: spec.node });
}

/** Nobody but its owner may act on a guest; an owner that does not answer has to be proved dead first. */
function refuseUnreachable(context: OperationContext, spec: VmSpec, status: VmStatus | undefined): void {
  const owner = status?.owner ?? null;
  if (owner !== null && !isAlive(context.mirror, owner)) {
    throw new AppError('state', 'the node that owns the VM cannot be reached, and it is not known whether the guest still runs there', { vm: spec.name, node: owner });
  }
}

export interface MigrationOptions {
  node?: string | undefined;
  selector?: VmSpec['selector'] | undefined;
  /** Its new place is its home: nothing to bring back. */
  permanent?: boolean;
  /** Also when it has already been migrated; its home stays what it was. */
  force?: boolean;
  method?: VmSpec['migrationMethod'] | undefined;
}

/**
 * Gives the VM another node; a running guest moves there.
 * @throws AppError 'not-found', 'state' (already migrated, on its way), 'no-resource'.
 */
export async function migrateVm(context: OperationContext, uuid: VmId, options: MigrationOptions): Promise<VmSpec> {
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    const status = vmStatusOf(context.mirror, uuid);
    refuseToMove(context, spec, status);
    const current = status?.owner ?? spec.node;
    const permanent = options.permanent === true;
    if (spec.homeNode !== null && !permanent && options.force !== true) {
      throw new AppError('state', 'the VM has already been migrated; unmigrate it first or use force', { vm: spec.name, home: spec.homeNode });
    }
    const node = chooseNode(context, { vm: spec, wanted: options.node, selector: options.selector ?? undefined, exclude: [current] });
    const home = permanent ? null : (spec.homeNode ?? current);
    return placed(spec, { node, homeNode: home === node ? null : home, method: options.method ?? null });
  });
  await confirmMove(context, written);
  return written.doc;
}

/**
 * Brings the VM back to the node it was migrated from.
 * @throws AppError 'not-found', 'state' (not migrated, on its way), 'no-resource' when its home cannot take it.
 */
export async function unmigrateVm(context: OperationContext, uuid: VmId, options: Pick<MigrationOptions, 'method'> = {}): Promise<VmSpec> {
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    refuseToMove(context, spec, vmStatusOf(context.mirror, uuid));
    if (spec.homeNode === null) throw new AppError('state', 'the VM has not been migrated', { vm: spec.name });
    const why = reasonAgainstNode(context, { vm: spec, wanted: spec.homeNode });
    if (why !== undefined) throw new AppError('no-resource', 'the home of the VM cannot take it', { vm: spec.name, node: spec.homeNode, why });
    return placed(spec, { node: spec.homeNode, homeNode: null, method: options.method ?? null });
  });
  await confirmMove(context, written);
  return written.doc;
}

/** A move that was begun meanwhile is aborted. */
async function confirmMove(context: OperationContext, written: Versioned<VmSpec>): Promise<void> {
  const { uuid, placement } = written.doc;
  const node = vmStatusOf(context.mirror, uuid)?.owner;
  if (node == null || node === written.doc.node) return;
  await confirmPlace(context, written, () => keepVmAt(context, uuid, { node, generation: placement.generation }));
}

/**
 * Puts the VM's place back to where it runs, after a migration that failed or to abort one that is under way.
 * Does nothing when another request has come since `generation`.
 */
export async function keepVmAt(context: OperationContext, uuid: VmId, at: { node: NodeName; generation: number }): Promise<void> {
  await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    if (spec.placement.generation !== at.generation || spec.node === at.node) return spec;
    const { previousHome } = spec.placement;
    return { ...spec, node: at.node, homeNode: previousHome, placement: { ...spec.placement, generation: at.generation + 1 } };
  });
}

/**
 * Aborts the migration that is under way; the guest stays where it runs.
 * @throws AppError 'not-found', 'state' when none is under way.
 */
export async function abortVmMigration(context: OperationContext, uuid: VmId): Promise<void> {
  const spec = context.mirror.get('vm', uuid)?.doc;
  const owner = vmStatusOf(context.mirror, uuid)?.owner ?? null;
  if (spec === undefined) throw new AppError('not-found', 'no such VM', { vm: uuid });
  if (owner === null || owner === spec.node) throw new AppError('state', 'no migration of the VM is under way', { vm: spec.name });
  await keepVmAt(context, uuid, { node: owner, generation: spec.placement.generation });
}

function refuseToMove(context: OperationContext, spec: VmSpec, status: VmStatus | undefined): void {
  if (spec.deletion !== null) throw new AppError('state', 'the VM is being removed', { vm: spec.name });
  if (isMoving(spec, status)) throw new AppError('state', 'the VM is on its way to another node already', { vm: spec.name, node: spec.node });
  refuseUnreachable(context, spec, status);
}

function placed(spec: VmSpec, to: { node: NodeName; homeNode: NodeName | null; method: VmSpec['migrationMethod'] }): VmSpec {
  const method = to.method ?? spec.migrationMethod ?? 'any';
  return { ...spec, node: to.node, homeNode: to.homeNode, placement: { generation: spec.placement.generation + 1, method, previousHome: spec.homeNode } };
}
