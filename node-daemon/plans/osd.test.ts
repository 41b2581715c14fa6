import { describe, expect, test } from 'vitest';
import { nodeName } from '../../common/ids.ts';
import { newOsdTask } from '../../common/operations/osd.ts';
import { devicePath, osdId, osdUuid, type OsdSpec } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import type { BlockDevice, DeviceFacts } from '../drivers/block-device.ts';
import type { ClusterOsd } from '../drivers/osd-cluster.ts';
import { JOIN_LIMIT_MS, planKeptOsd, planOsd, ROUNDS_AGREED, type OsdDrainView, type OsdView } from './osd.ts';
import { closed, withNext } from './osd-task.ts';
import { deviceFault, zapFault } from './osd-device.ts';

const UUID = osdUuid.parse('00000000-0000-4000-8000-000000000001');
const OTHER = osdUuid.parse('00000000-0000-4000-8000-000000000002');
const ID = osdId.parse(3);
const SPEC: OsdSpec = { uuid: UUID, node: nodeName.parse('hv1'), device: devicePath.parse('/dev/sdb'), weight: 1, zap: false, generation: 1, removal: null };
const EMPTY: BlockDevice = { kind: 'device', path: '/dev/sdb', type: 'disk', sizeBytes: 4 * 1024 ** 3, readOnly: false, partitions: [], users: [], mounts: [], signatures: [], label: null, busy: false };
const MADE: BlockDevice = { ...EMPTY, signatures: ['ceph_bluestore'], label: { uuid: UUID, id: ID, ready: true }, busy: true };
const HALF: BlockDevice = { ...EMPTY, signatures: ['ceph_bluestore'], label: { uuid: UUID, id: null, ready: false } };
const FOLDER = { uuid: UUID, complete: true, device: '/dev/sdb' };
const KNOWN: ClusterOsd = { id: ID, up: false, in: true, place: null };
const PLACED: ClusterOsd = { ...KNOWN, place: { host: 'hv1', weight: 1 } };
const UP: ClusterOsd = { ...PLACED, up: true };
const DRAIN: OsdDrainView = { safe: false, groups: 8, moving: true, others: 2, rounds: 0, stalledMs: 0 };

function view(given: Partial<OsdView> & { removal?: OsdSpec['removal']; failed?: string } = {}): OsdView {
  const spec = given.spec ?? { ...SPEC, removal: given.removal ?? null };
  const fresh = newOsdTask(spec, { requestedBy: 'a test', nowMs: 0 });
  const task: Task = given.task ?? { ...fresh, steps: fresh.steps.map((step) => (step.name === given.failed ? { ...step, state: 'failed' as const } : step)) };
  return { cluster: undefined, device: EMPTY, holds: undefined, folder: undefined, service: 'stopped', beingMade: false, hostIsEmpty: false, drain: undefined, joiningMs: 0, exhausted: new Map(), limits: { drainStallMs: 60_000 }, ...given, spec, task };
}

const action = (given: Parameters<typeof view>[0]): string => {
  const next = planOsd(view(given));
  return next.kind === 'do' ? next.action : next.kind === 'end' ? 'end' : `${next.kind} ${next.step}`;
};

