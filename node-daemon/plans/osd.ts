import type { OsdAddStep, OsdRemoveStep, OsdSpec } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import type { DeviceFacts } from '../drivers/block-device.ts';
import type { ClusterOsd, OsdDrain, OsdPlace } from '../drivers/osd-cluster.ts';
import type { OsdServiceState } from '../drivers/osd-service.ts';
import type { OsdFolder } from '../drivers/osd-store.ts';
import { deviceFault, zapFault } from './osd-device.ts';

/** What can be done for one OSD; each may be repeated. */
export type OsdAction = 'zap' | 'register' | 'prepare' | 'activate' | 'place' | 'start' | 'set-out' | 'set-in' | 'stop' | 'purge' | 'wipe' | 'remove-folder' | 'remove-host';

export type OsdStep = OsdAddStep | OsdRemoveStep;

/** Everything that the next step depends on; only the task remembers, all else is looked at anew. */
export interface OsdView {
  readonly spec: OsdSpec;
  readonly task: Task;
  /** What the monitors know of this UUID; undefined: nothing. */
  readonly cluster: ClusterOsd | undefined;
  /** The device that holds this OSD; else the one that was asked for. */
  readonly device: DeviceFacts;
  /** What the monitors know of another OSD that is on the device. Asked only before what is there is destroyed. */
  readonly holds: ClusterOsd | undefined;
  /** The folder of its number; undefined without a number. */
  readonly folder: OsdFolder | undefined;
  /** Of the process that works in its folder; another's never counts. */
  readonly service: OsdServiceState;
  /** A making of it goes on that nobody here waits for. */
  readonly beingMade: boolean;
  /** CRUSH's tree has a host of the node's name, where an OSD of the node would be put, and nothing in it. Not asked while the OSD is there. */
  readonly hostIsEmpty: boolean;
  /** Undefined when nobody asks whether the cluster can do without it. */
  readonly drain: OsdDrainView | undefined;
  /** How long it is known to run without being up, in milliseconds. */
  readonly joiningMs: number;
  /** What has failed as often as it may, with the last reason. */
  readonly exhausted: ReadonlyMap<OsdAction, string>;
  readonly limits: OsdLimits;
}

export interface OsdDrainView extends Omit<OsdDrain, 'reports'> {
  /** Reports that each of the others has sent since the answer became 'safe' while the OSD was out; of the one that has sent the fewest. */
  readonly rounds: number;
  /** How long nothing has moved and no placement group has left, in milliseconds. */
  readonly stalledMs: number;
}

export interface OsdLimits {
  readonly drainStallMs: number;
}

export type OsdNext =
  | { readonly kind: 'do'; readonly step: OsdStep; readonly action: OsdAction }
  | { readonly kind: 'wait'; readonly step: OsdStep; readonly afterMs: number; readonly why: string }
  /** The step has failed for good: it is written down before anything is undone. */
  | { readonly kind: 'fail'; readonly step: OsdStep; readonly why: string }
  /** Nothing is left to do or to undo. */
  | { readonly kind: 'end' };

/** A started OSD asks the monitors within a second; on a busy host, or with a journal to replay, later. */
export const JOIN_LIMIT_MS = 180_000;

/** The manager's figures may be of before the OSD was out: what it says must hold for two reports of each OSD, of which the first may have been on its way. */
export const ROUNDS_AGREED = 2;

const LOOK_MS = 1_000;

/** Weights are 16.16 fixed point in CRUSH; what differs less is equal. */
const WEIGHT_STEP = 1 / 0x1_0000;

/** A step has failed: what follows only undoes. */
export function hasFailed(task: Task): boolean {
  return task.steps.some((step) => step.state === 'failed');
}

/** The next step towards an OSD that is up, or towards none, or back from either. */
export function planOsd(view: OsdView): OsdNext {
  const isUndone = hasFailed(view.task);
  if (view.spec.removal !== null) return isUndone ? planRestore(view) : planRemove(view, view.spec.removal);
  return isUndone ? planCleanUp(view) : (exhausted(view) ?? planAdd(view));
}

function planAdd(view: OsdView): OsdNext {
  const { cluster, device, spec } = view;
  if (cluster === undefined) return planBegin(view);
  const fault = deviceFault(device, spec.uuid);
  if (view.service !== 'running') {
    if (view.beingMade) return { kind: 'wait', step: 'prepare', afterMs: LOOK_MS, why: 'an earlier daemon is making it' };
    if (fault !== undefined) return { kind: 'fail', step: 'prepare', why: fault };
    if (!isMade(view)) return { kind: 'do', step: 'prepare', action: 'prepare' };
    if (!isActive(view)) return { kind: 'do', step: 'prepare', action: 'activate' };
  }
  return planJoin(view, cluster);
}

/** The number is asked for last: until then nothing has to be undone. */
function planBegin(view: OsdView): OsdNext {
  const { device, spec, holds } = view;
  if (isOurs(view)) return { kind: 'fail', step: 'check', why: 'the cluster has forgotten the OSD while it was made' };
  const fault = deviceFault(device, spec.uuid);
  if (fault === undefined) return { kind: 'do', step: 'register', action: 'register' };
  const why = spec.zap ? zapFault(device, holds) : fault;
  return why === undefined ? { kind: 'do', step: 'zap', action: 'zap' } : { kind: 'fail', step: 'check', why };
}

function planJoin(view: OsdView, { place, up }: ClusterOsd): OsdNext {
  const wanted = { host: view.spec.node, weight: view.spec.weight };
  if (place === null || !isSamePlace(place, wanted)) return { kind: 'do', step: 'place', action: 'place' };
  if (view.service !== 'running') return { kind: 'do', step: 'start', action: 'start' };
  if (up) return { kind: 'end' };
  if (view.joiningMs > JOIN_LIMIT_MS) return { kind: 'fail', step: 'join', why: 'the OSD runs, and the monitors do not see it up' };
  return { kind: 'wait', step: 'join', afterMs: LOOK_MS, why: 'the monitors do not see it up yet' };
}

