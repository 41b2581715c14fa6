import { isDeepStrictEqual } from 'node:util';
import { AppError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import { pathOf } from '../../common/schema/resources.ts';
import type { VmStatistics } from '../../common/schema/vm-statistics.ts';
import type { Store } from '../../common/store/store.ts';
import type { DomainStats } from '../drivers/hypervisor.ts';

/** Nobody else writes this document, so the second round succeeds unless the store is away. */
const TRIES_MAX = 3;

/** A znode holds 1 MiB; the figures of a guest with two disks and two interfaces take 500 bytes, and less than twice that after years. */
const VMS_MAX = 1_000;

/** The only writer of what this node's guests use: one document, however many there are. */
export class VmStatisticsReporter {
  readonly #store: Store;
  readonly #path: string;
  #written: VmStatistics | undefined;
  #version: number | 'none' | 'unknown' = 'unknown';

  constructor(deps: { node: NodeName; store: Store }) {
    this.#store = deps.store;
    this.#path = pathOf('vm-statistics', deps.node);
  }

  /** Writes the figures when they are others than before: not while no guest runs. Resolves when it is done. */
  async report(guests: readonly DomainStats[]): Promise<void> {
    const next: VmStatistics = { vms: Object.fromEntries(guests.slice(0, VMS_MAX).map(({ uuid, figures }) => [uuid, figures])) };
    if (isDeepStrictEqual(next, this.#written)) return;
    for (let round = 0; round < TRIES_MAX; round += 1) {
      try {
        await this.#write(next);
        return;
      } catch (error) {
        this.#version = 'unknown';
        if (!isAppError(error, 'conflict', 'exists', 'not-found', 'unknown-outcome')) throw error;
      }
    }
    throw new AppError('conflict', "somebody else writes this node's statistics", { path: this.#path });
  }

  async #write(next: VmStatistics): Promise<void> {
    if (this.#version === 'unknown') this.#version = (await this.#store.read(this.#path))?.version ?? 'none';
    const written = this.#version === 'none' ? await this.#store.create(this.#path, next) : await this.#store.update(this.#path, next, this.#version);
    this.#version = written.version;
    this.#written = next;
  }
}
