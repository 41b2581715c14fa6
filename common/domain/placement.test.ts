import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { aNode, aNodeName, anOffStatus, aRunningVm, aStatus, aVm, aVmId, type NodeGiven } from '../../test/support/builders.ts';
import { selector } from '../schema/vm.ts';
import { occupancyOf, place, reasonAgainst, wantsToRun, type Occupancy, type PlacementNode, type PlacementRequest, type PlacementVm } from './placement.ts';

const [HV1, HV2, HV3] = [aNodeName('hv1'), aNodeName('hv2'), aNodeName('hv3')];

function node(name: string, given: NodeGiven & { alive?: boolean } = {}): PlacementNode {
  const { spec, status } = aNode(name, given);
  return { spec, status, alive: given.alive ?? true };
}

function held(given: Partial<Occupancy>): Occupancy {
  return { memoryMib: 0, vcpus: 0, vms: 0, provisionedMib: 0, ...given };
}

function request(given: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    vm: { uuid: aVmId(1), memoryMib: 512, nodeLimit: null },
    nodes: [node('hv1'), node('hv2'), node('hv3')],
    occupancy: new Map(),
    selector: 'mem',
    reserveMib: 512,
    exclude: [],
    ...given,
  };
}

describe('selectors', () => {
  const occupancy = new Map([
    ['hv1', held({ memoryMib: 1_000, vcpus: 3, vms: 2, provisionedMib: 5_000 })],
    ['hv2', held({ memoryMib: 2_000, vcpus: 2, vms: 3, provisionedMib: 6_000 })],
    ['hv3', held({ memoryMib: 3_000, vcpus: 4, vms: 1, provisionedMib: 4_000 })],
  ]);
  const nodes = [node('hv1', { statistics: { load: 0.3 } }), node('hv2', { statistics: { load: 0.2 } }), node('hv3', { statistics: { load: 0.9 } })];

  test.each([
    ['mem', HV1],
    ['memprov', HV3],
    ['vcpus', HV2],
    ['vms', HV3],
    ['load', HV2],
  ] as const)('%s chooses %s', (by, expected) => {
    expect(place(request({ nodes, occupancy, selector: by }))).toEqual({ kind: 'placed', node: expected });
  });

  test('mem and memprov go by what is left, not by what is used: a bigger node that holds more can win', () => {
    const big = [node('hv1'), node('hv2', { statistics: { memoryTotalMib: 65_536 } })];
    const busy = new Map([['hv2', held({ memoryMib: 20_000, provisionedMib: 20_000 })]]);
    for (const by of ['mem', 'memprov'] as const) expect(place(request({ nodes: big, occupancy: busy, selector: by }))).toMatchObject({ node: HV2 });
  });

  test.each(selector.options)('a tie by %s goes to the first name, in whatever order the nodes come', (by) => {
    const nodesBackwards = [node('hv3'), node('hv1'), node('hv2')];
    expect(place(request({ nodes: nodesBackwards, selector: by }))).toEqual({ kind: 'placed', node: HV1 });
  });
});

