import type { ClusterMirror } from '../common/operations/context.ts';
import type { ApiMirroredKind, Doc, Versioned } from '../common/schema/resources.ts';

/** What the API reads: the mirror, and word of its changes. */
export interface ApiMirror extends ClusterMirror {
  get<K extends ApiMirroredKind>(kind: K, id: string): Versioned<Doc<K>> | undefined;
  all<K extends ApiMirroredKind>(kind: K): ReadonlyMap<string, Versioned<Doc<K>>>;
  waitFor(kind: ApiMirroredKind, id: string, version: number | 'gone', limit: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  /** Tells that a document was taken in or went away. The listener only takes note. @returns the function that ends it. */
  onChange(listener: (kind: ApiMirroredKind, id: string) => void): () => void;
}
