import { delay } from '../clock.ts';
import { isAppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { SweepLoop } from '../sweep-loop.ts';
import type { OperationContext } from './context.ts';
import { NETWORK_PARTS, removeNetworkParts } from './network-part.ts';

export interface NetworkPartSweepOptions {
  readonly context: Pick<OperationContext, 'store' | 'mirror' | 'clock'>;
  readonly log: Logger;
  /** Time between two sweeps, in milliseconds. */
  readonly intervalMs: number;
  /** How long a network must be missing before its parts go, in milliseconds. */
  readonly settleMs?: number;
}

/** Longer than a removal takes that is under way. */
const SETTLE_DEFAULT_MS = 60_000;

/** Removes rules, reservations and leases of networks that do not exist any more, which a removal that was cut off has left. */
export class NetworkPartSweep {
  readonly #options: NetworkPartSweepOptions;
  readonly #loop: SweepLoop;

  constructor(options: NetworkPartSweepOptions) {
    this.#options = options;
    const { context, log, intervalMs } = options;
    this.#loop = new SweepLoop({ clock: context.clock, log, intervalMs, name: 'parts of networks', sweep: (signal) => this.sweep(signal) });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One sweep. Does nothing while the mirror is stale. @returns how many documents went. */
  async sweep(signal: AbortSignal): Promise<number> {
    const { context, settleMs } = this.#options;
    const before = this.#orphans();
    if (before.size === 0) return 0;
    await delay(context.clock, settleMs ?? SETTLE_DEFAULT_MS, signal);
    let removed = 0;
    for (const id of this.#orphans()) {
      if (signal.aborted) return removed;
      if (before.has(id)) removed += await this.#remove(id);
    }
    return removed;
  }

  /** VNIs that have parts and no network. */
  #orphans(): Set<string> {
    const { mirror } = this.#options.context;
    if (mirror.staleForMs() > 0) return new Set();
    const networks = mirror.all('network');
    return new Set(NETWORK_PARTS.flatMap((kind) => [...mirror.all(kind).keys()]).filter((id) => !networks.has(id)));
  }

  async #remove(id: string): Promise<number> {
    const { context, log } = this.#options;
    try {
      const removed = await removeNetworkParts(context, id);
      if (removed > 0) log.info({ vni: id, documents: removed }, 'what a removed network had left was removed');
      return removed;
    } catch (error) {
      // Somebody is at work there: the next sweep looks again.
      if (!isAppError(error, 'conflict')) throw error;
      return 0;
    }
  }
}
