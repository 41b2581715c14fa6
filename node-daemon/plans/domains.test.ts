import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isMoving } from '../../common/domain/vm-state.ts';
import { aNodeName, anOffStatus, aRunningVm, aStatus, aVm, aVmId, aVmName } from '../../test/support/builders.ts';
import { planDomains, TRIES_MAX, type DomainsView, type DomainsVm } from './domains.ts';

const [HV1, HV2] = [aNodeName('hv1'), aNodeName('hv2')];

function aView(given: Partial<DomainsView> = {}): DomainsView {
  return {
    me: HV1,
    wish: { wish: 'flush', generation: 2 },
    reported: { state: 'ready', generation: 1 },
    vms: [],
    parallel: 4,
    tries: new Map(),
    refusals: new Map(),
    fresh: true,
    ...given,
  };
}

/** A guest that runs on hv1. */
function here(number: number, memoryMib = 512): DomainsVm {
  return { spec: aRunningVm({ uuid: aVmId(number), name: aVmName(`vm${number}`), memoryMib }), status: aStatus() };
}

function leaving(number: number): DomainsVm {
  const vm = here(number);
  return { spec: { ...vm.spec, node: HV2 }, status: aStatus({ phase: { kind: 'migrating', target: HV2, progress: null } }) };
}

/** A guest that runs on hv2 and belongs to hv1. */
function away(number: number): DomainsVm {
  return { spec: { ...here(number).spec, node: HV2, homeNode: HV1 }, status: aStatus({ owner: HV2 }) };
}

function autostarted(number: number): DomainsVm {
  return { spec: aVm({ uuid: aVmId(number), name: aVmName(`vm${number}`), autostart: true }), status: undefined };
}

const targets = (view: DomainsView): string[] => planDomains(view).actions.map((action) => `${action.kind} ${Number.parseInt(action.uuid.slice(-4), 16)}`);

describe('flush', () => {
  test('a node without guests is flushed', () => {
    expect(planDomains(aView({ vms: [away(1), autostarted(2)] }))).toEqual({ state: 'flushed', actions: [], blocked: [], steps: [] });
  });

  test('the biggest go first, as many at once as permitted, and ties by name', () => {
    const vms = [here(1, 512), here(2, 2_048), here(4, 1_024), here(3, 1_024), here(5, 256)];
    expect(targets(aView({ vms, parallel: 3 }))).toEqual(['move-away 2', 'move-away 3', 'move-away 4']);
  });

  test('those on their way count against the number at once', () => {
    expect(targets(aView({ vms: [leaving(1), leaving(2), here(3), here(4)], parallel: 3 }))).toEqual(['move-away 3']);
    expect(targets(aView({ vms: [leaving(1), leaving(2), here(3)], parallel: 1 }))).toEqual([]);
  });

  test('a guest that is shutting down or starting is not moved, and the node is not flushed before it is gone', () => {
    const ending: DomainsVm = { ...here(1), spec: { ...here(1).spec, power: { action: 'shutdown', generation: 2 } } };
    const starting: DomainsVm = { ...here(2), status: aStatus({ phase: { kind: 'starting' } }) };
    expect(planDomains(aView({ vms: [ending, starting] }))).toMatchObject({ state: 'flush', actions: [] });
  });

  test('what was refused, or was tried often enough, is reported with its reason and not tried', () => {
    const failed = here(3);
    failed.status = aStatus({ lastMigration: { generation: 1, from: HV1, to: HV2, outcome: 'failed', error: 'no route', elapsedMs: 1 } });
    const plan = planDomains(
      aView({ vms: [here(1), here(2), failed], refusals: new Map([[aVmId(1), 'no room']]), tries: new Map([[aVmId(2), TRIES_MAX - 1], [aVmId(3), TRIES_MAX]]) }),
    );
    expect(plan.actions).toEqual([{ kind: 'move-away', uuid: aVmId(2) }]);
    expect(plan.blocked).toEqual([
      { uuid: aVmId(1), name: 'vm1', why: 'no room' },
      { uuid: aVmId(3), name: 'vm3', why: 'no route' },
    ]);
    expect(plan.steps).toContainEqual({ name: 'vm1', state: 'failed', message: 'no room' });
    expect(plan.state).toBe('flush');
  });

  test('a stale view begins nothing', () => {
    expect(targets(aView({ vms: [here(1)], fresh: false }))).toEqual([]);
  });
});