describe('an adding', () => {
  test.each<[string, Parameters<typeof view>[0], string]>([
    ['asks for a number for an empty device', {}, 'register'],
    ['is refused a device with something on it, before anything is changed', { device: { ...EMPTY, signatures: ['ext4'] } }, 'fail check'],
    ['does not make an OSD again that the cluster has forgotten', { device: MADE }, 'fail check'],
    ['makes the OSD once it has a number', { cluster: KNOWN }, 'prepare'],
    ['makes it anew when that was cut off', { cluster: KNOWN, device: HALF, folder: { ...FOLDER, complete: false } }, 'prepare'],
    ['stops when somebody wrote onto the device meanwhile', { cluster: KNOWN, device: { ...EMPTY, signatures: ['xfs'] } }, 'fail prepare'],
    ['leaves the device alone while an earlier making goes on', { cluster: KNOWN, device: HALF, beingMade: true }, 'wait prepare'],
    ['fills a folder that was lost from the device', { cluster: KNOWN, device: MADE, folder: { uuid: null, complete: false, device: null } }, 'activate'],
    ['places what is made', { cluster: KNOWN, device: MADE, folder: FOLDER }, 'place'],
    ['places it again with another weight', { cluster: { ...KNOWN, place: { host: 'hv1', weight: 0.5 } }, device: MADE, folder: FOLDER }, 'place'],
    ['starts what is placed', { cluster: PLACED, device: MADE, folder: FOLDER }, 'start'],
    ['waits for what runs', { cluster: PLACED, device: MADE, folder: FOLDER, service: 'running' }, 'wait join'],
    ['gives up what never comes up', { cluster: PLACED, device: MADE, folder: FOLDER, service: 'running', joiningMs: JOIN_LIMIT_MS + 1 }, 'fail join'],
    ['is over when it is up', { cluster: UP, device: MADE, folder: FOLDER, service: 'running' }, 'end'],
    ['gives up what failed too often', { cluster: PLACED, device: MADE, folder: FOLDER, exhausted: new Map([['start', 'no'] as const]) }, 'fail start'],
  ])('%s', (_name, given, expected) => expect(action(given)).toBe(expected));

  test.each<[string, Parameters<typeof view>[0], string]>([
    ['ends its process first', { cluster: UP, device: MADE, folder: FOLDER, service: 'running' }, 'stop'],
    ['then takes it out of the cluster', { cluster: PLACED, device: MADE, folder: FOLDER }, 'purge'],
    ['then empties the device', { device: HALF, folder: FOLDER }, 'wipe'],
    ['then removes the folder', { folder: FOLDER }, 'remove-folder'],
    ['then removes the host that it has left empty in the tree', { hostIsEmpty: true }, 'remove-host'],
    ['leaves a folder and a device that are not its own', { folder: { ...FOLDER, uuid: OTHER }, device: { ...MADE, label: { uuid: OTHER, id: ID, ready: true } } }, 'end'],
    ['waits while it is still being made', { cluster: KNOWN, beingMade: true }, 'wait clean-up'],
    ['does not begin again', { cluster: undefined }, 'end'],
  ])('that has failed %s', (_name, given, expected) => expect(action({ ...given, failed: 'prepare' })).toBe(expected));
});

