import type { Clock } from '../clock.ts';
import type { PlacementPolicy } from '../domain/placement.ts';
import type { Doc, MirroredKind, Versioned } from '../schema/resources.ts';
import type { Store } from '../store/store.ts';

/** What operations need of the mirror. */
export interface ClusterMirror {
  get<K extends MirroredKind>(kind: K, id: string): Versioned<Doc<K>> | undefined;
  all<K extends MirroredKind>(kind: K): ReadonlyMap<string, Versioned<Doc<K>>>;
  /** Resolves when the mirror holds at least this version, or the document is gone. Fails with 'timeout'. */
  waitFor(kind: MirroredKind, id: string, version: number | 'gone', limit: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  staleForMs(): number;
}

/** What every operation works with. */
export interface OperationContext {
  store: Store;
  mirror: ClusterMirror;
  clock: Clock;
  placement: PlacementPolicy;
}
