import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../../common/log.ts';
import { MemoryStore } from '../../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../../common/store/memory-zookeeper.ts';
import { SimulatedHosts, type SimulatedHost } from '../../support/simulated-hosts.ts';
import { SimulatedNode } from '../../support/simulated-node.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const NAMES = ['hv1', 'hv2', 'hv3'] as const;
const SESSION_TIMEOUT_MS = 10_000;

let clock: VirtualClock;
let zookeeper: MemoryZooKeeper;
let hosts: SimulatedHosts;
let nodes: Map<string, SimulatedNode>;
let operator: MemoryStore;
/** What the first primary took. */
let floatingAddress = '';
/** Most nodes that ever had the address at once, and when somebody last lost or got it. */
let holdersMax = 0;
let lostMs = 0;
let gotMs = 0;

beforeEach(async () => {
  [holdersMax, lostMs, gotMs] = [0, 0, 0];
  clock = new VirtualClock();
  zookeeper = new MemoryZooKeeper({ clock, sessionTimeoutMs: SESSION_TIMEOUT_MS, latencyMs: () => 2 });
  hosts = new SimulatedHosts({ clock });
  hosts.listeners.add({
    address: (_host, _cidr, held) => {
      holdersMax = Math.max(holdersMax, holders().length);
      if (held) gotMs = clock.monotonicMs();
      else lostMs = clock.monotonicMs();
    },
  });
  nodes = new Map(NAMES.map((name) => [name, aNode(hosts.add(name, { memoryMib: 8_192 }))]));
  operator = new MemoryStore({ zookeeper, clock, name: 'operator' });
  const started = operator.start(new AbortController().signal);
  for (const name of NAMES) {
    nodes.get(name)?.boot();
    await clock.advance(100);
  }
  await started;
  await clock.advanceUntil(() => serving().length === 1, 10_000, 'the first primary');
  floatingAddress = [...hosts.get('hv1').addresses].join();
});

afterEach(() => {
  for (const node of nodes.values()) node.kill();
});

function aNode(host: SimulatedHost): SimulatedNode {
  return new SimulatedNode({ host, clock, zookeeper, log: silentLogger, random: () => 0.5, initial: 'ready', coordinators: [...NAMES], parallel: 4 });
}

function holders(): string[] {
  return hosts.all().flatMap((host) => (host.addresses.size > 0 ? [host.name] : []));
}

/** Nodes where a client would be answered. */
function serving(): string[] {
  return hosts.all().flatMap((host) => (host.addresses.size > 0 && host.apiRuns ? [host.name] : []));
}

function nodeOf(name: string): SimulatedNode {
  const node = nodes.get(name);
  if (node === undefined) throw new Error(`no node ${name}`);
  return node;
}

/** What the daemon's unit does after kill -9: the release, and a new start a second later. */
function killDaemon(name: string): void {
  nodeOf(name).killAndRestart();
  hosts.get(name).setAddress(floatingAddress, false);
}

async function settled<T>(work: Promise<T>): Promise<T> {
  let done = false;
  void work.finally(() => (done = true)).catch(() => undefined);
  await clock.advanceUntil(() => done, 10_000, 'an operator call');
  return work;
}

async function wish(document: { node: string | null; avoid: string | null }, generation: number): Promise<void> {
  const found = await settled(operator.read('/spec/primary/cluster'));
  const value = { ...document, generation };
  await settled(found === undefined ? operator.create('/spec/primary/cluster', value) : operator.update('/spec/primary/cluster', value, found.version));
}

async function stateOf(name: string): Promise<unknown> {
  const entry = await settled(operator.read(`/status/node/${name}`));
  return (entry?.value as { coordinatorState?: string } | undefined)?.coordinatorState;
}

test('one of three becomes primary, says so, and the others are secondary', async () => {
  await clock.advance(1_000);
  expect(holders()).toEqual(['hv1']);
  expect(await Promise.all(NAMES.map(stateOf))).toEqual(['primary', 'secondary', 'secondary']);
  expect(hosts.all().map((host) => host.apiRuns)).toEqual([true, false, false]);
  expect(holdersMax).toBe(1);
});

