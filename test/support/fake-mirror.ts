import type { Doc, MirroredKind, Versioned } from '../../common/schema/resources.ts';

/** A mirror that holds what a test put into it, and is never stale. */
export interface FakeMirror {
  get<K extends MirroredKind>(kind: K, id: string): Versioned<Doc<K>> | undefined;
  all<K extends MirroredKind>(kind: K): ReadonlyMap<string, Versioned<Doc<K>>>;
  staleForMs(): number;
  /** Replaces all documents of a kind. */
  fill<K extends MirroredKind>(kind: K, documents: readonly Versioned<Doc<K>>[]): void;
}

export function aMirror(): FakeMirror {
  const held = new Map<MirroredKind, ReadonlyMap<string, Versioned<unknown>>>();
  const all = <K extends MirroredKind>(kind: K): ReadonlyMap<string, Versioned<Doc<K>>> => (held.get(kind) ?? new Map()) as ReadonlyMap<string, Versioned<Doc<K>>>;
  return {
    all,
    get: (kind, id) => all(kind).get(id),
    staleForMs: () => 0,
    fill: (kind, documents) => void held.set(kind, new Map(documents.map((document) => [document.id, document]))),
  };
}