describe('a removal', () => {
  const seen = { removal: { force: false }, device: MADE, folder: FOLDER, service: 'running' as const };
  const out = { ...UP, in: false };

  test.each<[string, Parameters<typeof view>[0], string]>([
    ['takes the OSD out first', { cluster: UP, drain: DRAIN }, 'set-out'],
    ['waits while its data moves', { cluster: out, drain: DRAIN }, 'wait drain'],
    ['does not believe the first answer that it is safe', { cluster: out, drain: { ...DRAIN, safe: true, rounds: ROUNDS_AGREED - 1 } }, 'wait drain'],
    ['ends the process when it is safe', { cluster: out, drain: { ...DRAIN, safe: true, rounds: ROUNDS_AGREED } }, 'stop'],
    ['is given up when nothing moves', { cluster: out, drain: { ...DRAIN, moving: false, stalledMs: 60_001 } }, 'fail drain'],
    ['never takes the last one out that holds something', { cluster: UP, drain: { ...DRAIN, others: 0 } }, 'fail out'],
    ['purges what is ended', { cluster: out, service: 'stopped', drain: { ...DRAIN, safe: true, rounds: ROUNDS_AGREED } }, 'purge'],
    ['does not purge what is ended and not safe', { cluster: out, service: 'stopped', drain: DRAIN }, 'wait drain'],
    ['by force waits for nothing', { cluster: UP, removal: { force: true } }, 'stop'],
    ['ends the process of one that the cluster has forgotten', {}, 'stop'],
    ['empties the device once the cluster has let it go', { service: 'stopped' }, 'wipe'],
    ['goes on without a device that cannot be written', { service: 'stopped', exhausted: new Map([['wipe', 'I/O error'] as const]) }, 'remove-folder'],
    ['removes the host that it has left empty, last of all', { service: 'stopped', device: EMPTY, folder: undefined, hostIsEmpty: true }, 'remove-host'],
    ['leaves an empty host that cannot be removed', { service: 'stopped', device: EMPTY, folder: undefined, hostIsEmpty: true, exhausted: new Map([['remove-host', 'a rule takes it'] as const]) }, 'end'],
    ['is over when nothing is left', { service: 'stopped', device: EMPTY, folder: { uuid: null, complete: false, device: null } }, 'end'],
  ])('%s', (_name, given, expected) => expect(action({ ...seen, ...given })).toBe(expected));

  test('that is given up puts in only what it has put out', () => {
    const failed = view({ ...seen, cluster: out, drain: DRAIN, failed: 'drain' });
    const wasOut = (state: 'done' | 'skipped'): Task => ({ ...failed.task, steps: failed.task.steps.map((step) => (step.name === 'out' ? { ...step, state } : step)) });
    expect(planOsd({ ...failed, task: wasOut('done') })).toMatchObject({ action: 'set-in' });
    expect(planOsd({ ...failed, task: wasOut('skipped') })).toEqual({ kind: 'end' });
  });
});

describe('an OSD outside of tasks', () => {
  test('is started from a device with its own label only, and not against a person who holds it', () => {
    expect(planKeptOsd({ spec: SPEC, device: MADE, service: 'stopped' })).toEqual({ kind: 'start' });
    expect(planKeptOsd({ spec: SPEC, device: EMPTY, service: 'stopped' })).toMatchObject({ phase: 'stopped' });
    expect(planKeptOsd({ spec: SPEC, device: { ...MADE, label: { uuid: OTHER, id: ID, ready: true } }, service: 'stopped' })).toMatchObject({ phase: 'stopped' });
    expect(planKeptOsd({ spec: SPEC, device: MADE, service: 'held' })).toMatchObject({ phase: 'stopped' });
    expect(planKeptOsd({ spec: SPEC, device: { kind: 'missing' }, service: 'running' })).toMatchObject({ phase: 'running' });
  });
});

test.each<[DeviceFacts, string | undefined]>([
  [EMPTY, undefined],
  [HALF, undefined],
  [{ kind: 'missing' }, 'there is no such device on the node'],
  [{ kind: 'not-a-device' }, 'this is not a block device'],
  [{ ...EMPTY, type: 'part' }, 'this is not a whole disk but of type part'],
  [{ ...EMPTY, mounts: ['/', '[SWAP]'] }, 'it is mounted: /, [SWAP]'],
  [{ ...EMPTY, partitions: ['/dev/sdb1'], signatures: ['gpt'] }, 'it has partitions: /dev/sdb1; only zap destroys them'],
  [{ ...EMPTY, partitions: ['/dev/sdb1'], users: ['/dev/mapper/old'] }, 'it is part of something: /dev/mapper/old'],
  [{ ...EMPTY, readOnly: true }, 'it is read-only'],
  [{ ...EMPTY, sizeBytes: 1024 }, 'it is too small: 1024 bytes of at least 1073741824'],
  [{ ...EMPTY, busy: true }, 'it is in use'],
  [{ ...MADE, label: { uuid: OTHER, id: ID, ready: true } }, 'it is not empty: ceph_bluestore; only zap destroys that'],
])('a device is taken, or refused for what it is (%#)', (device, fault) => expect(deviceFault(device, UUID)).toBe(fault));

const USED: BlockDevice = { ...EMPTY, partitions: ['/dev/sdb1'], signatures: ['gpt'] };

