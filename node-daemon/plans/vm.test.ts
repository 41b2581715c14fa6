import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { vmStatus, type MigrationOutcome, type VmPhase, type VmStatus } from '../../common/schema/vm-status.ts';
import type { PowerRequest, VmSpec } from '../../common/schema/vm.ts';
import { aNodeName, anOffStatus, aRunningVm, aStatus, aVm, aVmId, versioned } from '../../test/support/builders.ts';
import type { Domain, DomainState, ShutoffReason } from '../drivers/hypervisor.ts';
import { nextVmStep } from './vm.ts';
import type { MigrationJob, VmStep, VmView } from './vm-view.ts';

const [HV1, HV2, HV3] = [aNodeName('hv1'), aNodeName('hv2'), aNodeName('hv3')];
const UUID = aVmId(1);
const NOW_MS = 1_000_000;
const SHUTDOWN_TIMEOUT_MS = 90_000;

interface Given extends Partial<Omit<VmView, 'spec' | 'status' | 'domain'>> {
  spec?: Partial<VmSpec> | null;
  status?: VmStatus | null;
  domain?: Partial<Domain> | null;
}

/** What hv1 sees of a VM that was asked to run there; by default nobody owns it and there is no domain. */
function aView(given: Given = {}): VmView {
  const { spec, status, domain, ...rest } = given;
  return {
    me: HV1,
    spec: spec === null ? undefined : versioned(UUID, aRunningVm({ uuid: UUID, ...spec }), 7),
    status: status == null ? undefined : versioned(UUID, status, 3),
    domain: domain == null ? undefined : aDomain(domain),
    migration: { kind: 'none' },
    fresh: true,
    ready: true,
    targetAlive: true,
    nowMs: NOW_MS,
    shutdownTimeoutMs: SHUTDOWN_TIMEOUT_MS,
    located: undefined,
    buttonPressedMs: undefined,
    ...rest,
  };
}

function aDomain(given: Partial<Domain> = {}): Domain {
  return { uuid: UUID, name: 'guest', state: 'running', incoming: false, ours: true, ...given };
}

const ended = (shutoffReason: ShutoffReason): Partial<Domain> => ({ state: 'shutoff', shutoffReason });

/** The status that a step writes, as far as `expected` names it, over the one that was seen. */
function writes(expected: Partial<VmStatus>): unknown {
  return { kind: 'write-status', status: expect.objectContaining({ observedVersion: 7, ...expected }) };
}

const shuttingDown = (next: 'stop' | 'start' | 'relocate', sinceMs = NOW_MS - 1_000): VmPhase => ({ kind: 'shutting-down', sinceMs, next });
const progress = { bytesTotal: 0, bytesProcessed: 0, bytesRemaining: 0, pass: 0, elapsedMs: 40 };
const migrating = (given: Partial<Extract<VmPhase, { kind: 'migrating' }>> = {}): VmPhase => ({ kind: 'migrating', target: HV2, progress: null, ...given });
const begun: MigrationOutcome = { generation: 1, from: HV1, to: HV2, outcome: 'failed', error: 'interrupted', elapsedMs: 0 };
const moving: Partial<VmSpec> = { node: HV2, placement: { generation: 1, method: 'any', previousHome: null } };
const grown = { growth: { sizes: { 'vms/web1': 2 }, generation: 2 } } satisfies Partial<VmSpec>;
const asked = (action: PowerRequest['action'], generation = 2): Partial<VmSpec> => ({ power: { action, generation } });

interface Case {
  given: Given;
  step: unknown;
}

function cases(table: Record<string, Case>): [string, Case][] {
  return Object.entries(table);
}

function runs(title: string, table: Record<string, Case>): void {
  describe(title, () => {
    test.each(cases(table))('%s', (_name, { given, step }) => {
      expect(nextVmStep(aView(given))).toEqual(step);
    });
  });
}

const SETTLED = { kind: 'settled' };
const recheck = (why: string): unknown => expect.objectContaining({ kind: 'recheck', why });

