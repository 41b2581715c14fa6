import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { LogTail, unpackLines } from '../../common/log-tail.ts';
import { nodeLog } from '../../common/schema/node.ts';
import { pathOf } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aNodeName } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { NodeLogReporter } from './node-log.ts';

const HV1 = aNodeName('hv1');
const PATH = pathOf('node-log', HV1);
const LINES_MAX = 2_000;

interface Scene {
  clock: VirtualClock;
  zookeeper: MemoryZooKeeper;
  store: MemoryStore;
  tail: LogTail;
  reporter: NodeLogReporter;
  /** The lines of the document, with its version. */
  kept: () => Promise<{ lines: readonly string[]; version: number } | undefined>;
}

async function aScene(zookeeper?: MemoryZooKeeper, clock = new VirtualClock()): Promise<Scene> {
  zookeeper ??= new MemoryZooKeeper({ clock });
  const store = new MemoryStore({ zookeeper, clock, name: 'hv1' });
  await store.start(new AbortController().signal);
  const tail = new LogTail(LINES_MAX);
  const reporter = new NodeLogReporter({ node: HV1, store, clock, tail });
  reporter.start();
  const kept: Scene['kept'] = async () => {
    const found = await store.read(PATH);
    return found === undefined ? undefined : { lines: unpackLines(nodeLog.parse(found.value).packed), version: found.version };
  };
  return { clock, zookeeper, store, tail, reporter, kept };
}

test('lines that come together are written together, and without new ones nothing is written', async () => {
  const { clock, tail, kept } = await aScene();
  await clock.advance(10_000);
  expect(await kept()).toBeUndefined();
  for (const line of ['one', 'two', 'three']) tail.take(line);
  await clock.advance(1_000);
  expect(await kept()).toEqual({ lines: ['one', 'two', 'three'], version: 0 });
  await clock.advance(60_000);
  expect(await kept()).toMatchObject({ version: 0 });
  expect(clock.timerCount, 'no timer waits for nothing').toBe(0);
});

test('a daemon that logs all the time writes every two seconds while its log is short, and less often when it is long', async () => {
  const { clock, store, tail, kept } = await aScene();
  const writesOf = async (line: string): Promise<number> => {
    const before = (await kept())?.version ?? -1;
    for (let tick = 0; tick < 600; tick += 1) {
      tail.take(line);
      await clock.advance(100);
    }
    return ((await kept())?.version ?? -1) - before;
  };
  expect(await writesOf('short')).toBe(30);
  for (let count = 0; count < LINES_MAX; count += 1) tail.take(createHash('sha256').update(String(count)).digest('hex'));
  const writes = await writesOf('short');
  const document = (await store.read(PATH))?.value as { packed: string };
  expect(document.packed.length, 'what packing cannot make much smaller').toBeGreaterThan(60_000);
  expect(writes).toBeGreaterThanOrEqual(5);
  expect(writes, '10 kB a second').toBeLessThanOrEqual(10);
});

test('a daemon that starts again goes on after the lines of the last one', async () => {
  const first = await aScene();
  first.tail.take('first');
  await first.clock.advance(1_000);
  first.reporter.abandon();
  first.tail.take('never seen');
  await first.clock.advance(60_000);
  const second = await aScene(first.zookeeper, first.clock);
  second.tail.take('second');
  await second.clock.advance(1_000);
  second.tail.take('third');
  await second.clock.advance(5_000);
  expect(await second.kept()).toEqual({ lines: ['first', 'second', 'third'], version: 2 });
});

test.each([{ lines: 5 }, { packed: 'AAAA' }, null])('%j is no log and is replaced', async (document) => {
  const { clock, store, tail, kept } = await aScene();
  await store.create(PATH, document);
  tail.take('one');
  await clock.advance(1_000);
  expect((await kept())?.lines).toEqual(['one']);
});

test('a daemon that ends writes its last lines first, once', async () => {
  const { clock, tail, reporter, kept } = await aScene();
  tail.take('one');
  await clock.advance(1_000);
  tail.take('two');
  await reporter.stop();
  tail.take('three');
  await reporter.stop();
  expect(await kept()).toEqual({ lines: ['one', 'two'], version: 1 });
});

test.each(['done', 'not-done'] as const)('a lost answer (%s) loses no line and repeats none', async (outcome) => {
  const { clock, zookeeper, tail, kept } = await aScene();
  tail.take('one');
  zookeeper.loseReply('hv1', outcome);
  await clock.advance(20_000);
  tail.take('two');
  zookeeper.loseReply('hv1', outcome);
  await clock.advance(20_000);
  expect((await kept())?.lines).toEqual(['one', 'two']);
});

test('while the store is away lines are kept and the end is not delayed, and afterwards they are written', async () => {
  const { clock, zookeeper, tail, reporter, kept } = await aScene();
  zookeeper.partition('hv1');
  tail.take('one');
  await clock.advance(30_000);
  tail.take('two');
  zookeeper.heal('hv1');
  await clock.advance(30_000);
  expect((await kept())?.lines).toEqual(['one', 'two']);
  zookeeper.partition('hv1');
  await clock.advance(5_000);
  tail.take('three');
  let ended = false;
  void reporter.stop().then(() => (ended = true));
  await clock.settle();
  expect(ended).toBe(true);
});