describe('a planned hand-over', () => {
  test('to a node moves address and API there within a fifth of a second', async () => {
    await wish({ node: 'hv3', avoid: null }, 1);
    await clock.advanceUntil(() => serving()[0] === 'hv3', 10_000, 'hv3 serving');
    expect(gotMs - lostMs).toBeLessThan(200);
    await clock.advance(2_000);
    expect(holders()).toEqual(['hv3']);
    expect(await Promise.all(NAMES.map(stateOf))).toEqual(['secondary', 'secondary', 'primary']);
    expect(hosts.all().map((host) => host.apiRuns)).toEqual([false, false, true]);
    expect(holdersMax).toBe(1);
  });

  test('away from a node goes to any other', async () => {
    await wish({ node: null, avoid: 'hv1' }, 1);
    await clock.advanceUntil(() => serving().length === 1 && serving()[0] !== 'hv1', 10_000, 'another serving');
    expect(gotMs - lostMs).toBeLessThan(200);
    await clock.advance(2_000);
    expect(hosts.all().filter((host) => host.apiRuns).map((host) => host.name)).toEqual(holders());
    expect(holdersMax).toBe(1);
  });

  test('is done once: the node that was wished for then does not take the role back later', async () => {
    await wish({ node: 'hv2', avoid: null }, 1);
    await clock.advanceUntil(() => serving()[0] === 'hv2', 10_000, 'hv2 serving');
    await clock.advance(2_000);
    expect((await settled(operator.read('/spec/primary/cluster')))?.value).toEqual({ node: null, avoid: null, generation: 1 });
    nodeOf('hv2').kill();
    hosts.get('hv2').setAddress(floatingAddress, false);
    await clock.advance(SESSION_TIMEOUT_MS + 5_000);
    const successor = serving()[0];
    expect(successor).toMatch(/hv[13]/u);
    nodeOf('hv2').boot();
    await clock.advance(30_000);
    expect(serving()).toEqual([successor]);
  });

  test('to a node that dies on the way leaves the holder in place', async () => {
    await wish({ node: 'hv3', avoid: null }, 1);
    nodeOf('hv3').kill();
    await clock.advance(SESSION_TIMEOUT_MS + 20_000);
    expect(serving()).toHaveLength(1);
    expect(serving()).not.toContain('hv3');
    expect(holdersMax).toBe(1);
  });

  test('precedes the end of a daemon that is told to stop', async () => {
    const stopped = nodeOf('hv1').terminate();
    await settled(stopped);
    await clock.advance(1_000);
    expect(serving()[0]).toMatch(/hv[23]/u);
    expect(gotMs - lostMs).toBeLessThan(200);
    expect(await stateOf('hv1')).toBe('secondary');
    expect(holdersMax).toBe(1);
  });
});

describe('a primary that is lost', () => {
  test('by kill -9 is replaced when its successor on the host removes its session', async () => {
    const atMs = clock.monotonicMs();
    killDaemon('hv1');
    await clock.advanceUntil(() => serving().length === 1, 10_000, 'a new primary');
    expect(clock.monotonicMs() - atMs).toBeLessThan(4_000);
    await clock.advance(10_000);
    expect(serving()).toHaveLength(1);
    expect(holdersMax).toBe(1);
  });

  test('for good is replaced within the session timeout plus two seconds', async () => {
    const atMs = clock.monotonicMs();
    nodeOf('hv1').kill();
    hosts.get('hv1').powerOff();
    await clock.advanceUntil(() => serving().length === 1, 20_000, 'a new primary');
    expect(clock.monotonicMs() - atMs).toBeLessThan(SESSION_TIMEOUT_MS + 2_000);
    expect(holdersMax).toBe(1);
  });

  test('by a cut network drops the address before anybody else has it', async () => {
    zookeeper.partition('hv1');
    await clock.advanceUntil(() => serving().includes('hv2') || serving().includes('hv3'), 20_000, 'a new primary');
    expect(holdersMax).toBe(1);
    expect(gotMs - lostMs).toBeGreaterThan(1_000);
    await clock.advance(1_000);
    expect(hosts.get('hv1').apiRuns).toBe(false);
    zookeeper.heal('hv1');
    await clock.advance(20_000);
    expect(serving()).toHaveLength(1);
    expect(holdersMax).toBe(1);
  });

  test('by an expired session gives way or starts anew, and never twice', async () => {
    zookeeper.expire('hv1');
    await clock.advance(20_000);
    expect(serving()).toHaveLength(1);
    expect(holdersMax).toBe(1);
    expect(hosts.all().filter((host) => host.apiRuns)).toHaveLength(1);
  });
});

test('a cut shorter than the limit changes nothing', async () => {
  await clock.advance(1_000);
  const before = gotMs;
  zookeeper.partition('hv1');
  await clock.advance(4_000);
  zookeeper.heal('hv1');
  await clock.advance(20_000);
  expect(serving()).toEqual(['hv1']);
  expect(gotMs).toBe(before);
});

test('an address and an API that are found without the lease are removed', async () => {
  hosts.get('hv2').setAddress(floatingAddress, true);
  hosts.get('hv2').apiRuns = true;
  await clock.advance(15_000);
  expect(holders()).toEqual(['hv1']);
  expect(hosts.get('hv2').apiRuns).toBe(false);
});
