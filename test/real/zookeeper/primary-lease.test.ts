import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { nodeName } from '../../../common/ids.ts';
import { silentLogger } from '../../../common/log.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { PrimaryLease } from '../../../node-daemon/reconcilers/primary-lease.ts';
import { until } from '../../support/until.ts';
import { startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';
import { expireSession } from '../../support/zookeeper-session.ts';

const SESSION_TIMEOUT_MS = 6_000;
const PATH = '/lease/primary';

let ensemble: Ensemble;
const cleanups: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  ensemble = await startZooKeeper();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  ensemble.servers[0]?.resume();
});

afterAll(async () => {
  await ensemble.stop();
});

async function aContender(node: string, instance: string) {
  const store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: SESSION_TIMEOUT_MS, clock: systemClock, log: silentLogger });
  await store.start(new AbortController().signal);
  const lease = new PrimaryLease({ node: nodeName.parse(node), instance, store, clock: systemClock, log: silentLogger, sessionTimeoutMs: SESSION_TIMEOUT_MS });
  let lapses = 0;
  lease.onLapse(() => (lapses += 1));
  lease.start();
  cleanups.push(async () => {
    lease.stop();
    await store.stop();
  });
  return { store, lease, lapses: () => lapses };
}

test('a holder whose session expired knows it, and another takes the lease with a higher token', async () => {
  const one = await aContender('hv1', 'i1');
  const two = await aContender('hv2', 'i2');
  expect(await one.lease.contend()).toBe(true);
  expect(await two.lease.contend()).toBe(false);
  const token = (await two.store.read(PATH))?.createdZxid ?? 0;
  const session = one.store.session;
  if (session === undefined) throw new Error('no session');
  await expireSession(ensemble.servers[0]?.port ?? 0, session);
  await until(() => one.lease.view() !== 'mine' && one.lapses() > 0, SESSION_TIMEOUT_MS, 'the holder to learn it');
  await until(() => two.lease.contend(), 5_000, 'the other to hold it');
  await two.store.sync();
  expect((await two.store.read(PATH))?.createdZxid).toBeGreaterThan(token);
  await until(async () => one.store.state === 'connected' && !(await one.lease.contend()), 5_000, 'the loser to see it');
});

test('a daemon started again takes the lease of its dead predecessor at once, and nobody else does', async () => {
  const dead = await aContender('hv1', 'before');
  expect(await dead.lease.contend()).toBe(true);
  const other = await aContender('hv2', 'other');
  await other.lease.removePredecessor();
  expect(await other.lease.contend()).toBe(false);
  const again = await aContender('hv1', 'after');
  expect(await again.lease.contend()).toBe(false);
  await again.lease.removePredecessor();
  expect(await again.lease.contend()).toBe(true);
});

test('a holder that hears nothing of the ensemble stops to rely on the lease before its session can end', async () => {
  const { lease, lapses } = await aContender('hv1', 'i1');
  expect(await lease.contend()).toBe(true);
  ensemble.servers[0]?.pause();
  const beganMs = systemClock.monotonicMs();
  await until(() => lease.view() !== 'mine', SESSION_TIMEOUT_MS, 'the end of the proof');
  expect(systemClock.monotonicMs() - beganMs).toBeLessThan(SESSION_TIMEOUT_MS);
  await until(() => lapses() > 0, 1_000, 'the holder to be told');
  ensemble.servers[0]?.resume();
});
