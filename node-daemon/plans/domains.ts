import { wantsToRun } from '../../common/domain/placement.ts';
import { isMoving, isOwned } from '../../common/domain/vm-state.ts';
import type { NodeName, VmId } from '../../common/ids.ts';
import type { DomainsState, FlushBlock, NodeSpec } from '../../common/schema/node.ts';
import type { TaskStep } from '../../common/schema/task.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';

/** Moves of one VM within one flush or unflush, at most; after them it is reported instead. */
export const TRIES_MAX = 3;

export interface DomainsVm {
  spec: VmSpec;
  status: VmStatus | undefined;
}

/** Everything the decision about this node's VMs as a whole depends on. */
export interface DomainsView {
  me: NodeName;
  wish: NodeSpec['domains'];
  /** What was last reported. */
  reported: { state: DomainsState; generation: number };
  /** VMs that run here, have their home here, or have their place here. */
  vms: readonly DomainsVm[];
  /** Moves at once. */
  parallel: number;
  /** How often this process has tried to move each VM for this wish. */
  tries: ReadonlyMap<VmId, number>;
  /** Why the last try was refused before it began. */
  refusals: ReadonlyMap<VmId, string>;
  fresh: boolean;
}

export type DomainsAction =
  | { kind: 'move-away'; uuid: VmId }
  /** It was shut down to start here, and here takes no VM any more. */
  | { kind: 'start-elsewhere'; uuid: VmId }
  | { kind: 'bring-home'; uuid: VmId }
  | { kind: 'start'; uuid: VmId };

export interface DomainsPlan {
  state: DomainsState;
  /** To be begun now, in this order. */
  actions: readonly DomainsAction[];
  blocked: readonly FlushBlock[];
  /** One per VM that is still to be moved or started, for the task. */
  steps: readonly TaskStep[];
}

/** What this node does next about all its VMs: leave with them, or bring them home. */
export function planDomains(view: DomainsView): DomainsPlan {
  return view.wish.wish === 'flush' ? planFlush(view) : planReady(view);
}

/** Never 'flushed' while a VM is left, is arriving, or waits to start here. Biggest first: what is hardest to place finds the most room. */
function planFlush(view: DomainsView): DomainsPlan {
  const concerned = view.vms.filter((vm) => isLeft(view, vm)).sort((a, b) => b.spec.memoryMib - a.spec.memoryMib || compare(a, b));
  if (concerned.length === 0) return { state: 'flushed', actions: [], blocked: [], steps: [] };
  const underWay = concerned.filter((vm) => isUnderWay(view, vm));
  const staying = concerned.filter((vm) => !underWay.includes(vm));
  const stuck = staying.filter(({ spec }) => view.refusals.has(spec.uuid) || triesOf(view, spec) >= TRIES_MAX);
  const free = Math.max(0, view.parallel - underWay.length);
  const next = view.fresh ? staying.filter((vm) => !stuck.includes(vm)).slice(0, free) : [];
  return {
    state: 'flush',
    actions: next.map(({ spec, status }) => ({ kind: status?.phase.kind === 'relocating' ? 'start-elsewhere' : 'move-away', uuid: spec.uuid })),
    blocked: stuck.map((vm) => ({ uuid: vm.spec.uuid, name: vm.spec.name, why: whyStuck(view, vm) })),
    steps: concerned.map((vm) => stepOf(vm, { running: underWay.includes(vm), why: stuck.includes(vm) ? whyStuck(view, vm) : null })),
  };
}

/** It is here, is on its way here, or waits for this node to start it. */
function isLeft({ me }: DomainsView, { spec, status }: DomainsVm): boolean {
  const owner = status?.owner ?? null;
  if (owner === me || (status?.phase.kind === 'migrating' && status.phase.target === me)) return true;
  if (spec.node !== me || !wantsToRun(spec)) return false;
  return owner !== null || status === undefined || status.phase.kind === 'relocating' || status.powerGeneration < spec.power.generation;
}

/** Something is being done with it already, and nothing more can be now. */
function isUnderWay({ me }: DomainsView, { spec, status }: DomainsVm): boolean {
  const owner = status?.owner ?? null;
  if (owner === null) return false;
  return owner !== me || isMoving(spec, status) || !wantsToRun(spec) || status?.phase.kind !== 'running';
}

/** Once per wish: what belongs here comes home, when it is still leaving as soon as it has left; and what shall be started with the node is started. */
function planReady(view: DomainsView): DomainsPlan {
  const reached = view.reported.state === 'ready' && view.reported.generation === view.wish.generation;
  if (reached) return { state: 'ready', actions: [], blocked: [], steps: [] };
  const isLeaving = ({ spec, status }: DomainsVm): boolean => spec.homeNode === view.me && spec.deletion === null && status?.owner === view.me;
  const moving = view.vms.filter((vm) => isMoving(vm.spec, vm.status) && (vm.spec.node === view.me || isLeaving(vm)));
  const given = (vm: DomainsVm): boolean => view.refusals.has(vm.spec.uuid) || triesOf(view, vm.spec) >= TRIES_MAX;
  const away = view.vms.filter(({ spec, status }) => spec.homeNode === view.me && spec.deletion === null && !isMoving(spec, status));
  const off = view.vms.filter(({ spec, status }) => spec.autostart && spec.node === view.me && !isOwned(status) && !wantsToRun(spec));
  const open = away.filter((vm) => !given(vm)).sort(compare);
  const next = view.fresh ? open.slice(0, Math.max(0, view.parallel - moving.length)) : [];
  const starts = view.fresh ? off.filter((vm) => !given(vm)) : [];
  const done = moving.length === 0 && open.length === 0 && starts.length === 0 && view.fresh;
  return {
    state: done ? 'ready' : 'unflush',
    actions: [
      ...next.map(({ spec }) => ({ kind: 'bring-home', uuid: spec.uuid }) as const),
      ...starts.map(({ spec }) => ({ kind: 'start', uuid: spec.uuid }) as const),
    ],
    blocked: [],
    steps: [
      ...moving.map((vm) => stepOf(vm, { running: true, why: null })),
      ...[...away, ...off].map((vm) => stepOf(vm, { running: false, why: given(vm) ? whyStuck(view, vm) : null })),
    ],
  };
}

function stepOf({ spec }: DomainsVm, how: { running: boolean; why: string | null }): TaskStep {
  return { name: spec.name, state: how.running ? 'running' : how.why === null ? 'waiting' : 'failed', message: how.why };
}

function whyStuck(view: DomainsView, { spec, status }: DomainsVm): string {
  return view.refusals.get(spec.uuid) ?? status?.lastMigration?.error ?? 'it could not be moved';
}

function triesOf(view: DomainsView, spec: VmSpec): number {
  return view.tries.get(spec.uuid) ?? 0;
}

function compare(a: DomainsVm, b: DomainsVm): number {
  return a.spec.name < b.spec.name ? -1 : 1;
}
