import type { ClusterMirror } from '../common/operations/context.ts';
import type { MirroredKind } from '../common/schema/resources.ts';

/** What the API reads: the mirror, and word of its changes. */
export interface ApiMirror extends ClusterMirror {
  /** Tells that a document was taken in or went away. The listener only takes note. @returns the function that ends it. */
  onChange(listener: (kind: MirroredKind, id: string) => void): () => void;
}
