import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import type { SessionState } from '../../../common/store/store.ts';
import { ZooKeeperClient } from '../../../common/store/zookeeper-client.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { startChoppingProxy } from '../../support/chopping-proxy.ts';
import { heapBytes } from '../../support/heap.ts';
import { until } from '../../support/until.ts';
import { startZooKeeper, type Ensemble, type ZooKeeperServer } from '../../support/zookeeper-server.ts';

/** Faults of one connection and of one server. */
let ensemble: Ensemble;
let server: ZooKeeperServer;
const cleanups: (() => void | Promise<void>)[] = [];
let count = 0;

beforeAll(async () => {
  ensemble = await startZooKeeper();
  const [only] = ensemble.servers;
  if (only === undefined) throw new Error('no server');
  server = only;
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  await ensemble.stop();
});

async function aStore(options: { hosts?: readonly string[]; sessionTimeoutMs?: number; callTimeoutMs?: number } = {}) {
  const { hosts = ensemble.hosts, sessionTimeoutMs = 6_000, ...rest } = options;
  const store = new ZooKeeperStore({ hosts, sessionTimeoutMs, clock: systemClock, log: silentLogger, ...rest });
  cleanups.push(() => store.stop());
  await store.start(new AbortController().signal);
  const states: SessionState[] = [];
  store.listen({ session: (state) => states.push(state) });
  return { store, states };
}

function aPath(): string {
  count += 1;
  return `/connection/${count}`;
}

test('a large reply that arrives in hundreds of pieces is read, and the session goes on', async () => {
  const proxy = await startChoppingProxy({ port: server.port, pieceBytes: 1_448 });
  cleanups.push(() => proxy.stop());
  const { store, states } = await aStore({ hosts: [proxy.host] });
  const path = aPath();
  const value = 'x'.repeat(400_000);
  const created = await store.create(path, value, { ephemeral: true });
  expect((await store.read(path))?.value).toBe(value);
  expect(proxy.pieces()).toBeGreaterThan(270);
  expect(states).toEqual([]);
  expect((await store.read(path))?.createdZxid).toBe(created.createdZxid);
});

test('a value beyond the limit of the server would cost every call in flight, which is why the store refuses it', async () => {
  const events: string[] = [];
  const client = new ZooKeeperClient({
    hosts: ensemble.hosts,
    sessionTimeoutMs: 6_000,
    callTimeoutMs: 10_000,
    clock: systemClock,
    events: {
      connected: () => events.push('connected'),
      connecting: () => events.push('connecting'),
      closed: () => events.push('closed'),
      document: () => undefined,
      children: () => undefined,
    },
  });
  cleanups.push(() => client.close());
  client.open();
  await until(() => events.includes('connected'), 5_000, 'the connection');
  await expect(client.create(`/large-${count}`, 'x'.repeat(1_200_000), false)).rejects.toMatchObject({ code: 'unknown-outcome' });
  await until(() => events.filter((event) => event === 'connected').length === 2, 10_000, 'the reconnection');
  expect(events).not.toContain('closed');
  const { store, states } = await aStore();
  await expect(store.create(aPath(), 'x'.repeat(1_200_000))).rejects.toMatchObject({ code: 'too-large' });
  expect(states).toEqual([]);
});

test('an event loop that is blocked for two seconds loses neither the session nor its ephemerals', async () => {
  const { store, states } = await aStore({ sessionTimeoutMs: 10_000 });
  const path = aPath();
  const created = await store.create(path, 1, { ephemeral: true });
  const endMs = systemClock.monotonicMs() + 2_000;
  while (systemClock.monotonicMs() < endMs);
  await store.sync();
  expect((await store.read(path))?.createdZxid).toBe(created.createdZxid);
  expect(states).not.toContain('expired');
});

test('a hung server fails a read as unavailable and a write as unknown within the limit, and the session survives', async () => {
  const { store, states } = await aStore({ sessionTimeoutMs: 6_000, callTimeoutMs: 800 });
  const path = aPath();
  const created = await store.create(path, 1, { ephemeral: true });
  server.pause();
  cleanups.push(() => server.resume());
  const beganMs = systemClock.monotonicMs();
  const [read, write] = await Promise.allSettled([store.read(path), store.update(path, 2, 0)]);
  expect(systemClock.monotonicMs() - beganMs).toBeLessThan(2_000);
  expect(read).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
  expect(write).toMatchObject({ status: 'rejected', reason: { code: 'unknown-outcome' } });
  server.resume();
  await until(async () => store.state === 'connected' && (await store.read(path).catch(() => undefined)) !== undefined, 10_000, 'the answer');
  const found = await store.read(path);
  expect(found).toMatchObject({ createdZxid: created.createdZxid });
  expect([0, 1]).toContain(found?.version);
  expect(states).not.toContain('expired');
});

test('a session that the server let expire is told, and replaced by a new one that works', async () => {
  const { store, states } = await aStore({ sessionTimeoutMs: 1_000 });
  const path = aPath();
  await store.create(path, 1, { ephemeral: true });
  const before = store.session?.id;
  await server.kill();
  await until(() => store.state === 'suspended', 5_000, 'the loss of the connection');
  const waiting = store.read(path);
  await expect(waiting).rejects.toMatchObject({ code: 'unavailable' });
  server.start();
  cleanups.push(() => server.ready());
  await until(() => states.includes('connected'), 20_000, 'a connection');
  // A server that starts gives every session a new timeout; ours is back in time, or has a successor.
  const found = await store.read(path);
  const expired = states.includes('expired');
  expect(found === undefined).toBe(expired);
  expect(store.session?.id === before).toBe(!expired);
});

test('20,000 watches that were set and fired leave no listener and no memory behind', async () => {
  const { store: writer } = await aStore();
  const { store } = await aStore();
  const path = aPath();
  await writer.create(path, 0);
  let fired = 0;
  store.listen({ document: () => (fired += 1) });
  const cycle = async (times: number, from: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) {
      const before = fired;
      await Promise.all(Array.from({ length: 50 }, () => store.read(path, { watch: true })));
      await writer.update(path, n, from + n);
      await until(() => fired > before, 5_000, 'the watch');
    }
  };
  await cycle(50, 0);
  const beforeBytes = heapBytes();
  const firedBefore = fired;
  await cycle(400, 50);
  const grownBytes = heapBytes() - beforeBytes;
  expect(fired - firedBefore, 'fifty watches of one path are told once').toBe(400);
  // The package's own watcher functions would have kept about 1.1 kB for each of the 20,000.
  expect(grownBytes).toBeLessThan(4_000_000);
});

test('a child process that lives on holds no connection of ours, so a lost one can be replaced', async () => {
  await aStore();
  const child = spawn('/bin/cat', { stdio: ['pipe', 'pipe', 'ignore'] });
  cleanups.push(() => void child.kill('SIGKILL'));
  // Its answer says that it has loaded its libraries; before, descriptors come and go.
  child.stdin.write('ready');
  await once(child.stdout, 'data');
  const folder = `/proc/${String(child.pid)}/fd`;
  const inherited = readdirSync(folder).filter((fd) => Number(fd) > 2);
  const targets = inherited.map((fd) => readlinkSync(`${folder}/${fd}`));
  expect(targets.filter((target) => target.startsWith('socket:'))).toEqual([]);
});
