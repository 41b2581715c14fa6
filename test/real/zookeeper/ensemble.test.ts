import { createConnection, createServer, type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import { silentLogger } from '../../../common/log.ts';
import { createMirror } from '../../../common/mirror/mirror.ts';
import type { SessionState, Store } from '../../../common/store/store.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { until } from '../../support/until.ts';
import { startZooKeeper, type Ensemble, type ZooKeeperServer } from '../../support/zookeeper-server.ts';

/** Faults of the servers of an ensemble of three. */
let ensemble: Ensemble;
const cleanups: (() => void | Promise<void>)[] = [];
let count = 0;
const never = new AbortController().signal;

beforeAll(async () => {
  ensemble = await startZooKeeper(3);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  for (const server of ensemble.servers) server.start();
  await Promise.all(ensemble.servers.map((server) => server.ready()));
});

afterAll(async () => {
  await ensemble.stop();
});

async function aStore(): Promise<{ store: ZooKeeperStore; states: SessionState[] }> {
  const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: 10_000, clock: systemClock, log: silentLogger });
  cleanups.push(() => store.stop());
  await store.start(never);
  const states: SessionState[] = [];
  store.listen({ session: (state) => states.push(state) });
  return { store, states };
}

async function serverOf(store: ZooKeeperStore): Promise<ZooKeeperServer> {
  const id = store.session?.id ?? 'none';
  for (const server of ensemble.servers) if ((await server.ask('cons')).includes(`sid=0x${id}`)) return server;
  throw new Error('no server has the session');
}

/** Counts a document up, one conditional write after the other, as a careful writer does; records the longest time between two. */
class Counter {
  readonly #store: Store;
  readonly #path: string;
  value = 0;
  longestGapMs = 0;
  failures: string[] = [];
  #stopped = false;

  constructor(store: Store, path: string) {
    this.#store = store;
    this.#path = path;
  }

  async run(): Promise<void> {
    await this.#store.create(this.#path, 0);
    let lastMs = systemClock.monotonicMs();
    while (!this.#stopped) {
      try {
        await this.#store.update(this.#path, this.value + 1, this.value);
        this.value += 1;
      } catch (error) {
        if (!isAppError(error, 'unknown-outcome', 'unavailable', 'conflict')) throw error;
        this.failures.push(error.code);
        await this.#find();
      }
      this.longestGapMs = Math.max(this.longestGapMs, systemClock.monotonicMs() - lastMs);
      lastMs = systemClock.monotonicMs();
    }
  }

  get isDone(): boolean {
    return this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #find(): Promise<void> {
    const found = await this.#store.read(this.#path).catch(() => undefined);
    if (found !== undefined) this.value = Number(found.value);
  }
}

/** Opens connections to a server of its own, one after the other. @returns whether each one carried its byte. */
async function openSocketsWhile(condition: () => boolean): Promise<boolean> {
  const echo = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const { port } = echo.address() as AddressInfo;
  let good = true;
  while (condition() && good) {
    good = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ host: '127.0.0.1', port });
      socket.setTimeout(3_000, () => socket.destroy());
      socket.on('connect', () => socket.write('x'));
      socket.on('data', () => {
        resolve(true);
        socket.destroy();
      });
      socket.on('error', () => socket.destroy());
      socket.on('close', () => resolve(false));
    });
  }
  echo.close();
  return good;
}

test.each([
  ['the leader', async () => ensemble.leader()],
  ['the server that the client is connected to', serverOf],
] as const)('%s is killed: the session, its ephemerals and every acknowledged write survive', async (_, choose) => {
  const { store, states } = await aStore();
  const { store: other } = await aStore();
  count += 1;
  const root = `/ensemble/${count}`;
  const ephemeral = await store.create(`${root}/ephemeral`, 1, { ephemeral: true });
  const counter = new Counter(store, `${root}/counter`);
  const counting = counter.run();
  await until(() => counter.value > 100, 10_000, 'the first writes');
  const sockets = openSocketsWhile(() => !counter.isDone);
  await (await choose(store)).kill();
  const valueThen = counter.value;
  await until(() => counter.value > valueThen + 100, 15_000, 'writes after the kill');
  counter.stop();
  await counting;
  console.info(`longest gap between two writes: ${Math.round(counter.longestGapMs)} ms; failures: ${counter.failures.join(' ') || 'none'}`);
  expect(states).not.toContain('expired');
  await other.sync();
  expect(await other.read(`${root}/counter`)).toMatchObject({ value: counter.value, version: counter.value });
  expect((await other.read(`${root}/ephemeral`))?.createdZxid).toBe(ephemeral.createdZxid);
  // Whoever opens a socket while the connection breaks must get one that works.
  expect(await sockets).toBe(true);
});

test('without a quorum calls fail within their limits and the mirror says that it is stale; with it everything goes on', async () => {
  const { store, states } = await aStore();
  const { store: writer } = await aStore();
  count += 1;
  const root = `/ensemble/${count}`;
  await writer.create(`${root}/a`, 1);
  const mirror = createMirror({ store, table: { thing: { root, schema: z.int() } } as const, kinds: ['thing'], clock: systemClock, log: silentLogger });
  cleanups.push(() => mirror.stop());
  await mirror.start(never);
  const leader = await ensemble.leader();
  const [victim] = ensemble.servers.filter((server) => server !== leader);
  await leader.kill();
  await victim?.kill();
  await until(() => store.state === 'suspended' && writer.state === 'suspended', 10_000, 'the loss of the quorum');
  const beganMs = systemClock.monotonicMs();
  await expect(writer.update(`${root}/a`, 2, 0)).rejects.toMatchObject({ code: 'unavailable' });
  expect(systemClock.monotonicMs() - beganMs).toBeLessThan(4_000);
  expect(mirror.staleForMs()).toBeGreaterThan(0);
  expect(mirror.get('thing', 'a')?.doc, 'what is known stays readable').toBe(1);
  leader.start();
  victim?.start();
  await until(() => store.state === 'connected' && writer.state === 'connected', 20_000, 'the quorum');
  await writer.update(`${root}/a`, 2, 0);
  await mirror.waitFor('thing', 'a', 1, { timeoutMs: 10_000 });
  await until(() => mirror.staleForMs() === 0, 5_000, 'a fresh mirror');
  expect(states).not.toContain('expired');
});