runs('a VM that nobody owns', {
  'is taken by the node of its place, with a higher epoch': {
    given: { status: anOffStatus({ epoch: 4, powerGeneration: 0 }) },
    step: writes({ owner: HV1, epoch: 5, phase: { kind: 'starting' }, powerGeneration: 1 }),
  },
  'that is taken finds its volumes as they are': { given: { spec: grown, status: anOffStatus({ powerGeneration: 0 }) }, step: writes({ phase: { kind: 'starting' }, growthGeneration: 2 }) },
  'is taken although it never had a status': { given: {}, step: writes({ owner: HV1, epoch: 1, phase: { kind: 'starting' } }) },
  'is left by every other node': { given: { spec: { node: HV2 } }, step: SETTLED },
  'is not taken while the node is not ready': { given: { ready: false }, step: recheck('this node is not ready') },
  'is not taken on a stale view': { given: { fresh: false }, step: recheck('the mirror is stale') },
  'is not started again after its request was answered': { given: { status: anOffStatus() }, step: SETTLED },
  'is not started again after it failed': { given: { status: anOffStatus({ phase: { kind: 'failed', reason: 'x' } }) }, step: SETTLED },
  'is started on a newer request': { given: { spec: asked('start'), status: anOffStatus() }, step: writes({ owner: HV1, powerGeneration: 2 }) },
  'answers a request to be off by saying so': { given: { spec: asked('disable'), status: anOffStatus({ phase: { kind: 'failed', reason: 'x' } }) }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 2 }) },
  'that was never started and shall be off needs nothing': { given: { spec: asked('stop', 0) }, step: SETTLED },
  'is started at its new place after it was shut down for that': {
    given: { spec: { placement: { generation: 1, method: 'shutdown', previousHome: null } }, status: anOffStatus({ phase: { kind: 'relocating' }, lastMigration: { ...begun, from: HV2, to: HV1 } }) },
    step: writes({ owner: HV1, phase: { kind: 'starting' }, lastMigration: { ...begun, from: HV2, to: HV1, outcome: 'shutdown', error: 'interrupted' } }),
  },
  'and is to be removed is forgotten by the node of its place': { given: { spec: { deletion: { disks: false } }, status: anOffStatus() }, step: { kind: 'finish-removal' } },
  'and is to be removed is not forgotten on a stale view': { given: { spec: { deletion: { disks: false } }, status: anOffStatus(), fresh: false }, step: recheck('the mirror is stale') },
  'and is to be removed is left by other nodes': { given: { spec: { deletion: { disks: false }, node: HV2 } }, step: SETTLED },
  'leaves no definition behind': { given: { status: anOffStatus(), domain: ended('shutdown') }, step: { kind: 'forget' } },
});

runs('an owner whose guest shall start', {
  'creates it': { given: { status: aStatus({ phase: { kind: 'starting' } }) }, step: { kind: 'create' } },
  'creates it also over the definition of one that was stopped by force': { given: { status: aStatus({ phase: { kind: 'starting' } }), domain: ended('destroyed') }, step: { kind: 'create' } },
  'creates it also while the mirror is stale, because it owns it': { given: { fresh: false, status: aStatus({ phase: { kind: 'starting' } }) }, step: { kind: 'create' } },
  'waits for one that is paused': { given: { status: aStatus({ phase: { kind: 'starting' } }), domain: { state: 'paused' } }, step: recheck('the guest is starting') },
  'says that it runs': { given: { status: aStatus({ phase: { kind: 'starting' }, startedVersion: null }), domain: {} }, step: writes({ phase: { kind: 'running' }, startedVersion: 7, owner: HV1, epoch: 1 }) },
  'says stopped, and leaves the request open, when it was asked to be off and on again': { given: { spec: asked('start', 3), status: aStatus({ phase: { kind: 'starting' } }), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 1 }) },
  'gives it up when it crashed': { given: { status: aStatus({ phase: { kind: 'starting' } }), domain: ended('crashed') }, step: writes({ owner: null, epoch: 2, phase: { kind: 'failed', reason: 'the guest crashed while it started' } }) },
  'gives it up when it shall be off meanwhile': { given: { spec: asked('stop'), status: aStatus({ phase: { kind: 'starting' } }) }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 2 }) },
});

