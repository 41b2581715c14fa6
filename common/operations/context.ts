import type { Clock } from '../clock.ts';
import type { Occupancy, PlacementPolicy } from '../domain/placement.ts';
import type { VmId } from '../ids.ts';
import type { Doc, MirroredKind, Versioned } from '../schema/resources.ts';
import type { Store } from '../store/store.ts';

/** What operations need of the mirror. */
export interface ClusterMirror {
  get<K extends MirroredKind>(kind: K, id: string): Versioned<Doc<K>> | undefined;
  all<K extends MirroredKind>(kind: K): ReadonlyMap<string, Versioned<Doc<K>>>;
  /** The documents whose field `foundBy` of RESOURCES has this value, in no order. */
  find<K extends MirroredKind>(kind: K, value: string): readonly Versioned<Doc<K>>[];
  /** Resolves when the mirror holds at least this version, or the document is gone. Fails with 'timeout'. */
  waitFor(kind: MirroredKind, id: string, version: number | 'gone', limit: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  /**
   * Resolves when all is read that the mirror was told of before the call, and what the lists among it bring.
   * Fails with 'timeout' and 'cancelled'.
   */
  caughtUp(limit: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  staleForMs(): number;
}

/** What each node has given away, by the mirror as it is now. */
export interface ClusterOccupancy {
  /** @param uuid a VM that is not counted, because its own place is what is looked for. */
  without(uuid: VmId): ReadonlyMap<string, Occupancy>;
}

/** What every operation works with. */
export interface OperationContext {
  store: Store;
  mirror: ClusterMirror;
  occupancy: ClusterOccupancy;
  clock: Clock;
  placement: PlacementPolicy;
}
