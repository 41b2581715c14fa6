import { describe, expect, test } from 'vitest';
import { nodeName } from '../../common/ids.ts';
import type { CoordinatorState, PrimaryWish } from '../../common/schema/node.ts';
import { HOLD_BACK_MS, isHandOverDue, planPrimary, STANDBY_LIMIT_MS, type LeaseView, type PrimaryObserved, type PrimaryPeer } from './primary.ts';

const [hv1, hv2, hv3] = [nodeName.parse('hv1'), nodeName.parse('hv2'), nodeName.parse('hv3')];
const MINE: LeaseView = { kind: 'mine' };
const FREE: LeaseView = { kind: 'free', forMs: 0 };
const UNPROVABLE: LeaseView = { kind: 'unprovable' };
const heldBy = (node = hv2): LeaseView => ({ kind: 'other', node });
const NO_WISH: PrimaryWish = { node: null, avoid: null, generation: 0 };
const wishFor = (node = hv1): PrimaryWish => ({ node, avoid: null, generation: 1 });
const wishAgainst = (avoid = hv1): PrimaryWish => ({ node: null, avoid, generation: 1 });
const aPeer = (node = hv2, state: CoordinatorState | undefined = 'secondary', stopping = false): PrimaryPeer => ({ node, state, stopping });

/** hv1 of three coordinators, with nothing on its host. */
function observed(facts: Partial<PrimaryObserved>): PrimaryObserved {
  const bare: PrimaryObserved = {
    me: hv1,
    mode: 'coordinator',
    lease: FREE,
    addresses: 'none',
    api: 'stopped',
    wish: NO_WISH,
    peers: [aPeer(hv2), aPeer(hv3)],
    handOverForMs: 0,
    drained: false,
  };
  return { ...bare, ...facts };
}
const UP = { addresses: 'all', api: 'running' } as const;

describe('a free lease', () => {
  test('is contended for', () => {
    expect(planPrimary(observed({}))).toEqual({ state: 'secondary', step: 'contend' });
  });

  test('is not contended for while an address is left here', () => {
    expect(planPrimary(observed({ addresses: 'all' }))).toEqual({ state: 'secondary', step: 'remove-addresses' });
  });

  test('is left to the wished node while it lives, but not for ever', () => {
    expect(planPrimary(observed({ wish: wishFor(hv2) }))).toEqual({ state: 'secondary', recheckMs: HOLD_BACK_MS });
    expect(planPrimary(observed({ wish: wishFor(hv2), lease: { kind: 'free', forMs: HOLD_BACK_MS } })).step).toBe('contend');
    expect(planPrimary(observed({ wish: wishFor(hv2), peers: [aPeer(hv3)] })).step).toBe('contend');
    expect(planPrimary(observed({ wish: wishFor(hv2), peers: [aPeer(hv2, 'secondary', true)] })).step).toBe('contend');
  });

  test('is left to others by the avoided node, unless it is alone', () => {
    expect(planPrimary(observed({ wish: wishAgainst(hv1) }))).toEqual({ state: 'secondary', recheckMs: HOLD_BACK_MS });
    expect(planPrimary(observed({ wish: wishAgainst(hv1), peers: [] })).step).toBe('contend');
    expect(planPrimary(observed({ wish: wishAgainst(hv2) })).step).toBe('contend');
  });

  test('does not interrupt a standby', () => {
    for (const wish of [NO_WISH, wishFor(hv1), wishAgainst(hv2)]) expect(planPrimary(observed({ wish, api: 'running' }))).toEqual({ state: 'takeover', step: 'contend' });
  });

  test('is not contended for by a node that shuts down or is no coordinator', () => {
    expect(planPrimary(observed({ mode: 'stop' }))).toEqual({ state: 'secondary' });
    expect(planPrimary(observed({ mode: 'client' }))).toEqual({ state: 'client' });
  });
});