/** What failed too often ends an adding. */
function exhausted({ exhausted: failures }: OsdView): OsdNext | undefined {
  const [first] = failures;
  if (first === undefined) return undefined;
  const [action, why] = first;
  return { kind: 'fail', step: STEP_OF[action], why };
}

const STEP_OF = {
  zap: 'zap',
  register: 'register',
  prepare: 'prepare',
  activate: 'prepare',
  place: 'place',
  start: 'start',
  'set-out': 'clean-up',
  'set-in': 'clean-up',
  stop: 'clean-up',
  purge: 'clean-up',
  wipe: 'clean-up',
  'remove-folder': 'clean-up',
  'remove-host': 'clean-up',
} as const satisfies Record<OsdAction, OsdAddStep>;

/** Nothing of it stays: not in the cluster, not on the device, not on the host. */
function planCleanUp(view: OsdView): OsdNext {
  if (view.beingMade) return { kind: 'wait', step: 'clean-up', afterMs: LOOK_MS, why: 'it is still being made' };
  if (view.service === 'running') return { kind: 'do', step: 'clean-up', action: 'stop' };
  if (view.cluster !== undefined) return { kind: 'do', step: 'clean-up', action: 'purge' };
  return planEmpty(view, 'clean-up') ?? { kind: 'end' };
}

/** Unasked for `force`, only what the cluster can do without goes. */
function planRemove(view: OsdView, { force }: { force: boolean }): OsdNext {
  const { cluster } = view;
  const drain = force || cluster === undefined ? undefined : planDrain(view, cluster);
  if (drain !== undefined) return drain;
  // Also of one that the cluster has forgotten: its process would write to the device after that was emptied.
  if (view.service === 'running') return { kind: 'do', step: 'stop', action: 'stop' };
  if (cluster !== undefined) return { kind: 'do', step: 'purge', action: 'purge' };
  return planEmpty(view, 'wipe') ?? { kind: 'end' };
}

/** Undefined once nothing would be lost. */
function planDrain({ drain, limits }: OsdView, cluster: ClusterOsd): OsdNext | undefined {
  if (drain === undefined) return { kind: 'wait', step: 'drain', afterMs: LOOK_MS, why: 'the cluster has not said what is on it' };
  const left = `${drain.groups} placement groups are on it`;
  if (drain.others === 0 && drain.groups > 0) return { kind: 'fail', step: 'out', why: `${left}, and no other OSD is up and in: their data would be lost` };
  if (cluster.in) return { kind: 'do', step: 'out', action: 'set-out' };
  if (drain.safe && drain.rounds >= ROUNDS_AGREED) return undefined;
  if (drain.stalledMs > limits.drainStallMs) return { kind: 'fail', step: 'drain', why: `${left}, and nothing moves: the other OSDs have no place for them, and copies would be lost` };
  return { kind: 'wait', step: 'drain', afterMs: LOOK_MS, why: left };
}

/** A device that cannot be written any more is left as it is. */
function planEmpty(view: OsdView, step: OsdStep): OsdNext | undefined {
  if (isOurs(view) && !view.exhausted.has('wipe')) return { kind: 'do', step, action: 'wipe' };
  const hasFolder = view.folder?.uuid === view.spec.uuid && !view.exhausted.has('remove-folder');
  if (hasFolder) return { kind: 'do', step, action: 'remove-folder' };
  return view.hostIsEmpty && !view.exhausted.has('remove-host') ? { kind: 'do', step, action: 'remove-host' } : undefined;
}

/** It stays, as it was: in, if it was this task that put it out. */
function planRestore({ cluster, task }: OsdView): OsdNext {
  const out = task.steps.find((step) => step.name === 'out');
  const wasOurs = out?.state === 'running' || out?.state === 'done';
  return wasOurs && cluster !== undefined && !cluster.in ? { kind: 'do', step: 'restore', action: 'set-in' } : { kind: 'end' };
}

/** What an added OSD needs, outside of any task. */
export type KeptOsdView = Pick<OsdView, 'spec' | 'device' | 'service'>;

export type KeptOsdNext = { readonly kind: 'start' } | { readonly kind: 'settled'; readonly phase: 'running' | 'stopped'; readonly error: string | null };

/** An OSD of this node runs, unless a person holds it. */
export function planKeptOsd(view: KeptOsdView): KeptOsdNext {
  if (view.service === 'running') return { kind: 'settled', phase: 'running', error: null };
  if (view.service === 'held') return { kind: 'settled', phase: 'stopped', error: 'its unit is masked' };
  if (!isMade(view)) return { kind: 'settled', phase: 'stopped', error: 'the device with its data is not there' };
  return { kind: 'start' };
}

/** The device has this OSD's label. */
function isOurs({ device, spec }: Pick<OsdView, 'device' | 'spec'>): boolean {
  return device.kind === 'device' && device.label?.uuid === spec.uuid;
}

function isMade({ device, spec }: Pick<OsdView, 'device' | 'spec'>): boolean {
  return device.kind === 'device' && device.label?.uuid === spec.uuid && device.label.ready;
}

function isActive({ folder, spec }: OsdView): boolean {
  return folder?.uuid === spec.uuid && folder.complete && folder.device !== null;
}

export function isSamePlace(a: OsdPlace, b: OsdPlace): boolean {
  return a.host === b.host && Math.abs(a.weight - b.weight) <= WEIGHT_STEP;
}
