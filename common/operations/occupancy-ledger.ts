import { addShares, subtractShares, type Occupancy, type PlacementVm } from '../domain/placement.ts';
import { AppError } from '../errors.ts';
import type { VmId } from '../ids.ts';
import type { Kind } from '../schema/resources.ts';
import type { ClusterMirror, ClusterOccupancy } from './context.ts';

/** What the ledger needs of the mirror. */
export interface FollowedMirror extends Pick<ClusterMirror, 'get' | 'all'> {
  /** Tells that a document was taken in or went away, when the mirror already has it so. @returns the function that ends it. */
  onChange(listener: (kind: Kind, id: string) => void): () => void;
}

/**
 * What `occupancyOf` says of all VMs of the mirror, kept up to date by its changes: looking for a node costs as much with ten thousand
 * VMs as with ten.
 */
export class OccupancyLedger implements ClusterOccupancy {
  readonly #mirror: FollowedMirror;
  /** Each VM as it was when it was added; the mirror replaces documents and never changes them. */
  readonly #counted = new Map<string, PlacementVm>();
  readonly #sums = new Map<string, Occupancy>();
  #unlisten: (() => void) | undefined;
  #started = false;

  constructor(mirror: FollowedMirror) {
    this.#mirror = mirror;
  }

  /** Counts what the mirror has, and follows it. Safe to call twice. */
  start(): void {
    if (this.#unlisten !== undefined) return;
    this.#started = true;
    this.#unlisten = this.#mirror.onChange((kind, id) => {
      if (kind === 'vm' || kind === 'vm-status') this.#recount(id);
    });
    for (const id of [...this.#counted.keys(), ...this.#mirror.all('vm').keys()]) this.#recount(id);
  }

  /** Follows no more; the last sums stay readable, as the mirror does. */
  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
  }

  without(uuid: VmId): ReadonlyMap<string, Occupancy> {
    if (!this.#started) throw new AppError('bug', 'occupancy was asked for before it was counted');
    const others = new Map(this.#sums);
    const own = this.#counted.get(uuid);
    if (own !== undefined) subtractShares(others, own);
    return others;
  }

  #recount(id: string): void {
    const before = this.#counted.get(id);
    if (before !== undefined) subtractShares(this.#sums, before);
    const spec = this.#mirror.get('vm', id)?.doc;
    if (spec === undefined) {
      this.#counted.delete(id);
      return;
    }
    const vm = { spec, status: this.#mirror.get('vm-status', id)?.doc };
    addShares(this.#sums, vm);
    this.#counted.set(id, vm);
  }
}