runs('an owner whose guest runs', {
  'has nothing to do': { given: { status: aStatus({ observedVersion: 7 }), domain: {} }, step: SETTLED },
  'answers a new version of the spec': { given: { status: aStatus({ observedVersion: 6 }), domain: {} }, step: writes({ phase: { kind: 'running' }, startedVersion: 0 }) },
  'tells it that its volumes have grown, before it answers': { given: { spec: grown, status: aStatus({ growthGeneration: 1, observedVersion: 7 }), domain: {} }, step: { kind: 'grow-disks', growth: grown.growth } },
  'tells it also when it is paused': { given: { spec: grown, status: aStatus({ growthGeneration: 1 }), domain: { state: 'paused' } }, step: { kind: 'grow-disks', growth: grown.growth } },
  'has told it already': { given: { spec: grown, status: aStatus({ growthGeneration: 2, observedVersion: 7 }), domain: {} }, step: SETTLED },
  'ends one that shall be off, and tells it nothing': { given: { spec: { ...grown, ...asked('stop') }, status: aStatus({ growthGeneration: 1 }), domain: {} }, step: { kind: 'destroy' } },
  'moves one that shall be elsewhere, and leaves the telling to its next owner': { given: { spec: { ...grown, ...moving }, status: aStatus({ growthGeneration: 1 }), domain: {} }, step: writes({ phase: migrating(), growthGeneration: 1 }) },
  'begins a shutdown by saying so': { given: { spec: asked('shutdown'), status: aStatus(), domain: {} }, step: writes({ phase: shuttingDown('stop', NOW_MS), powerGeneration: 2, owner: HV1 }) },
  'shuts it down to disable it': { given: { spec: asked('disable'), status: aStatus(), domain: {} }, step: writes({ phase: shuttingDown('stop', NOW_MS) }) },
  'shuts it down to restart it': { given: { spec: asked('restart'), status: aStatus(), domain: {} }, step: writes({ phase: shuttingDown('start', NOW_MS), powerGeneration: 2 }) },
  'has restarted it already': { given: { spec: asked('restart'), status: aStatus({ powerGeneration: 2, observedVersion: 7 }), domain: {} }, step: SETTLED },
  'ends it by force when asked to': { given: { spec: asked('stop'), status: aStatus(), domain: {} }, step: { kind: 'destroy' } },
  'ends it by force to remove it': { given: { spec: { deletion: { disks: false } }, status: aStatus(), domain: {} }, step: { kind: 'destroy' } },
  'leaves it running on a stale view that says off': { given: { spec: asked('stop'), status: aStatus(), domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'leaves it running on a stale view that says removed': { given: { spec: { deletion: { disks: false } }, status: aStatus(), domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'adopts one that it found running': { given: { status: aStatus({ phase: { kind: 'failed', reason: 'x' } }), domain: {} }, step: writes({ phase: { kind: 'running' } }) },
});

runs('an owner whose guest is shutting down', {
  'presses the button': { given: { spec: asked('shutdown'), status: aStatus({ phase: shuttingDown('stop') }), domain: {} }, step: { kind: 'press-power-button' } },
  'waits after it has pressed': { given: { spec: asked('shutdown'), status: aStatus({ phase: shuttingDown('stop') }), domain: {}, buttonPressedMs: NOW_MS - 500 }, step: recheck('the guest is shutting down') },
  'presses again after ten seconds': { given: { spec: asked('shutdown'), status: aStatus({ phase: shuttingDown('stop', NOW_MS - 15_000) }), domain: {}, buttonPressedMs: NOW_MS - 10_000 }, step: { kind: 'press-power-button' } },
  'presses for this shutdown whatever it did for an earlier one': { given: { spec: asked('shutdown'), status: aStatus({ phase: shuttingDown('stop') }), domain: {}, buttonPressedMs: NOW_MS - 5_000 }, step: { kind: 'press-power-button' } },
  'ends it by force at the limit': { given: { spec: asked('shutdown'), status: aStatus({ phase: shuttingDown('stop', NOW_MS - SHUTDOWN_TIMEOUT_MS) }), domain: {}, buttonPressedMs: NOW_MS - 1 }, step: { kind: 'destroy' } },
  'does not press, nor end it, on a stale view': { given: { spec: asked('restart'), status: aStatus({ powerGeneration: 2, phase: shuttingDown('start', 0) }), domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'ends it at once when asked to stop': { given: { spec: asked('stop', 3), status: aStatus({ phase: shuttingDown('stop') }), domain: {} }, step: { kind: 'destroy' } },
  'will start it again when that is asked meanwhile, without more time': { given: { spec: asked('start', 3), status: aStatus({ phase: shuttingDown('stop') }), domain: {} }, step: writes({ phase: shuttingDown('start'), powerGeneration: 3 }) },
  'will leave it off when that is asked meanwhile': { given: { spec: asked('shutdown', 3), status: aStatus({ phase: shuttingDown('start') }), domain: {} }, step: writes({ phase: shuttingDown('stop'), powerGeneration: 3 }) },
  'gives it up when it is gone': { given: { spec: asked('shutdown'), status: aStatus({ powerGeneration: 2, phase: shuttingDown('stop') }), domain: ended('shutdown') }, step: writes({ owner: null, epoch: 2, phase: { kind: 'stopped' }, startedVersion: null }) },
  'forgets the old guest of a restart, so that its end is not taken for the new one\'s': { given: { spec: asked('restart'), status: aStatus({ powerGeneration: 2, phase: shuttingDown('start') }), domain: ended('shutdown') }, step: { kind: 'forget' } },
  'starts the new guest of a restart': { given: { spec: asked('restart'), status: aStatus({ powerGeneration: 2, phase: shuttingDown('start') }) }, step: writes({ owner: HV1, epoch: 1, phase: { kind: 'starting' }, powerGeneration: 2 }) },
  'gives it up for its new place': { given: { spec: moving, status: aStatus({ phase: shuttingDown('relocate') }), domain: ended('shutdown') }, step: writes({ owner: null, epoch: 2, phase: { kind: 'relocating' } }) },
  'gives it up as stopped when it shall be off meanwhile': { given: { spec: { ...moving, ...asked('stop') }, status: aStatus({ phase: shuttingDown('relocate') }), domain: ended('shutdown') }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 2 }) },
});

runs('an owner whose guest is gone', {
  'says that it powered itself off': { given: { status: aStatus(), domain: ended('shutdown') }, step: writes({ owner: null, epoch: 2, phase: { kind: 'stopped' }, powerGeneration: 1 }) },
  'says that somebody ended it': { given: { status: aStatus(), domain: ended('destroyed') }, step: writes({ owner: null, phase: { kind: 'stopped' } }) },
  'says that it crashed': { given: { status: aStatus(), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'failed', reason: 'the guest crashed' } }) },
  'says so when the panicked guest is kept': { given: { status: aStatus(), domain: { state: 'crashed', shutoffReason: 'crashed' } }, step: writes({ owner: null, phase: { kind: 'failed', reason: 'the guest crashed' } }) },
  'starts it again after the host was': { given: { status: aStatus(), domain: ended('unknown') }, step: writes({ owner: HV1, epoch: 1, phase: { kind: 'starting' } }) },
  'starts it again when not even the definition is left': { given: { status: aStatus() }, step: writes({ owner: HV1, phase: { kind: 'starting' } }) },
  'leaves a start that came meanwhile unanswered, so that it is carried out': { given: { spec: asked('start', 5), status: aStatus(), domain: ended('shutdown') }, step: writes({ owner: null, powerGeneration: 1 }) },
  'says stopped, and leaves the request open, when it was asked to be off and on again meanwhile': { given: { spec: asked('start', 3), status: aStatus(), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 1 }) },
  'says stopped when it was asked to be off': { given: { spec: asked('stop'), status: aStatus(), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 2 }) },
  'gives up what is to be removed': { given: { spec: { deletion: { disks: false } }, status: aStatus() }, step: writes({ owner: null, epoch: 2, phase: { kind: 'stopped' } }) },
});

