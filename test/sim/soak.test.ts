import { describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { SimulatedCluster, seeded } from '../support/simulated-cluster.ts';
import { ACCIDENTS, AFTER_EXPIRY_MS, expiry, picker, REQUESTS, settles, soakPlan } from './soak-acts.ts';

/** SOAK_SEEDS asks for more, SOAK_FIRST for another range. */
const SEEDS = Number(process.env['SOAK_SEEDS'] ?? 20);
const FIRST = Number(process.env['SOAK_FIRST'] ?? 1);

/** Seeds that have found a bug (docs/bugs.md). */
const FOUND = [1_068];

const STEPS = 60;
const LIMIT_MS = 300_000;

async function soak(seed: number): Promise<void> {
  const random = seeded(seed * 7_919);
  const pick = picker(random);
  const cluster = new SimulatedCluster(soakPlan(seed, pick));
  await cluster.start();
  const api = await cluster.client('api');
  const other = await cluster.client('other');
  for (let step = 0; step < STEPS; step += 1) {
    const act = pick(random() < 0.65 ? REQUESTS : ACCIDENTS);
    const done = act(cluster, pick, api, other);
    done?.catch((error: unknown) => {
      if (!isAppError(error)) cluster.record.violate(`not an AppError: ${String(error)}`);
    });
    await cluster.advance((act === expiry ? AFTER_EXPIRY_MS : 0) + pick([0, 5, 50, 500, 3_000, 12_000]));
  }
  await settles(cluster, api, `seed ${seed}`);
  const names = cluster.record.all('vm').map((spec) => spec.name);
  expect(new Set(names).size, names.join()).toBe(names.length);
  expect(cluster.unsettled()).toEqual([]);
  const holders = cluster.hosts.all().filter((host) => host.addresses.size > 0);
  expect(holders, cluster.record.events.filter(({ event }) => ['address', 'lease', 'coordinator'].includes(event)).slice(-12).map((event) => JSON.stringify(event)).join('\n')).toHaveLength(1);
}

describe('random requests and accidents', () => {
  test.each([...Array.from({ length: SEEDS }, (_, index) => FIRST + index), ...FOUND])(
    'seed %i: no invariant is broken and everything settles',
    soak,
    LIMIT_MS,
  );
});
