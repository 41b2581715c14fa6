import { describe, expect, test } from 'vitest';
import { aNodeName, anOffStatus, aStatus, aVm } from '../../test/support/builders.ts';
import type { PowerRequest } from '../schema/vm.ts';
import type { VmPhase, VmStatus } from '../schema/vm-status.ts';
import { isMoving, isOwned, isSettled, shownNode, shownVmState, type ShownVmState } from './vm-state.ts';

const HV2 = aNodeName('hv2');
const ACTIONS = ['start', 'restart', 'shutdown', 'stop', 'disable'] as const satisfies readonly PowerRequest['action'][];

const GENERATION = 3;
const asked = (action: PowerRequest['action']) => aVm({ power: { action, generation: GENERATION } });

const PHASES: Record<string, { status: VmStatus | undefined; answered: readonly ShownVmState[]; unanswered: readonly ShownVmState[] }> = {
  //                                                                     start      restart    shutdown    stop       disable
  stopped: rows(anOffStatus(), /*                       answered */ ['stop', 'stop', 'stop', 'stop', 'disable'], ['start', 'restart', 'stop', 'stop', 'disable']),
  failed: rows(anOffStatus({ phase: { kind: 'failed', reason: 'x' } }), ['fail', 'fail', 'fail', 'fail', 'fail'], ['start', 'restart', 'stop', 'stop', 'disable']),
  relocating: rows(anOffStatus({ phase: { kind: 'relocating' } }), ['migrate', 'migrate', 'migrate', 'migrate', 'migrate'], ['start', 'restart', 'stop', 'stop', 'disable']),
  starting: rows(aStatus({ phase: { kind: 'starting' } }), ['start', 'restart', 'start', 'start', 'start'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
  running: rows(aStatus(), ['start', 'start', 'start', 'start', 'start'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
  stopping: rows(ending('stop'), ['shutdown', 'shutdown', 'shutdown', 'shutdown', 'shutdown'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
  restarting: rows(ending('start'), ['restart', 'restart', 'restart', 'restart', 'restart'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
  leaving: rows(ending('relocate'), ['migrate', 'migrate', 'migrate', 'migrate', 'migrate'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
  migrating: rows(aStatus({ phase: { kind: 'migrating', target: HV2, progress: null } }), ['migrate', 'migrate', 'migrate', 'migrate', 'migrate'], ['start', 'restart', 'shutdown', 'stop', 'shutdown']),
};

function rows(status: VmStatus, answered: readonly ShownVmState[], unanswered: readonly ShownVmState[]) {
  return { status, answered, unanswered };
}

function ending(next: Extract<VmPhase, { kind: 'shutting-down' }>['next']): VmStatus {
  return aStatus({ phase: { kind: 'shutting-down', sinceMs: 0, next } });
}

describe.each(Object.entries(PHASES))('a VM that is %s', (_name, { status, answered, unanswered }) => {
  const at = (powerGeneration: number) => (status === undefined ? undefined : { ...status, powerGeneration });

  test.each(ACTIONS)('after %s was answered', (action) => {
    expect(shownVmState(asked(action), at(GENERATION))).toBe(answered[ACTIONS.indexOf(action)]);
  });

  test.each(ACTIONS)('before %s is answered', (action) => {
    expect(shownVmState(asked(action), at(GENERATION - 1))).toBe(unanswered[ACTIONS.indexOf(action)]);
  });

  test('and is being removed shows as stopped, whatever else, since existing clients fail at a word of our own', () => {
    for (const action of ACTIONS) expect(shownVmState({ ...asked(action), deletion: { disks: true } }, at(GENERATION))).toBe('stop');
  });
});

test.each([
  ['start', 'start'],
  ['restart', 'restart'],
  ['shutdown', 'stop'],
  ['stop', 'stop'],
  ['disable', 'disable'],
] as const)('a VM that no node has looked at yet and was asked to %s shows as %s', (action, shown) => {
  expect(shownVmState(asked(action), undefined)).toBe(shown);
});

test('a running VM whose place is another node shows as migrating', () => {
  expect(shownVmState({ ...asked('start'), node: HV2 }, aStatus({ powerGeneration: GENERATION }))).toBe('migrate');
});

test('a VM is shown where it runs, else where it will', () => {
  const spec = aVm({ node: HV2 });
  expect(shownNode(spec, aStatus())).toBe('hv1');
  expect(shownNode(spec, anOffStatus())).toBe('hv2');
  expect(shownNode(spec, undefined)).toBe('hv2');
});

test('a VM is owned as long as its status names an owner', () => {
  expect([isOwned(aStatus()), isOwned(anOffStatus()), isOwned(undefined)]).toEqual([true, false, false]);
});

test.each([
  ['runs at its place', aVm(), aStatus(), false],
  ['runs elsewhere', aVm({ node: HV2 }), aStatus(), true],
  ['migrates', aVm(), aStatus({ phase: { kind: 'migrating', target: HV2, progress: null } }), true],
  ['waits to be started elsewhere', aVm({ node: HV2 }), anOffStatus({ phase: { kind: 'relocating' } }), true],
  ['is off', aVm({ node: HV2 }), anOffStatus(), false],
  ['was never started', aVm({ node: HV2 }), undefined, false],
] as const)('whether a VM is moving, when it %s', (_what, spec, status, moving) => {
  expect(isMoving(spec, status)).toBe(moving);
});

describe('settled', () => {
  test('a VM is settled when its owner has answered the last request and nothing is on its way', () => {
    const settled = Object.entries(PHASES).filter(([, { status }]) => status !== undefined && isSettled(asked('start'), { ...status, powerGeneration: GENERATION }));
    expect(settled.map(([name]) => name)).toEqual(['stopped', 'failed', 'running']);
    expect(isSettled({ ...asked('start'), node: HV2 }, aStatus({ powerGeneration: GENERATION }))).toBe(false);
    expect(isSettled({ ...asked('stop'), deletion: { disks: false } }, anOffStatus({ powerGeneration: GENERATION }))).toBe(false);
  });

  test('a request that no node has answered is settled only when it switches off what nobody runs', () => {
    expect(ACTIONS.filter((action) => isSettled(asked(action), undefined))).toEqual(['shutdown', 'stop', 'disable']);
    expect(ACTIONS.filter((action) => isSettled(asked(action), aStatus({ powerGeneration: GENERATION - 1 })))).toEqual([]);
  });
});
