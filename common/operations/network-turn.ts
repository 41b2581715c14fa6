import { delay, type Clock } from '../clock.ts';
import { AppError, isAppError } from '../errors.ts';
import { randomToken } from '../ids.ts';
import { pathOf } from '../schema/resources.ts';
import type { Store } from '../store/store.ts';
import { readResource, removeResource } from './update-resource.ts';

/** Who waits looks this often, for so long: longer than the session of a holder that died. */
const LOOK_AGAIN_MS = 100;
const WAIT_LIMIT_MS = 20_000;

/** A turn that cannot be given back now is tried again; after this it has ended with the session. */
const RETRY_MS = 1_000;
const RETRIES_MAX = 30;

const HOLDER_BYTES = 8;

interface Context {
  readonly store: Store;
  readonly clock: Clock;
}

/**
 * Runs `work` while no other process has the turn of this network's VNI. A process that dies gives its turn back with its session.
 * @throws AppError 'conflict' when others have it for too long, and what `work` throws.
 */
export async function takeNetworkTurn<T>(context: Context, id: string, work: () => Promise<T>): Promise<T> {
  const holder = randomToken(HOLDER_BYTES);
  const sinceMs = context.clock.monotonicMs();
  while (!(await isTaken(context, id, holder))) {
    if (context.clock.monotonicMs() - sinceMs > WAIT_LIMIT_MS) throw new AppError('conflict', 'another change of this network is under way', { vni: id });
    await delay(context.clock, LOOK_AGAIN_MS);
  }
  try {
    return await work();
  } finally {
    await giveBack(context, id);
  }
}

async function isTaken({ store }: Context, id: string, holder: string): Promise<boolean> {
  try {
    await store.create(pathOf('network-turn', id), { holder }, { ephemeral: true });
    return true;
  } catch (error) {
    if (!isAppError(error, 'exists', 'unknown-outcome')) throw error;
    return (await readResource({ store }, 'network-turn', id))?.doc.holder === holder;
  }
}

async function giveBack({ store, clock }: Context, id: string): Promise<void> {
  for (let round = 1; ; round += 1) {
    try {
      return await removeResource({ store }, { kind: 'network-turn', id }, 0);
    } catch (error) {
      if (!isAppError(error, 'unavailable', 'unknown-outcome', 'timeout') || round === RETRIES_MAX) throw error;
      await delay(clock, RETRY_MS);
    }
  }
}
