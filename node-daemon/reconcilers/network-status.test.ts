import { expect, test } from 'vitest';
import { silentLogger } from '../../common/log.ts';
import { pathOf } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aNodeName } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { NetworkStatusReporter, type LinksState } from './network-status.ts';

const ME = aNodeName('hv1');
const UP: LinksState = { version: 3, mtu: 1_500, error: null, unfiltered: false };

async function aReporter(given: { parts?: readonly ('links' | 'firewall')[]; zookeeper?: MemoryZooKeeper; clock?: VirtualClock } = {}) {
  const clock = given.clock ?? new VirtualClock();
  const zookeeper = given.zookeeper ?? new MemoryZooKeeper({ clock, latencyMs: () => 1 });
  const store = new MemoryStore({ zookeeper, clock, name: `hv1-${clock.monotonicMs()}` });
  const reporter = new NetworkStatusReporter({ me: ME, store, clock, log: silentLogger, parts: given.parts ?? ['links', 'firewall'] });
  const started = store.start(new AbortController().signal).then(() => reporter.start());
  await clock.advance(50);
  await started;
  const held = (): { version: number; networks: unknown } | undefined => {
    const entry = zookeeper.peek(pathOf('network-status', ME));
    return entry === undefined ? undefined : { version: entry.version, networks: (JSON.parse(entry.text) as { networks: unknown }).networks };
  };
  return { clock, zookeeper, reporter, held };
}

test('what links and packet filter report is one line: applied as far as both, with the errors of both', async () => {
  const { clock, reporter, held } = await aReporter();
  reporter.setLinks(7, UP);
  expect(reporter.get(7)).toEqual({ vni: 7, appliedVersion: null, appliedAclVersion: null, mtu: 1_500, error: null });
  reporter.setFirewall(7, { version: 2, aclVersion: 5, error: 'a rule is refused' });
  await clock.advance(50);
  expect(held()?.networks).toEqual([{ vni: 7, appliedVersion: 2, appliedAclVersion: 5, mtu: 1_500, error: 'a rule is refused' }]);
  reporter.setLinks(7, { ...UP, mtu: null, version: null, error: 'no device' });
  expect(reporter.get(7)).toMatchObject({ appliedVersion: null, mtu: null, error: 'no device; a rule is refused' });
});

test('a bridged network is applied when its links are', async () => {
  const { reporter } = await aReporter();
  reporter.setLinks(100, { ...UP, unfiltered: true });
  expect(reporter.get(100)).toMatchObject({ appliedVersion: 3, error: null });
});

test('a hundred reports of one moment are two writes at most, and the last word is written', async () => {
  const { clock, reporter, held } = await aReporter({ parts: ['links'] });
  const before = held()?.version ?? 0;
  for (let vni = 1; vni <= 100; vni += 1) reporter.setLinks(vni, UP);
  reporter.setLinks(100, { ...UP, mtu: 1_400 });
  await clock.advance(100);
  expect(held()?.networks).toHaveLength(100);
  expect((held()?.version ?? 0) - before).toBeLessThanOrEqual(2);
  expect(JSON.stringify(held()?.networks)).toContain('1400');
});

test('a daemon that starts again and finds the same writes nothing, and knows nothing before it has looked', async () => {
  const first = await aReporter({ parts: ['links'] });
  first.reporter.setLinks(7, UP);
  first.reporter.setLinks(8, UP);
  await first.clock.advance(50);
  const version = first.held()?.version;
  await first.reporter.stop();
  const second = await aReporter({ parts: ['links'], zookeeper: first.zookeeper, clock: first.clock });
  expect(second.reporter.get(7)).toBeUndefined();
  expect(second.reporter.vnis()).toEqual([7, 8]);
  second.reporter.setLinks(7, UP);
  await second.clock.advance(50);
  expect(second.held()?.version).toBe(version);
  second.reporter.drop(8);
  await second.clock.advance(50);
  expect(second.held()?.networks).toMatchObject([{ vni: 7 }]);
});

test('a report while the store is away is written when it is back', async () => {
  const { clock, zookeeper, reporter, held } = await aReporter({ parts: ['links'] });
  zookeeper.startOutage();
  reporter.setLinks(7, UP);
  await clock.advance(60_000);
  zookeeper.endOutage();
  await clock.advance(60_000);
  expect(held()?.networks).toMatchObject([{ vni: 7, appliedVersion: 3 }]);
});

test('a lost answer is no reason to write for ever', async () => {
  const { clock, zookeeper, reporter, held } = await aReporter({ parts: ['links'] });
  zookeeper.loseReply('hv1-0', 'done');
  reporter.setLinks(7, UP);
  await clock.advance(30_000);
  const version = held()?.version;
  expect(held()?.networks).toMatchObject([{ vni: 7 }]);
  await clock.advance(60_000);
  expect(held()?.version).toBe(version);
});

test('listeners are told of each change and of no repetition', async () => {
  const { reporter } = await aReporter({ parts: ['links'] });
  const told: number[] = [];
  const unlisten = reporter.onChange((vni) => told.push(vni));
  reporter.setLinks(7, UP);
  reporter.setLinks(7, { ...UP });
  reporter.drop(7);
  reporter.drop(7);
  unlisten();
  reporter.setLinks(7, UP);
  expect(told).toEqual([7, 7]);
});
