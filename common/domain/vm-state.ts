import type { VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';

/** The state words that existing clients know. */
export type ShownVmState = 'start' | 'restart' | 'shutdown' | 'stop' | 'disable' | 'fail' | 'migrate';

const SHUTTING_DOWN = { stop: 'shutdown', start: 'restart', relocate: 'migrate' } as const;

/** One word for people and clients, from what was asked and what is. */
export function shownVmState(spec: VmSpec, status: VmStatus | undefined): ShownVmState {
  if (spec.deletion !== null) return 'stop';
  if (status === undefined || status.powerGeneration < spec.power.generation) return requested(spec, status);
  switch (status.phase.kind) {
    case 'failed':
      return 'fail';
    case 'stopped':
      return spec.power.action === 'disable' ? 'disable' : 'stop';
    case 'migrating':
    case 'relocating':
      return 'migrate';
    case 'shutting-down':
      return SHUTTING_DOWN[status.phase.next];
    case 'starting':
      return spec.power.action === 'restart' ? 'restart' : 'start';
    case 'running':
      return spec.node === status.owner ? 'start' : 'migrate';
  }
}

/** A request that no node has answered yet shows as what it asks for; switching off what is off is done at once. */
function requested(spec: VmSpec, status: VmStatus | undefined): ShownVmState {
  const off = (status?.owner ?? null) === null;
  switch (spec.power.action) {
    case 'start':
    case 'restart':
      return spec.power.action;
    case 'disable':
      return off ? 'disable' : 'shutdown';
    case 'shutdown':
      return off ? 'stop' : 'shutdown';
    case 'stop':
      return 'stop';
  }
}

/** What was asked last is done, or has failed: the shown state stays until somebody asks for something else, or the guest does something by itself. */
export function isSettled(spec: VmSpec, status: VmStatus | undefined): boolean {
  if (spec.deletion !== null) return false;
  if (status === undefined || status.powerGeneration < spec.power.generation) return !isOwned(status) && !['start', 'restart'].includes(spec.power.action);
  switch (status.phase.kind) {
    case 'running':
      return spec.node === status.owner;
    case 'stopped':
    case 'failed':
      return true;
    case 'starting':
    case 'shutting-down':
    case 'migrating':
    case 'relocating':
      return false;
  }
}

/** The node that the VM is shown on: where it runs, else where it will. */
export function shownNode(spec: VmSpec, status: VmStatus | undefined): string {
  return status?.owner ?? spec.node;
}

/** A guest of this VM runs, or is about to, somewhere. */
export function isOwned(status: VmStatus | undefined): boolean {
  return (status?.owner ?? null) !== null;
}

/** Its owner has begun to move it and has not said how that ended; until then `lastMigration` is what a restarted daemon would find. */
export function isMoveUnderWay(status: VmStatus | undefined): boolean {
  const phase = status?.phase;
  return phase?.kind === 'migrating' || phase?.kind === 'relocating' || (phase?.kind === 'shutting-down' && phase.next === 'relocate');
}

/** The VM is on its way from its owner to another node. */
export function isMoving(spec: VmSpec, status: VmStatus | undefined): boolean {
  if (status === undefined) return false;
  if (status.phase.kind === 'migrating' || status.phase.kind === 'relocating') return true;
  return status.owner !== null && status.owner !== spec.node;
}
