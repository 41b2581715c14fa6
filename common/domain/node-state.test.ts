import { expect, test } from 'vitest';
import { aNode, aNodeName } from '../../test/support/builders.ts';
import { shownCoordinatorState, shownDomainsState } from './node-state.ts';

const [HV1, HV2] = [aNodeName('hv1'), aNodeName('hv2')];

test.each([
  ['flush', 'ready', 'flush'],
  ['ready', 'flushed', 'unflush'],
] as const)('a node asked to %s that has not answered and is %s shows as %s', (wish, state, shown) => {
  const { spec, status } = aNode('hv1', { wish, state, generation: 2 });
  const before = { ...status, domains: { ...status.domains, generation: 1 } };
  expect(shownDomainsState(spec, before)).toBe(shown);
  expect(shownDomainsState(spec, status)).toBe(state);
});

test('a node that has never said anything shows as flushed, and as no coordinator', () => {
  expect(shownDomainsState(aNode('hv1').spec, undefined)).toBe('flushed');
  expect(shownCoordinatorState(undefined, { node: HV1, avoid: null, generation: 1 }, true)).toBe('client');
});

test.each([
  ['primary', { node: HV2, avoid: null }, 'relinquish'],
  ['primary', { node: null, avoid: HV1 }, 'relinquish'],
  ['primary', { node: HV1, avoid: null }, 'primary'],
  ['primary', { node: null, avoid: null }, 'primary'],
  ['secondary', { node: HV1, avoid: null }, 'takeover'],
  ['secondary', { node: HV2, avoid: null }, 'secondary'],
  ['secondary', { node: null, avoid: HV2 }, 'secondary'],
  ['client', { node: HV2, avoid: null }, 'client'],
] as const)('hv1, which says %s, shows with the wish %j as %s', (coordinatorState, wish, shown) => {
  const { status } = aNode('hv1', { coordinatorState });
  expect(shownCoordinatorState(status, { ...wish, generation: 1 }, true)).toBe(shown);
  expect(shownCoordinatorState(status, undefined, true)).toBe(coordinatorState);
});

test.each([
  ['primary', 'secondary'],
  ['takeover', 'secondary'],
  ['relinquish', 'secondary'],
  ['secondary', 'secondary'],
  ['client', 'client'],
] as const)('hv1, which said %s and whose session is gone, shows as %s', (coordinatorState, shown) => {
  const { status } = aNode('hv1', { coordinatorState });
  expect(shownCoordinatorState(status, { node: HV1, avoid: null, generation: 1 }, false)).toBe(shown);
});