describe('the holder', () => {
  test('adds the address, then starts the API, then is primary', () => {
    expect(planPrimary(observed({ lease: MINE }))).toEqual({ state: 'takeover', step: 'add-addresses' });
    expect(planPrimary(observed({ lease: MINE, addresses: 'all' }))).toEqual({ state: 'takeover', step: 'start-api' });
    expect(planPrimary(observed({ lease: MINE, addresses: 'all', api: 'unknown' }))).toEqual({ state: 'takeover', step: 'start-api' });
    expect(planPrimary(observed({ lease: MINE, ...UP }))).toEqual({ state: 'primary' });
  });

  test('settles a wish that is fulfilled or that nobody can fulfil', () => {
    expect(planPrimary(observed({ lease: MINE, ...UP, wish: wishFor(hv1) }))).toEqual({ state: 'primary', step: 'settle-wish' });
    expect(planPrimary(observed({ lease: MINE, ...UP, wish: wishAgainst(hv2) }))).toEqual({ state: 'primary', step: 'settle-wish' });
    expect(planPrimary(observed({ lease: MINE, ...UP, wish: wishFor(hv2), peers: [aPeer(hv3)] }))).toEqual({ state: 'primary', step: 'settle-wish' });
    expect(planPrimary(observed({ lease: MINE, ...UP, wish: wishAgainst(hv1), peers: [] }))).toEqual({ state: 'primary', step: 'settle-wish' });
  });

  test.each([
    ['the wished node', { wish: wishFor(hv2) }],
    ['any node but itself', { wish: wishAgainst(hv1) }],
    ['any node, because it shuts down,', { mode: 'stop' as const }],
  ])('stays primary until %s stands by', (_name, facts) => {
    const waiting = observed({ lease: MINE, ...UP, handOverForMs: 1_000, ...facts });
    expect(isHandOverDue(waiting)).toBe(true);
    expect(planPrimary(waiting)).toEqual({ state: 'primary', recheckMs: STANDBY_LIMIT_MS - 1_000 });
    const standby = observed({ ...waiting, peers: [aPeer(hv2, 'takeover'), aPeer(hv3)] });
    expect(planPrimary(standby)).toEqual({ state: 'relinquish', step: 'drain-api' });
    expect(planPrimary(observed({ ...waiting, handOverForMs: STANDBY_LIMIT_MS })).step).toBe('drain-api');
  });

  test('gives up in order: API, address, lease', () => {
    const giving = observed({ lease: MINE, wish: wishFor(hv2), peers: [aPeer(hv2, 'takeover')], ...UP });
    expect(planPrimary(giving)).toEqual({ state: 'relinquish', step: 'drain-api' });
    expect(planPrimary({ ...giving, drained: true })).toEqual({ state: 'relinquish', step: 'remove-addresses' });
    expect(planPrimary({ ...giving, drained: true, addresses: 'none' })).toEqual({ state: 'relinquish', step: 'release-lease' });
    expect(planPrimary({ ...giving, api: 'stopped', addresses: 'none' })).toEqual({ state: 'relinquish', step: 'release-lease' });
  });

  test('waits for nobody when it serves nobody', () => {
    expect(planPrimary(observed({ lease: MINE, wish: wishFor(hv2) }))).toEqual({ state: 'relinquish', step: 'release-lease' });
  });

  test('waits for nobody when it shuts down alone', () => {
    expect(planPrimary(observed({ lease: MINE, mode: 'stop', ...UP, peers: [aPeer(hv2, 'takeover', true)] })).step).toBe('drain-api');
  });

  test('has nothing to hand over without a wish', () => {
    expect(isHandOverDue(observed({ lease: MINE, ...UP }))).toBe(false);
    expect(isHandOverDue(observed({ lease: heldBy(hv2), wish: wishFor(hv3) }))).toBe(false);
  });
});

describe('another holder', () => {
  test('means no address and no API here, the address first', () => {
    expect(planPrimary(observed({ lease: heldBy(), ...UP }))).toEqual({ state: 'secondary', step: 'remove-addresses' });
    expect(planPrimary(observed({ lease: heldBy(), api: 'running' }))).toEqual({ state: 'secondary', step: 'stop-api' });
    expect(planPrimary(observed({ lease: heldBy(), api: 'unknown' }))).toEqual({ state: 'secondary', step: 'stop-api' });
    expect(planPrimary(observed({ lease: heldBy() }))).toEqual({ state: 'secondary' });
    expect(planPrimary(observed({ lease: heldBy(), mode: 'client', ...UP }))).toEqual({ state: 'client', step: 'remove-addresses' });
  });

  test.each([
    ['is to be replaced by this node', { wish: wishFor(hv1) }],
    ['is to be replaced by any other', { wish: wishAgainst(hv2) }],
    ['shuts down', { peers: [aPeer(hv2, 'primary', true), aPeer(hv3)] }],
  ])('that %s is told when the API runs here', (_name, facts) => {
    const successor = observed({ lease: heldBy(hv2), ...facts });
    expect(planPrimary({ ...successor, addresses: 'all' })).toEqual({ state: 'secondary', step: 'remove-addresses' });
    expect(planPrimary(successor)).toEqual({ state: 'secondary', step: 'start-api' });
    expect(planPrimary({ ...successor, api: 'running' })).toEqual({ state: 'takeover' });
    expect(planPrimary({ ...successor, api: 'running', mode: 'stop' })).toEqual({ state: 'secondary', step: 'stop-api' });
  });

  test.each([
    ['another node is wished', wishFor(hv3)],
    ['the avoided node does not hold it', wishAgainst(hv3)],
    ['this node is avoided', wishAgainst(hv1)],
  ])('is not prepared for when %s', (_name, wish) => {
    expect(planPrimary(observed({ lease: heldBy(hv2), wish }))).toEqual({ state: 'secondary' });
  });
});

test('a lease that cannot be proved is no lease: the address goes first', () => {
  expect(planPrimary(observed({ lease: UNPROVABLE, ...UP }))).toEqual({ state: 'secondary', step: 'remove-addresses' });
  expect(planPrimary(observed({ lease: UNPROVABLE, api: 'running' }))).toEqual({ state: 'secondary', step: 'stop-api' });
  expect(planPrimary(observed({ lease: UNPROVABLE }))).toEqual({ state: 'secondary' });
});

test('whatever is observed, the address is added only by the holder of the lease', () => {
  const leases = [FREE, heldBy(hv2), UNPROVABLE].map((lease) => ({ lease }));
  const modes = (['coordinator', 'client', 'stop'] as const).map((mode) => ({ mode }));
  const apis = (['running', 'stopped', 'unknown'] as const).map((api) => ({ api }));
  const wishes = [NO_WISH, wishFor(hv1), wishFor(hv2), wishAgainst(hv1), wishAgainst(hv2)].map((wish) => ({ wish }));
  const all = leases.flatMap((one) => modes.flatMap((two) => apis.flatMap((three) => wishes.map((four) => ({ ...one, ...two, ...three, ...four })))));
  expect(all).toHaveLength(135);
  for (const facts of all) expect(planPrimary(observed(facts)).step).not.toBe('add-addresses');
});