runs('an owner whose guest shall move', {
  'says so first': { given: { spec: moving, status: aStatus(), domain: {} }, step: writes({ owner: HV1, phase: migrating(), lastMigration: begun }) },
  'then migrates': { given: { spec: moving, status: aStatus({ phase: migrating(), lastMigration: begun }), domain: {} }, step: { kind: 'migrate', target: HV2, generation: 1 } },
  'waits while it migrates': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), domain: {}, migration: { kind: 'running', generation: 1 } }, step: SETTLED },
  'hands it over': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), migration: { kind: 'ended', generation: 1, outcome: 'done', error: null, elapsedMs: 900 } }, step: writes({ owner: HV2, epoch: 2, phase: { kind: 'running' }, lastMigration: { generation: 1, from: HV1, to: HV2, outcome: 'live', error: null, elapsedMs: 900 } }) },
  'shuts it down when that is the method': { given: { spec: { ...moving, placement: { generation: 1, method: 'shutdown', previousHome: null } }, status: aStatus(), domain: {} }, step: writes({ phase: shuttingDown('relocate', NOW_MS) }) },
  'shuts it down when live failed and both are permitted': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: {}, migration: { kind: 'ended', generation: 1, outcome: 'failed', error: 'no', elapsedMs: 1 } }, step: writes({ phase: shuttingDown('relocate', NOW_MS), lastMigration: { ...begun, error: 'no', elapsedMs: 1 } }) },
  'keeps it when live failed and nothing else is permitted': { given: { spec: { ...moving, placement: { generation: 1, method: 'live', previousHome: null } }, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: {}, migration: { kind: 'ended', generation: 1, outcome: 'failed', error: 'no', elapsedMs: 1 } }, step: writes({ owner: HV1, phase: { kind: 'running' }, lastMigration: { ...begun, error: 'no', elapsedMs: 1 } }) },
  'says where it was to go when the move was aborted, which put its place back': { given: { spec: { placement: { generation: 2, method: 'any', previousHome: null } }, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: {}, migration: { kind: 'ended', generation: 1, outcome: 'aborted', error: 'on request', elapsedMs: 1 } }, step: writes({ owner: HV1, phase: { kind: 'running' }, lastMigration: { ...begun, outcome: 'aborted', error: 'on request', elapsedMs: 1 } }) },
  'asks the target when it was left paused': { given: {   spec: moving, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: { state: 'paused' }, migration: { kind: 'ended', generation: 1, outcome: 'failed', error: 'no', elapsedMs: 1 } }, step: { kind: 'locate-on-target', target: HV2 } },
  'lets it go on when it is not there': { given: {   spec: moving, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: { state: 'paused' }, migration: { kind: 'ended', generation: 1, outcome: 'failed', error: 'no', elapsedMs: 1 }, located: 'absent' }, step: { kind: 'resume' } },
  'brings its place back after the failure': { given: { spec: moving, status: aStatus({ lastMigration: begun }), domain: {} }, step: { kind: 'keep-here', generation: 1 } },
  'tries again on a newer request': { given: { spec: { ...moving, placement: { generation: 2, method: 'live', previousHome: null } }, status: aStatus({ lastMigration: begun }), domain: {} }, step: writes({ phase: migrating() }) },
  'does not begin on a stale view': { given: { spec: moving, status: aStatus(), domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'fails at once when the target is dead': { given: { spec: moving, status: aStatus(), domain: {}, targetAlive: false }, step: writes({ phase: { kind: 'running' }, lastMigration: { ...begun, error: 'the target node is not alive' } }) },
  'aborts when the place is here again': { given: { status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: {}, migration: { kind: 'running', generation: 1 } }, step: { kind: 'abort-migration' } },
  'aborts when it shall be off': { given: { spec: { ...moving, ...asked('stop') }, status: aStatus({ phase: migrating({ progress }) }), domain: {}, migration: { kind: 'running', generation: 1 } }, step: { kind: 'abort-migration' } },
  'aborts when it shall be removed': { given: { spec: { ...moving, deletion: { disks: false } }, status: aStatus({ phase: migrating({ progress }) }), domain: {}, migration: { kind: 'running', generation: 1 } }, step: { kind: 'abort-migration' } },
  'keeps it after a restart of the daemon in the middle': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }), lastMigration: begun }), domain: {} }, step: writes({ owner: HV1, phase: { kind: 'running' }, lastMigration: { ...begun, error: 'the daemon was started again during the migration' } }) },
  'asks the target when the guest is paused after such a restart': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), domain: { state: 'paused' } }, step: { kind: 'locate-on-target', target: HV2 } },
  'hands it over when it runs at the target': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), domain: { state: 'paused' }, located: 'running' }, step: writes({ owner: HV2, epoch: 2, phase: { kind: 'running' } }) },
  'lets it go on when it does not': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), domain: { state: 'paused' }, located: 'absent' }, step: { kind: 'resume' } },
  'asks the target when the guest is gone from here': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }) }, step: { kind: 'locate-on-target', target: HV2 } },
  'starts it again when it is nowhere': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), located: 'absent' }, step: writes({ owner: HV1, phase: { kind: 'starting' } }) },
  'says stopped when it crashed on its way and was asked to be off': { given: { spec: { ...moving, ...asked('stop') }, status: aStatus({ phase: migrating({ progress }) }), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'stopped' }, powerGeneration: 2 }) },
  'says that it crashed on its way': { given: { spec: moving, status: aStatus({ phase: migrating({ progress }) }), domain: ended('crashed') }, step: writes({ owner: null, phase: { kind: 'failed', reason: 'the guest crashed during its migration' } }) },
});