describe('refusals', () => {
  const full = new Map([['hv1', held({ memoryMib: 7_300 })]]);

  test.each([
    ['the node to leave', { exclude: [HV1] }, node('hv1'), 'it is the node to leave'],
    ['a node outside the limit', { vm: { uuid: aVmId(1), memoryMib: 512, nodeLimit: [HV2] } }, node('hv1'), "it is not in the VM's node limit"],
    ['a dead node', {}, node('hv1', { alive: false }), 'its daemon is not alive'],
    ['a node that never reported', {}, { ...node('hv1'), status: undefined }, 'its daemon is not alive'],
    ['a node whose daemon shuts down', {}, node('hv1', { daemonState: 'shutdown' }), 'its daemon is not at work (shutdown)'],
    ['a node whose daemon has said goodbye', {}, node('hv1', { daemonState: 'stop' }), 'its daemon is not at work (stop)'],
    ['a node that has not asked libvirt yet', {}, node('hv1', { daemonState: 'init' }), 'its daemon is not at work (init)'],
    ['a flushed node', {}, node('hv1', { wish: 'flush' }), 'it is flushed or being flushed'],
    ['a node being flushed that still reports ready', {}, node('hv1', { wish: 'flush', state: 'ready' }), 'it is flushed or being flushed'],
    ['a full node', { occupancy: full }, node('hv1'), 'it has 380 MiB of memory left and the VM needs 512'],
  ] as const)('%s is passed over with its reason', (_what, given, candidate, why) => {
    const asked = request({ ...(given as Partial<PlacementRequest>), nodes: [candidate] });
    expect(place(asked)).toEqual({ kind: 'refused', refusals: [{ node: HV1, why }] });
    expect(reasonAgainst(candidate, asked)).toBe(why);
  });

  test('a node that only fits exactly is taken, one MiB less is not', () => {
    const left = (memoryMib: number): Map<string, Occupancy> => new Map([['hv1', held({ memoryMib: 8_192 - 512 - memoryMib })]]);
    expect(place(request({ nodes: [node('hv1')], occupancy: left(512) }))).toEqual({ kind: 'placed', node: HV1 });
    expect(place(request({ nodes: [node('hv1')], occupancy: left(511) })).kind).toBe('refused');
  });

  test('the reserve of the host is not given away', () => {
    const vm = { uuid: aVmId(1), memoryMib: 8_000, nodeLimit: null };
    expect(place(request({ vm, reserveMib: 192 })).kind).toBe('placed');
    expect(place(request({ vm, reserveMib: 193 })).kind).toBe('refused');
  });

  test('every node has a refusal when none fits, and there is one for no nodes', () => {
    const none = place(request({ exclude: [HV1, HV2, HV3] }));
    expect(none).toMatchObject({ kind: 'refused', refusals: [{ node: HV1 }, { node: HV2 }, { node: HV3 }] });
    expect(place(request({ nodes: [] }))).toEqual({ kind: 'refused', refusals: [] });
  });
});

describe('occupancy', () => {
  const counted = (vm: PlacementVm): string[] => [...occupancyOf([vm])].filter(([, one]) => one.memoryMib > 0).map(([name]) => name).sort();
  const there = { node: HV2, placement: { generation: 1, method: 'any', previousHome: null } } as const;

  test.each([
    ['off', aVm(), anOffStatus({ powerGeneration: 0 }), []],
    ['never started', aVm(), undefined, []],
    ['asked to start', aRunningVm(), undefined, ['hv1']],
    ['asked to start again after it ended', aRunningVm({ power: { action: 'start', generation: 2 } }), anOffStatus(), ['hv1']],
    ['running', aRunningVm(), aStatus(), ['hv1']],
    ['powered off by itself', aRunningVm(), anOffStatus(), []],
    ['failed', aRunningVm(), anOffStatus({ phase: { kind: 'failed', reason: 'x' } }), []],
    ['asked to be off, still running', aVm({ power: { action: 'shutdown', generation: 2 } }), aStatus(), ['hv1']],
    ['being removed, still running', aRunningVm({ deletion: { disks: false } }), aStatus(), ['hv1']],
    ['asked to move', aRunningVm(there), aStatus(), ['hv1', 'hv2']],
    ['migrating', aRunningVm(there), aStatus({ phase: { kind: 'migrating', target: HV2, progress: null } }), ['hv1', 'hv2']],
    ['being shut down to start elsewhere', aRunningVm(there), aStatus({ phase: { kind: 'shutting-down', sinceMs: 0, next: 'relocate' } }), ['hv1', 'hv2']],
    ['shut down to start elsewhere', aRunningVm(there), anOffStatus({ phase: { kind: 'relocating' } }), ['hv2']],
    ['off with another place', aVm(there), anOffStatus({ powerGeneration: 0 }), []],
  ] as const)('a VM that is %s counts where it is and where it will be', (_what, spec, status, nodes) => {
    expect(counted({ spec, status })).toEqual(nodes);
  });

  test('provisioned memory counts at the place alone, running or not', () => {
    const occupancy = occupancyOf([{ spec: aRunningVm({ ...there, memoryMib: 700 }), status: aStatus() }, { spec: aVm({ memoryMib: 300 }), status: undefined }]);
    expect(occupancy.get('hv1')).toEqual({ memoryMib: 700, vcpus: 1, vms: 1, provisionedMib: 300 });
    expect(occupancy.get('hv2')).toEqual({ memoryMib: 700, vcpus: 1, vms: 1, provisionedMib: 700 });
  });

  test('a VM wants to run when it was asked to and is not being removed', () => {
    const wants = (action: 'start' | 'restart' | 'shutdown' | 'stop' | 'disable', deletion: { disks: boolean } | null = null): boolean =>
      wantsToRun(aVm({ power: { action, generation: 1 }, deletion }));
    expect([wants('start'), wants('restart'), wants('shutdown'), wants('stop'), wants('disable')]).toEqual([true, true, false, false, false]);
    expect(wants('start', { disks: false })).toBe(false);
  });
});

