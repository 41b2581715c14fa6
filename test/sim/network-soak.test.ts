import { randomInt } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { silentLogger } from '../../common/log.ts';
import { NetworkPartSweep } from '../../common/operations/network-part-sweep.ts';
import { SimulatedCluster, seeded } from '../support/simulated-cluster.ts';
import { networkRemains } from '../support/simulated-serving-faults.ts';
import { BRIDGED, MANAGED, NETWORK_ACCIDENTS, NETWORK_REQUESTS, networksOf, settingsOf } from './network-soak-acts.ts';
import { ACCIDENTS, AFTER_EXPIRY_MS, expiry, picker, REQUESTS, settles, soakPlan } from './soak-acts.ts';

/** SOAK_SEEDS asks for more, SOAK_FIRST for another range. */
const SEEDS = Number(process.env['SOAK_SEEDS'] ?? 10);
const FIRST = Number(process.env['SOAK_FIRST'] ?? 1);

/** Not the same in each run: the test's name says which it was, and SOAK_FIRST plays it again. */
const CHANCES = process.env['SOAK_FIRST'] === undefined ? 3 : 0;
const CHANCE_MAX = 1_000_000;

const STEPS = 60;
const LIMIT_MS = 300_000;

async function soak(seed: number): Promise<void> {
  const random = seeded(seed * 7_919);
  const pick = picker(random);
  const networks = [...MANAGED.map((vni) => ({ vni, ...settingsOf(vni) })), { vni: BRIDGED, type: 'bridged' }];
  const cluster = new SimulatedCluster(soakPlan(seed, pick, { networks, networksOf: () => networksOf(pick).filter((vni) => vni <= BRIDGED) }));
  await cluster.start();
  const api = await cluster.client('api');
  const other = await cluster.client('other');
  for (let step = 0; step < STEPS; step += 1) {
    const [requests, accidents] = random() < 0.6 ? [NETWORK_REQUESTS, NETWORK_ACCIDENTS] : [REQUESTS, ACCIDENTS];
    const act = pick(random() < 0.65 ? requests : accidents);
    const done = act(cluster, pick, api, other);
    done?.catch((error: unknown) => {
      if (!isAppError(error)) cluster.record.violate(`not an AppError: ${String(error)}`);
    });
    await cluster.advance((act === expiry ? AFTER_EXPIRY_MS : 0) + pick([0, 5, 50, 500, 3_000, 12_000]));
  }
  await settles(cluster, api, `seed ${seed}`);
  expect(cluster.unsettled()).toEqual([]);
  // As the API does every few minutes.
  const sweep = new NetworkPartSweep({ context: api.context, log: silentLogger, intervalMs: 3_600_000 });
  await cluster.done(sweep.sweep(new AbortController().signal));
  expect(networkRemains(cluster.record, cluster.hosts.all())).toEqual([]);
}

describe('random requests and accidents with networks', () => {
  const chances = Array.from({ length: CHANCES }, () => randomInt(CHANCE_MAX));
  test.each([...Array.from({ length: SEEDS }, (_, index) => FIRST + index), ...chances])('seed %i: no invariant is broken, networks are where their VMs are, and removed ones leave nothing', soak, LIMIT_MS);
});
