import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { MemoryStore } from './memory-store.ts';
import { MemoryZooKeeper } from './memory-zookeeper.ts';
import type { SessionState } from './store.ts';

const never = new AbortController().signal;

async function anEnsemble(latencyMs: () => number = () => 0) {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock, latencyMs, sessionTimeoutMs: 10_000 });
  const open = async (name: string): Promise<MemoryStore> => {
    const store = new MemoryStore({ zookeeper, clock, name });
    await store.start(never);
    return store;
  };
  return { clock, zookeeper, open };
}

test('a partition shorter than the session timeout keeps the ephemerals and loses the watches', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const one = await open('one');
  const two = await open('two');
  await one.create('/e', 1, { ephemeral: true });
  await two.create('/doc', 0);
  await one.read('/doc', { watch: true });
  const seen: string[] = [];
  one.listen({ document: (path) => seen.push(path), session: (state) => seen.push(state) });
  zookeeper.partition('one');
  await two.update('/doc', 1, 0);
  await clock.advance(9_999);
  zookeeper.heal('one');
  await clock.advance(60_000);
  await two.update('/doc', 2, 1);
  await clock.settle();
  expect(seen).toEqual(['suspended', 'connected']);
  expect(await two.read('/e')).toBeDefined();
});

test('a longer partition ends the session at the ensemble, and the client learns it when it is back', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const one = await open('one');
  const two = await open('two');
  await one.create('/e', 1, { ephemeral: true });
  const states: SessionState[] = [];
  one.listen({ session: (state) => states.push(state) });
  zookeeper.partition('one');
  await clock.advance(10_001);
  expect(await two.read('/e')).toBeUndefined();
  expect(states).toEqual(['suspended']);
  zookeeper.heal('one');
  expect(states).toEqual(['suspended', 'expired', 'connected']);
});

test('a lost reply leaves the outcome unknown, done or not done as told', async () => {
  const { zookeeper, open } = await anEnsemble();
  const one = await open('one');
  zookeeper.loseReply('one', 'done');
  await expect(one.create('/done', 1)).rejects.toMatchObject({ code: 'unknown-outcome' });
  zookeeper.loseReply('one', 'not-done');
  await expect(one.create('/not-done', 1)).rejects.toMatchObject({ code: 'unknown-outcome' });
  expect(await one.read('/done')).toBeDefined();
  expect(await one.read('/not-done')).toBeUndefined();
});

test('a write under way when the connection breaks is unknown, a read is unavailable', async () => {
  const { clock, zookeeper, open } = await anEnsemble(() => 10);
  const one = await open('one');
  const write = expect(one.create('/doc', 1)).rejects.toMatchObject({ code: 'unknown-outcome' });
  const read = expect(one.read('/doc')).rejects.toMatchObject({ code: 'unavailable' });
  await clock.advance(5);
  zookeeper.partition('one');
  await Promise.all([write, read]);
});

test('a call waits for the connection for a while, and succeeds when it comes back', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const one = await open('one');
  zookeeper.partition('one');
  const late = one.create('/late', 1);
  await clock.advance(1_000);
  zookeeper.heal('one');
  expect((await late).version).toBe(0);
  zookeeper.partition('one');
  const never = expect(one.create('/never', 1)).rejects.toMatchObject({ code: 'unavailable' });
  await clock.advance(2_001);
  await never;
});

test('the ephemerals of a crashed process stay until its session times out, also when it is started again', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const one = await open('one');
  const two = await open('two');
  await one.create('/e', 1, { ephemeral: true });
  zookeeper.crash('one');
  const again = await open('one');
  await clock.advance(9_000);
  expect(await two.read('/e')).toBeDefined();
  await clock.advance(1_001);
  expect(await two.read('/e')).toBeUndefined();
  expect(again.state).toBe('connected');
});

test('no session expires while the ensemble has no quorum', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const one = await open('one');
  await one.create('/e', 1, { ephemeral: true });
  zookeeper.startOutage();
  expect(one.state).toBe('suspended');
  await clock.advance(600_000);
  zookeeper.endOutage();
  expect(one.state).toBe('connected');
  expect(await one.read('/e')).toBeDefined();
  await clock.advance(60_000);
  expect(await one.read('/e')).toBeDefined();
});

test('a store that starts while it is cut off is connected when the partition ends', async () => {
  const { clock, zookeeper, open } = await anEnsemble();
  const first = await open('one');
  await first.stop();
  zookeeper.partition('one');
  let started = false;
  const starting = open('one').then(() => (started = true));
  await clock.advance(60_000);
  expect(started).toBe(false);
  zookeeper.heal('one');
  await starting;
});

test('messages of one connection never overtake each other, however uneven the latency', async () => {
  const waits = [50, 1, 30, 0, 20, 2];
  let index = 0;
  const { clock, open } = await anEnsemble(() => waits[index++ % waits.length] ?? 0);
  const one = await open('one');
  const order: number[] = [];
  const writes = Array.from({ length: 20 }, (_, n) => one.create(`/d${n}`, n).then(() => order.push(n)));
  await clock.advance(10_000);
  await Promise.all(writes);
  expect(order).toEqual(Array.from({ length: 20 }, (_, n) => n));
});