describe('ready', () => {
  const ready = (given: Partial<DomainsView> = {}): DomainsView => aView({ wish: { wish: 'ready', generation: 2 }, reported: { state: 'flushed', generation: 1 }, ...given });

  test('a node to which nothing belongs is ready', () => {
    expect(planDomains(ready())).toEqual({ state: 'ready', actions: [], blocked: [], steps: [] });
  });

  test('what belongs here is brought home, as many at once as permitted', () => {
    const plan = planDomains(ready({ vms: [away(3), away(1), away(2)], parallel: 2 }));
    expect(plan.state).toBe('unflush');
    expect(plan.actions).toEqual([{ kind: 'bring-home', uuid: aVmId(1) }, { kind: 'bring-home', uuid: aVmId(2) }]);
  });

  test('those that come count against the number at once, and the node is not ready before they are here', () => {
    const coming: DomainsVm = { spec: { ...away(1).spec, node: HV1, homeNode: null }, status: aStatus({ owner: HV2 }) };
    expect(targets(ready({ vms: [coming, away(2)], parallel: 1 }))).toEqual([]);
    expect(planDomains(ready({ vms: [coming] })).state).toBe('unflush');
  });

  test('what shall start with the node is started, once', () => {
    expect(targets(ready({ vms: [autostarted(1)] }))).toEqual(['start 1']);
    expect(targets(ready({ vms: [autostarted(1)], reported: { state: 'ready', generation: 2 } }))).toEqual([]);
  });

  test('what runs or was asked to run, or has its place elsewhere, is not started', () => {
    const running: DomainsVm = { spec: { ...here(1).spec, autostart: true }, status: aStatus() };
    const asked: DomainsVm = { spec: { ...here(2).spec, autostart: true }, status: undefined };
    const elsewhere: DomainsVm = { spec: { ...autostarted(3).spec, node: HV2, homeNode: null }, status: undefined };
    expect(targets(ready({ vms: [running, asked, elsewhere] }))).toEqual([]);
  });

  test('a guest of this node that is still on its way elsewhere is waited for, and comes home', () => {
    const going = leaving(1);
    const left: DomainsVm = { ...going, spec: { ...going.spec, homeNode: HV1 } };
    expect(planDomains(ready({ vms: [left] }))).toMatchObject({ state: 'unflush', actions: [], steps: [{ state: 'running' }] });
    expect(targets(ready({ vms: [{ ...left, status: aStatus({ owner: HV2 }) }] }))).toEqual(['bring-home 1']);
  });

  test('what cannot come is given up after some tries, and the node is ready without it', () => {
    const plan = planDomains(ready({ vms: [away(1), away(2)], tries: new Map([[aVmId(1), TRIES_MAX]]), refusals: new Map([[aVmId(2), 'no room']]) }));
    expect(plan.state).toBe('ready');
    expect(plan.steps).toContainEqual({ name: 'vm2', state: 'failed', message: 'no room' });
  });

  test('a stale view begins nothing and does not say ready', () => {
    expect(planDomains(ready({ vms: [away(1)], fresh: false }))).toMatchObject({ state: 'unflush', actions: [] });
    expect(planDomains(ready({ fresh: false })).state).toBe('unflush');
  });
});

describe('properties over every view', () => {
  const vm = fc.tuple(fc.nat(200), fc.constantFrom(here, leaving, away, autostarted), fc.integer({ min: 1, max: 4_096 }), fc.boolean()).map(
    ([number, build, memoryMib, runs]): DomainsVm => {
      const { spec, status } = build(number);
      return { spec: { ...spec, memoryMib, power: runs ? spec.power : { action: 'shutdown', generation: 2 } }, status: runs ? status : status && anOffStatus() };
    },
  );
  const view = fc
    .record({
      vms: fc.uniqueArray(vm, { selector: ({ spec }) => spec.uuid, maxLength: 12 }),
      parallel: fc.integer({ min: 1, max: 5 }),
      flush: fc.boolean(),
      fresh: fc.boolean(),
      tries: fc.nat(TRIES_MAX),
      refused: fc.boolean(),
    })
    .map((given) => {
      const first = given.vms[0]?.spec.uuid;
      return aView({
        wish: { wish: given.flush ? 'flush' : 'ready', generation: 2 },
        vms: given.vms,
        parallel: given.parallel,
        fresh: given.fresh,
        tries: new Map(given.vms.map(({ spec }) => [spec.uuid, given.tries])),
        refusals: new Map(given.refused && first !== undefined ? [[first, 'no room']] : []),
      });
    });

  test('a node is never flushed while it owns a VM', () => {
    fc.assert(
      fc.property(view, (seen) => {
        const owned = seen.vms.some(({ status }) => status?.owner === HV1);
        if (planDomains(seen).state === 'flushed') expect(owned).toBe(false);
        else if (seen.wish.wish === 'flush') expect(owned).toBe(true);
      }),
    );
  });

  test('moves begun and under way are never more than permitted at once', () => {
    fc.assert(
      fc.property(view, (seen) => {
        const begun = planDomains(seen).actions.filter((action) => action.kind !== 'start').length;
        const from = seen.wish.wish === 'flush' ? (one: DomainsVm) => one.status?.owner === HV1 : (one: DomainsVm) => one.spec.node === HV1;
        const underWay = seen.vms.filter((one) => isMoving(one.spec, one.status) && from(one)).length;
        if (begun > 0) expect(begun + underWay).toBeLessThanOrEqual(seen.parallel);
      }),
    );
  });

  test('no VM is given two actions, and what was refused or tried often enough none', () => {
    fc.assert(
      fc.property(view, (seen) => {
        const uuids = planDomains(seen).actions.map((action) => action.uuid);
        expect(new Set(uuids).size).toBe(uuids.length);
        for (const uuid of uuids) {
          expect(seen.refusals.has(uuid)).toBe(false);
          expect(seen.tries.get(uuid) ?? 0).toBeLessThan(TRIES_MAX);
        }
      }),
    );
  });

  test('a flush begins with no VM that is smaller than one it leaves waiting', () => {
    fc.assert(
      fc.property(view, (seen) => {
        const { actions, steps } = planDomains(seen);
        if (seen.wish.wish !== 'flush' || actions.length === 0) return;
        const sizeOf = new Map(seen.vms.map(({ spec }) => [spec.uuid as string, spec.memoryMib]));
        const begun = new Set<string>(actions.map((action) => action.uuid));
        const waiting = new Set(steps.filter((step) => step.state === 'waiting').map((step) => step.name));
        const left = seen.vms.filter(({ spec }) => waiting.has(spec.name) && !begun.has(spec.uuid));
        const smallest = Math.min(...[...begun].map((uuid) => sizeOf.get(uuid) ?? 0));
        for (const { spec } of left) expect(spec.memoryMib).toBeLessThanOrEqual(smallest);
      }),
    );
  });
});
