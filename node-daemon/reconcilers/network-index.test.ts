import { expect, test } from 'vitest';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import { aManagedNetwork, aNode, aNodeName, aRunningVm, aStatus, aVmId, versioned } from '../../test/support/builders.ts';
import { aMirror } from '../../test/support/fake-mirror.ts';
import { NetworkIndex } from './network-index.ts';

const ME = aNodeName('hv1');
const MAC = '52:54:00:00:00:01';

function anIndex(vms: readonly { spec?: Partial<VmSpec>; status?: Partial<VmStatus> }[] = [], present = ['hv1', 'hv2', 'hv3']) {
  const mirror = aMirror();
  const fill = (all: typeof vms): void => {
    mirror.fill('vm', all.map(({ spec }, at) => versioned(aVmId(at), aRunningVm({ uuid: aVmId(at), interfaces: [{ mac: MAC, vni: 5 }], ...spec }))));
    mirror.fill('vm-status', all.flatMap(({ status }, at) => (status === undefined ? [] : [versioned(aVmId(at), aStatus(status))])));
  };
  mirror.fill('network', [versioned('5', aManagedNetwork({ vni: 5 })), versioned('100', { type: 'bridged', vni: 100, description: 'lan', mtu: null })]);
  mirror.fill('presence', present.map((name) => versioned(name, { ...aNode(name).presence, address: `10.0.0.${name.slice(2)}` })));
  fill(vms);
  const index = new NetworkIndex({ me: ME, coordinators: [aNodeName('hv1'), aNodeName('hv2')], mirror });
  index.rebuild();
  return { index, mirror, fill };
}

test('coordinators need every managed network, and no bridged one without a guest', () => {
  const { index } = anIndex();
  expect([index.isNeeded(5), index.isNeeded(100), index.isNeeded(404)]).toEqual([true, false, false]);
  expect(index.wanted(5)).toMatchObject({ peers: ['10.0.0.2'], complete: true, taps: [] });
  expect(index.wanted(404)).toBeUndefined();
  expect(index.vnis().sort()).toEqual([100, 5]);
});

test('nodes where a guest is, goes, or may be started need its network', () => {
  const at = (spec: Partial<VmSpec>, status?: Partial<VmStatus>): readonly string[] | undefined => anIndex([{ spec, ...(status === undefined ? {} : { status }) }]).index.wanted(5)?.peers;
  expect(at({ node: aNodeName('hv3') })).toEqual(['10.0.0.2', '10.0.0.3']);
  expect(at({ node: ME }, { owner: aNodeName('hv3') })).toContain('10.0.0.3');
  expect(at({ node: ME }, { phase: { kind: 'migrating', target: aNodeName('hv3'), progress: null } })).toContain('10.0.0.3');
  expect(at({ node: ME }, { owner: ME })).toEqual(['10.0.0.2']);
});

test.each<[string, Partial<VmStatus> | undefined, unknown]>([
  ['runs here', { owner: ME }, { kind: 'here' }],
  ['runs elsewhere', { owner: aNodeName('hv2') }, { kind: 'at', address: '10.0.0.2' }],
  ['migrates', { owner: aNodeName('hv2'), phase: { kind: 'migrating', target: ME, progress: null } }, { kind: 'undecided' }],
  ['runs on a node whose address nobody knows', { owner: aNodeName('hv9') }, { kind: 'undecided' }],
  ['is off', { owner: null, phase: { kind: 'stopped' } }, undefined],
  ['was never started', undefined, undefined],
])('a guest that %s', (_what, status, place) => {
  const { index } = anIndex([status === undefined ? {} : { status }]);
  expect(index.wanted(5)?.guests.get(MAC)).toEqual(place);
});

test('a guest that is here, or on its way here, has its device here', () => {
  const taps = (status: Partial<VmStatus>): readonly string[] | undefined => anIndex([{ status }]).index.wanted(5)?.taps;
  expect(taps({ owner: ME })).toEqual(['tap525400000001']);
  expect(taps({ owner: aNodeName('hv2'), phase: { kind: 'migrating', target: ME, progress: null } })).toEqual(['tap525400000001']);
  expect(taps({ owner: aNodeName('hv2') })).toEqual([]);
});

test('a change names the networks before and after it, and one that matters to none names none', () => {
  const { index, fill } = anIndex([{ status: { owner: ME } }]);
  const uuid = aVmId(0);
  fill([{ status: { owner: ME, observedVersion: 7 } }]);
  expect(index.take('vm-status', uuid)).toEqual([]);
  fill([{ spec: { interfaces: [{ mac: MAC, vni: 100 }] }, status: { owner: ME } }]);
  expect([...index.take('vm', uuid)].sort()).toEqual([100, 5]);
  expect([index.wanted(5)?.guests.size, index.wanted(100)?.guests.size, index.vniOfMac(MAC), index.isNeeded(100)]).toEqual([0, 1, 100, true]);
  fill([]);
  expect(index.take('vm', uuid)).toEqual([100]);
  expect([index.isNeeded(100), index.vniOfMac(MAC)]).toEqual([false, undefined]);
  expect([index.take('network', '5'), index.take('node', 'hv1')]).toEqual([[5], []]);
});

test('a node that is away keeps the address that it had, and one that was never seen leaves the list incomplete', () => {
  const { index, mirror } = anIndex([{ spec: { node: aNodeName('hv3') } }], ['hv1', 'hv3']);
  expect(index.wanted(5)).toMatchObject({ peers: ['10.0.0.3'], complete: false });
  mirror.fill('presence', [versioned('hv2', { ...aNode('hv2').presence, address: '10.0.0.2' })]);
  expect([...index.take('presence', 'hv2')].sort()).toEqual([100, 5]);
  expect(index.take('presence', 'hv2')).toEqual([]);
  expect(index.take('presence', 'hv3')).toEqual([]);
  expect(index.wanted(5)).toMatchObject({ peers: ['10.0.0.2', '10.0.0.3'], complete: true });
});
