import { systemClock } from '../../common/clock.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror } from '../../common/mirror/mirror.ts';
import { MIRRORED, RESOURCES } from '../../common/schema/resources.ts';
import { ZooKeeperStore } from '../../common/store/zookeeper-store.ts';
import type { SceneBench } from './bench.ts';
import { figure, median } from './figure.ts';

const BAR_S = 3;
const SESSION_TIMEOUT_MS = 30_000;
const ROUNDS = 3;

/** From an open session to a mirror that holds everything, with a watch on each document. */
export const mirrorLoad: SceneBench = {
  name: 'mirror-load',
  vmCounts: [10_000],
  async measure({ vmCount, zookeeper }) {
    const elapsedMs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) elapsedMs.push(await load(zookeeper, vmCount));
    return [figure(`mirror-load-${vmCount}`, median(elapsedMs) / 1_000, 's', BAR_S)];
  },
};

async function load(zookeeper: string, vmCount: number): Promise<number> {
  const never = new AbortController().signal;
  const store = new ZooKeeperStore({ hosts: [zookeeper], sessionTimeoutMs: SESSION_TIMEOUT_MS, clock: systemClock, log: silentLogger });
  await store.start(never);
  const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock: systemClock, log: silentLogger });
  try {
    const beganMs = systemClock.monotonicMs();
    await mirror.start(never);
    const elapsedMs = systemClock.monotonicMs() - beganMs;
    if (mirror.size('vm') !== vmCount || mirror.size('vm-status') !== vmCount || mirror.invalid > 0) throw new Error('the mirror does not hold every VM');
    return elapsedMs;
  } finally {
    await mirror.stop();
    await store.stop();
  }
}
