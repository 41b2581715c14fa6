import { expect, test } from 'vitest';
import { nodeName } from '../../common/ids.ts';
import { silentLogger } from '../../common/log.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { PrimaryLease } from './primary-lease.ts';

const SESSION_TIMEOUT_MS = 6_000;

/** hv1 with the lease, in a cluster whose messages take so long each way from then on. */
async function aHolder(latencyMs: number) {
  const clock = new VirtualClock();
  let delayMs = 0;
  const zookeeper = new MemoryZooKeeper({ clock, latencyMs: () => delayMs });
  const store = new MemoryStore({ zookeeper, clock, name: 'hv1' });
  const lease = new PrimaryLease({ node: nodeName.parse('hv1'), instance: 'x', store, clock, log: silentLogger, sessionTimeoutMs: SESSION_TIMEOUT_MS });
  let lapses = 0;
  lease.onLapse(() => (lapses += 1));
  lease.start();
  const done = async (work: Promise<unknown>): Promise<void> => {
    let ended = false;
    void work.then(() => (ended = true));
    await clock.advanceUntil(() => ended, 60_000, 'the call has ended');
  };
  const pass = async (durationMs: number): Promise<void> => {
    let over = false;
    clock.after(durationMs, () => (over = true));
    await clock.advanceUntil(() => over, durationMs + 1, 'the time');
  };
  await done(store.start(new AbortController().signal));
  await done(lease.contend());
  delayMs = latencyMs;
  return { lease, store, zookeeper, pass, done, lapses: () => lapses };
}

test('a lease whose proofs come late, but within half of the session timeout, is not lost', async () => {
  const { lease, pass, lapses } = await aHolder(0.2 * SESSION_TIMEOUT_MS);
  await pass(10 * SESSION_TIMEOUT_MS);
  expect({ view: lease.view(), lapses: lapses() }).toEqual({ view: 'mine', lapses: 0 });
});

test('a lease whose proofs come later than they are good for is not relied on', async () => {
  const { lease, pass, lapses } = await aHolder(0.4 * SESSION_TIMEOUT_MS);
  await pass(2 * SESSION_TIMEOUT_MS);
  expect(lease.view()).toBe('unprovable');
  expect(lapses()).toBeGreaterThan(0);
});

test('a proof that was under way when the lease was given back proves nothing of the next one', async () => {
  const { lease, pass, done, lapses } = await aHolder(0.1 * SESSION_TIMEOUT_MS);
  await pass(0.3 * SESSION_TIMEOUT_MS);
  await done(lease.release());
  expect(lease.view()).toBe('not-mine');
  await pass(SESSION_TIMEOUT_MS);
  expect(lease.view()).toBe('not-mine');
  await done(lease.contend());
  await pass(SESSION_TIMEOUT_MS);
  expect({ view: lease.view(), lapses: lapses() }).toEqual({ view: 'mine', lapses: 0 });
});