test.each<[DeviceFacts, ClusterOsd | undefined, string | undefined]>([
  [USED, undefined, undefined],
  [{ ...MADE, label: { uuid: OTHER, id: ID, ready: true }, busy: false }, undefined, undefined],
  [{ ...MADE, label: { uuid: OTHER, id: ID, ready: true }, busy: false }, PLACED, 'it holds OSD 3 of this cluster, which must be removed first'],
  [{ kind: 'missing' }, undefined, 'there is no such device on the node'],
  [{ ...USED, type: 'part' }, undefined, 'this is not a whole disk but of type part'],
  [{ ...USED, mounts: ['/'] }, undefined, 'it is mounted: /'],
  [{ ...USED, users: ['/dev/mapper/old'] }, undefined, 'it is part of something: /dev/mapper/old'],
  [{ ...USED, readOnly: true }, undefined, 'it is read-only'],
  [{ ...USED, sizeBytes: 1024 }, undefined, 'it is too small: 1024 bytes of at least 1073741824'],
  [{ ...USED, busy: true }, undefined, 'it is in use'],
])('what is on a device may be destroyed, or not, whoever asks (%#)', (device, holds, fault) => expect(zapFault(device, holds)).toBe(fault));

test('a device is zapped when that was asked for, before there is anything to be undone, and is not zapped again', () => {
  const spec = { ...SPEC, zap: true };
  expect(action({ spec, device: USED })).toBe('zap');
  expect(action({ spec, device: EMPTY })).toBe('register');
  expect(action({ spec, device: { ...USED, busy: true } })).toBe('fail check');
  expect(action({ spec, device: USED, holds: PLACED })).toBe('fail check');
  expect(action({ spec, device: USED, exhausted: new Map([['zap', 'I/O error'] as const]) })).toBe('fail zap');
  expect(action({ spec, device: USED, cluster: KNOWN })).toBe('fail prepare');
  expect(action({ spec, device: USED, failed: 'zap' })).toBe('end');
});

describe('the task', () => {
  const task = newOsdTask(SPEC, { requestedBy: 'a test', nowMs: 0 });
  const states = (of: Task): string[] => of.steps.map((step) => step.state);

  test('shows what is over, what is under way and what is left', () => {
    expect(states(withNext(task, { kind: 'do', step: 'prepare', action: 'prepare' }))).toEqual(['done', 'done', 'running', 'waiting', 'waiting', 'waiting', 'waiting']);
    expect(states(withNext(task, { kind: 'end' }))).toEqual(['done', 'done', 'done', 'done', 'done', 'done', 'skipped']);
  });

  test('has a step for zapping only when that was asked for, and leaves it out where nothing was to be destroyed', () => {
    const zapped = newOsdTask({ ...SPEC, zap: true }, { requestedBy: 'a test', nowMs: 0 });
    expect(zapped.steps.map(({ name }) => name)).toEqual(['check', 'zap', ...task.steps.slice(1).map(({ name }) => name)]);
    expect(states(withNext(zapped, { kind: 'do', step: 'register', action: 'register' })).slice(0, 3)).toEqual(['done', 'skipped', 'running']);
  });

  test('says why it failed, and what was not reached', () => {
    const failed = withNext(task, { kind: 'fail', step: 'start', why: 'no' });
    expect(failed).toMatchObject({ state: 'running', error: 'no' });
    const undone = withNext(withNext(failed, { kind: 'do', step: 'clean-up', action: 'wipe' }), { kind: 'end' });
    expect(undone).toMatchObject({ state: 'failed', error: 'no' });
    expect(states(undone)).toEqual(['done', 'done', 'done', 'done', 'failed', 'skipped', 'done']);
  });

  test('that nobody needs any more is cancelled, unless what it was for is so', () => {
    expect(closed(task, false).state).toBe('cancelled');
    expect(closed(task, true).state).toBe('done');
    expect(closed(withNext(task, { kind: 'fail', step: 'check', why: 'no' }), false).state).toBe('failed');
  });
});