const arriving = aStatus({ owner: HV2, phase: migrating({ target: HV1, progress }), lastMigration: { ...begun, from: HV2, to: HV1 } });

runs('a guest that this node does not own', {
  'is taken over as the target of its migration once it runs here': { given: { status: arriving, domain: {} }, step: { kind: 'write-status', status: expect.objectContaining({ owner: HV1, epoch: 2, phase: { kind: 'running' } }) } },
  'is waited for while it arrives': { given: { status: arriving, domain: { state: 'paused', incoming: true } }, step: recheck('the guest is arriving') },
  'is waited for also while the mirror is stale': { given: { status: arriving, domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'keeps its definition while it arrives': { given: { status: arriving, domain: ended('unknown') }, step: recheck('the guest is arriving') },
  'is a stray when another node owns it': { given: { status: aStatus({ owner: HV2 }), domain: {} }, step: { kind: 'destroy-stray' } },
  'is a stray when nobody owns it': { given: { status: anOffStatus(), domain: {} }, step: { kind: 'destroy-stray' } },
  'is a stray when it migrates to a third node': { given: { status: aStatus({ owner: HV2, phase: migrating({ target: HV3 }) }), domain: {} }, step: { kind: 'destroy-stray' } },
  'is a stray when the VM was removed': { given: { spec: null, domain: {} }, step: { kind: 'destroy-stray' } },
  'is left alone while the mirror is stale': { given: { status: aStatus({ owner: HV2 }), domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'is left alone while the mirror is stale and knows no such VM': { given: { spec: null, domain: {}, fresh: false }, step: recheck('the mirror is stale') },
  'is never touched when it is foreign': { given: { spec: null, domain: { ours: false } }, step: SETTLED },
});

runs('a VM that was removed', {
  'leaves no definition': { given: { spec: null, domain: ended('shutdown') }, step: { kind: 'forget' } },
  'leaves no status of this node': { given: { spec: null, status: aStatus() }, step: { kind: 'remove-status' } },
  'leaves the status of another node to that one': { given: { spec: null, status: aStatus({ owner: HV2 }) }, step: SETTLED },
  'and left nothing needs nothing': { given: { spec: null }, step: SETTLED },
});

describe('properties over every view', () => {
  const node = fc.constantFrom(HV1, HV2, HV3);
  const generation = fc.nat(3);
  const phase: fc.Arbitrary<VmPhase> = fc.oneof(
    fc.constantFrom<VmPhase>({ kind: 'stopped' }, { kind: 'starting' }, { kind: 'starting' }, { kind: 'starting' }, { kind: 'running' }, { kind: 'relocating' }, { kind: 'failed', reason: 'x' }),
    fc.record({ kind: fc.constant('shutting-down' as const), sinceMs: fc.constantFrom(0, NOW_MS - 1_000, NOW_MS), next: fc.constantFrom('stop' as const, 'start' as const, 'relocate' as const) }),
    fc.record({ kind: fc.constant('migrating' as const), target: node, progress: fc.constantFrom(null, progress) }),
  );
  const lastMigration: fc.Arbitrary<MigrationOutcome | null> = fc.option(
    fc.record({ generation, from: node, to: node, outcome: fc.constantFrom('live' as const, 'shutdown' as const, 'failed' as const, 'aborted' as const), error: fc.constantFrom(null, 'x'), elapsedMs: fc.nat(9) }),
    { nil: null },
  );
  const status = fc
    .record({ owner: fc.constantFrom(HV1, HV1, HV1, HV2, HV3, null), epoch: fc.nat(5), phase, powerGeneration: generation, growthGeneration: generation, observedVersion: fc.constantFrom(6, 7), startedVersion: fc.constantFrom(null, 7), lastMigration })
    .map((given): VmStatus => given);
  const spec = fc
    .record({
      node,
      power: fc.record({ action: fc.constantFrom('start' as const, 'restart' as const, 'shutdown' as const, 'stop' as const, 'disable' as const), generation }),
      placement: fc.record({ generation, method: fc.constantFrom('live' as const, 'shutdown' as const, 'any' as const), previousHome: fc.constant(null) }),
      deletion: fc.constantFrom(null, null, null, { disks: false }),
    })
    .map((given) => aVm({ uuid: UUID, ...given }));
  const domain: fc.Arbitrary<Domain> = fc.record({
    uuid: fc.constant(UUID),
    name: fc.constant('guest'),
    state: fc.constantFrom<DomainState>('running', 'paused', 'shutting-down', 'shutoff', 'crashed'),
    shutoffReason: fc.constantFrom<ShutoffReason>('shutdown', 'destroyed', 'crashed', 'migrated', 'failed', 'unknown'),
    incoming: fc.boolean(),
    ours: fc.integer({ min: 0, max: 9 }).map((one) => one > 0),
  });
  const migration: fc.Arbitrary<MigrationJob> = fc.oneof(
    fc.constant<MigrationJob>({ kind: 'none' }),
    fc.record({ kind: fc.constant('running' as const), generation }),
    fc.record({ kind: fc.constant('ended' as const), generation, outcome: fc.constantFrom('done' as const, 'failed' as const, 'aborted' as const), error: fc.constant(null), elapsedMs: fc.nat(9) }),
  );
  const view: fc.Arbitrary<VmView> = fc.record({
    me: fc.constant(HV1),
    spec: fc.option(spec.map((doc) => versioned(UUID, doc, 7)), { nil: undefined, freq: 6 }),
    status: fc.option(status.map((doc) => versioned(UUID, doc, 3)), { nil: undefined, freq: 6 }),
    domain: fc.option(domain, { nil: undefined }),
    migration,
    fresh: fc.boolean(),
    ready: fc.boolean(),
    targetAlive: fc.boolean(),
    nowMs: fc.constant(NOW_MS),
    shutdownTimeoutMs: fc.constant(SHUTDOWN_TIMEOUT_MS),
    located: fc.constantFrom('running' as const, 'absent' as const, undefined),
    buttonPressedMs: fc.constantFrom(undefined, NOW_MS - 500, NOW_MS - 20_000),
  });

  const alive = (one: VmView): boolean => one.domain !== undefined && one.domain.state !== 'shutoff' && one.domain.state !== 'crashed';
  const owner = (one: VmView): string | null => one.status?.doc.owner ?? null;

  /** Checks a rule for each step of a kind; the kind must occur, or the rule would say nothing. */
  function holds(kinds: readonly VmStep['kind'][], rule: (step: VmStep, seen: VmView) => void): void {
    let count = 0;
    fc.assert(
      fc.property(view, (seen) => {
        const step = nextVmStep(seen);
        if (!kinds.includes(step.kind)) return;
        count += 1;
        rule(step, seen);
      }),
      { numRuns: 8_000 },
    );
    expect(count).toBeGreaterThan(10);
  }

  test('a stale mirror never stops, ends, removes or moves anything', () => {
    const harmful: VmStep['kind'][] = ['destroy', 'destroy-stray', 'press-power-button', 'finish-removal', 'remove-status'];
    holds(harmful, (_step, seen) => expect(seen.fresh).toBe(true));
  });

  test('a stale mirror never takes ownership', () => {
    holds(['write-status'], (step, seen) => {
      if (step.kind === 'write-status' && step.status.owner === HV1 && owner(seen) !== HV1) expect(seen.fresh).toBe(true);
    });
  });

  test('a guest that is alive is never forgotten', () => {
    holds(['forget'], (_step, seen) => expect(alive(seen)).toBe(false));
  });

  test('a foreign domain never gets a step', () => {
    fc.assert(
      fc.property(view, domain, (seen, other) => {
        expect(nextVmStep({ ...seen, domain: { ...other, ours: false } })).toEqual({ kind: 'settled' });
      }),
    );
  });

  test('only the owner creates, ends, resumes, migrates or presses the button', () => {
    const owners: VmStep['kind'][] = ['create', 'destroy', 'press-power-button', 'resume', 'migrate', 'abort-migration', 'locate-on-target', 'keep-here'];
    holds(owners, (_step, seen) => expect(owner(seen)).toBe(HV1));
  });

  test('a guest is created only where it was asked for and does not run', () => {
    holds(['create'], (_step, seen) => {
      expect(alive(seen)).toBe(false);
      expect(['start', 'restart']).toContain(seen.spec?.doc.power.action);
      expect(seen.spec?.doc.deletion).toBeNull();
    });
  });

  test('a stray is never one that this node owns, and never one that arrives', () => {
    holds(['destroy-stray'], (_step, seen) => {
      const phaseSeen = seen.status?.doc.phase;
      if (seen.spec === undefined) return;
      expect(owner(seen)).not.toBe(HV1);
      expect(phaseSeen?.kind === 'migrating' && phaseSeen.target === HV1).toBe(false);
    });
  });

  test('ownership is taken from nobody by the ready node of the place, or as the target on which the guest runs', () => {
    holds(['write-status'], (step, seen) => {
      if (step.kind !== 'write-status' || step.status.owner !== HV1 || owner(seen) === HV1) return;
      if (owner(seen) === null && !alive(seen)) {
        expect(seen.spec?.doc.node).toBe(HV1);
        expect(seen.ready).toBe(true);
        expect(step.status.phase.kind).toBe('starting');
      } else {
        expect(seen.status?.doc.phase).toMatchObject({ kind: 'migrating', target: HV1 });
        expect(seen.domain).toMatchObject({ state: 'running', incoming: false });
      }
    });
  });

  test('ownership is given away only to nobody, or to the target of the migration under way', () => {
    holds(['write-status'], (step, seen) => {
      if (step.kind !== 'write-status' || step.status.owner === HV1 || owner(seen) !== HV1) return;
      if (step.status.owner === null) expect(alive(seen)).toBe(false);
      else expect(seen.status?.doc.phase).toMatchObject({ kind: 'migrating', target: step.status.owner });
    });
  });

  test('every status written satisfies its schema; its epoch grows with each change of the owner and never falls', () => {
    holds(['write-status'], (step, seen) => {
      if (step.kind !== 'write-status') return;
      expect(vmStatus.safeParse(step.status).error).toBeUndefined();
      const epoch = seen.status?.doc.epoch ?? 0;
      expect(step.status.epoch).toBeGreaterThanOrEqual(epoch);
      if (step.status.owner !== owner(seen)) expect(step.status.epoch).toBeGreaterThan(epoch);
      expect(step.status.powerGeneration).toBeGreaterThanOrEqual(Math.min(seen.status?.doc.powerGeneration ?? 0, seen.spec?.doc.power.generation ?? 0));
    });
  });

  test('nobody writes the status of another owner, except the target of its migration', () => {
    holds(['write-status'], (_step, seen) => {
      if (owner(seen) === null || owner(seen) === HV1) return;
      expect(seen.status?.doc.phase).toMatchObject({ kind: 'migrating', target: HV1 });
    });
  });

  test('the same view always gives the same step, and a written status is never the one that was seen', () => {
    fc.assert(
      fc.property(view, (seen) => {
        const step = nextVmStep(seen);
        expect(nextVmStep(seen)).toEqual(step);
        if (step.kind === 'write-status') expect(step.status).not.toEqual(seen.status?.doc);
      }),
      { numRuns: 4_000 },
    );
  });
});
