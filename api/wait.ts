import { withTimeout, type Clock } from '../common/clock.ts';
import type { ApiMirroredKind } from '../common/schema/resources.ts';
import type { ApiMirror } from './cluster.ts';

/** A flush of many VMs with much memory takes minutes; clients with less patience leave earlier. */
const WAIT_MAX_MS = 600_000;

export interface ChangeWait {
  mirror: ApiMirror;
  clock: Clock;
  /** What is waited for, as it stands in the error. */
  what: string;
  /** Kinds of documents that the answer depends on. */
  kinds: readonly ApiMirroredKind[];
  signal: AbortSignal;
}

/**
 * The first answer that is not undefined; looked for now and after each change of the kinds that matter.
 * @throws AppError 'timeout' after WAIT_MAX_MS, 'cancelled' when the client has gone, and whatever `answer` throws.
 */
export function waitForChange<T>(wait: ChangeWait, answer: () => T | undefined): Promise<T> {
  return withTimeout(wait.clock, { timeoutMs: WAIT_MAX_MS, what: wait.what, signal: wait.signal }, (signal) => firstAnswer(wait, answer, signal));
}

async function firstAnswer<T>(wait: ChangeWait, answer: () => T | undefined, signal: AbortSignal): Promise<T> {
  const now = answer();
  if (now !== undefined) return now;
  return new Promise((resolve, reject) => {
    const look = (kind: ApiMirroredKind): void => {
      if (!wait.kinds.includes(kind)) return;
      try {
        const found = answer();
        if (found === undefined) return;
        resolve(found);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
      unlisten();
    };
    const unlisten = wait.mirror.onChange(look);
    signal.addEventListener('abort', unlisten, { once: true });
  });
}
