import { expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import type { NetworkOnNode } from '../../common/schema/network.ts';
import type { Kind } from '../../common/schema/resources.ts';
import { aManagedNetwork, aNodeName, versioned } from '../../test/support/builders.ts';
import { aMirror } from '../../test/support/fake-mirror.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { VmNetworksGate } from './vm-networks.ts';

const ME = aNodeName('hv1');
const OTHER = aNodeName('hv2');
const LIMIT_MS = 20_000;
const NICS = [
  { mac: '52:54:00:00:00:01', vni: 7 },
  { mac: '52:54:00:00:00:02', vni: 8 },
  { mac: '52:54:00:00:00:03', vni: 7 },
];

const up = (vni: number, given: Partial<NetworkOnNode> = {}): NetworkOnNode => ({ vni, appliedVersion: 0, appliedAclVersion: null, mtu: 1_450, error: null, ...given });

function aGate() {
  const clock = new VirtualClock();
  const mirror = aMirror();
  mirror.fill('network', [7, 8].map((vni) => versioned(String(vni), aManagedNetwork({ vni }))));
  const here = new Map<number, NetworkOnNode>();
  const onStatus = new Set<(vni: number) => void>();
  const onDocument = new Set<(kind: Kind, id: string) => void>();
  const looked: number[] = [];
  const subscribe = <T>(listeners: Set<T>) => (listener: T): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const gate = new VmNetworksGate({ me: ME, mirror, clock, onDocument: subscribe(onDocument), status: { get: (vni) => here.get(vni), onChange: subscribe(onStatus) }, enqueue: (vni) => looked.push(vni) });
  return {
    clock,
    gate,
    looked,
    listeners: () => onStatus.size + onDocument.size,
    setHere: (one: NetworkOnNode) => {
      here.set(one.vni, one);
      for (const listener of [...onStatus]) listener(one.vni);
    },
    setThere: (networks: NetworkOnNode[]) => {
      mirror.fill('network-status', [versioned('hv2', { node: OTHER, networks })]);
      for (const listener of [...onDocument]) listener('network-status', 'hv2');
    },
  };
}

const outcome = async (work: Promise<unknown>): Promise<unknown> => work.then((value) => value, (error: unknown) => error);

test('a guest whose networks are up need not wait, and is told their MTUs', async () => {
  const { gate, setHere, looked } = aGate();
  setHere(up(7));
  setHere(up(8, { mtu: 1_400, error: 'a rule is refused' }));
  expect(await gate.here(NICS)).toEqual(new Map([[7, 1_450], [8, 1_400]]));
  expect(looked).toEqual([]);
  expect(await gate.here([])).toEqual(new Map());
});

test('a guest waits for the last of its networks, which is looked at', async () => {
  const { gate, clock, looked, setHere, listeners } = aGate();
  const waiting = gate.here(NICS);
  await clock.settle();
  expect(looked).toEqual([7, 8]);
  setHere(up(8));
  setHere(up(7, { appliedVersion: null }));
  await clock.settle();
  setHere(up(7));
  expect((await waiting).size).toBe(2);
  expect([listeners(), clock.timerCount]).toEqual([0, 0]);
});

test('a network that does not come up is named with its reason after a bounded wait', async () => {
  const { gate, clock, setHere } = aGate();
  setHere(up(7, { mtu: null, appliedVersion: null, error: 'the device eth0 does not exist' }));
  const waiting = outcome(gate.here([...NICS, { mac: '52:54:00:00:00:04', vni: 9 }]));
  await clock.advance(LIMIT_MS);
  const failure = await waiting;
  expect(isAppError(failure, 'state') && failure.details).toEqual({ node: 'hv1', networks: { 7: 'the device eth0 does not exist', 8: 'not set up yet', 9: 'there is no such network' } });
});

test('a migration waits for what the other node reports', async () => {
  const { gate, clock, setThere, setHere } = aGate();
  setHere(up(7));
  setHere(up(8));
  let done = false;
  const waiting = gate.there(OTHER, NICS, new AbortController().signal).then(() => (done = true));
  setThere([up(7)]);
  await clock.settle();
  expect(done).toBe(false);
  setThere([up(7), up(8)]);
  await waiting;
  expect(done).toBe(true);
});

test('a wait ends with the migration that waits, and with the daemon', async () => {
  const { gate, listeners, clock } = aGate();
  const aborting = new AbortController();
  const there = outcome(gate.there(OTHER, NICS, aborting.signal));
  aborting.abort();
  expect(isAppError(await there, 'cancelled')).toBe(true);
  const here = outcome(gate.here(NICS));
  gate.stop();
  expect(isAppError(await here, 'cancelled')).toBe(true);
  expect([listeners(), clock.timerCount]).toEqual([0, 0]);
});