describe('properties', () => {
  const name = fc.constantFrom(HV1, HV2, HV3);
  const candidates = fc.tuple(
    ...[HV1, HV2, HV3].map((candidate) =>
      fc.record({ totalMib: fc.integer({ min: 0, max: 4_000 }), alive: fc.boolean(), ready: fc.boolean(), load: fc.nat(10) }).map((given) =>
        node(candidate, { wish: given.ready ? 'ready' : 'flush', alive: given.alive, statistics: { memoryTotalMib: given.totalMib, load: given.load } }),
      ),
    ),
  );
  const world = fc.record({
    nodes: candidates,
    moves: fc.array(fc.record({ memoryMib: fc.integer({ min: 1, max: 1_500 }), from: name, limit: fc.option(fc.uniqueArray(name, { minLength: 1 }), { nil: null }) }), { maxLength: 12 }),
    by: fc.constantFrom(...selector.options),
    reserveMib: fc.integer({ min: 0, max: 600 }),
  });

  test('placements in a row, each counted as a move in flight, never give more of a node away than it has', () => {
    let placedCount = 0;
    fc.assert(
      fc.property(world, ({ nodes, moves, by, reserveMib }) => {
        // Guests that moves begin with are on a node that none of them is placed on.
        const vms: PlacementVm[] = [];
        for (const [index, move] of moves.entries()) {
          const vm = { uuid: aVmId(index), memoryMib: move.memoryMib, nodeLimit: move.limit };
          const placement = place({ vm, nodes, occupancy: occupancyOf(vms), selector: by, reserveMib, exclude: [move.from] });
          if (placement.kind === 'refused') continue;
          placedCount += 1;
          const chosen = nodes.find((candidate) => candidate.spec.name === placement.node);
          expect(chosen).toMatchObject({ alive: true, spec: { domains: { wish: 'ready' } } });
          expect(placement.node).not.toBe(move.from);
          expect(move.limit ?? [placement.node]).toContain(placement.node);
          vms.push({ spec: aRunningVm({ ...vm, node: placement.node }), status: undefined });
        }
        for (const [node, occupied] of occupancyOf(vms)) {
          const total = nodes.find((candidate) => candidate.spec.name === node)?.status?.statistics.memoryTotalMib ?? 0;
          expect(occupied.memoryMib).toBeLessThanOrEqual(Math.max(0, total - reserveMib));
        }
      }),
    );
    expect(placedCount).toBeGreaterThan(50);
  });

  test('a refusal names each node once, and only when none of them can take it', () => {
    fc.assert(
      fc.property(world, fc.integer({ min: 1, max: 4_000 }), ({ nodes, by, reserveMib }, memoryMib) => {
        const asked = request({ vm: { uuid: aVmId(1), memoryMib, nodeLimit: null }, nodes, selector: by, reserveMib });
        const placement = place(asked);
        const able = nodes.filter((candidate) => reasonAgainst(candidate, asked) === undefined);
        expect(placement.kind).toBe(able.length > 0 ? 'placed' : 'refused');
        if (placement.kind === 'refused') expect(placement.refusals.map((refusal) => refusal.node)).toEqual([HV1, HV2, HV3]);
      }),
    );
  });
});
