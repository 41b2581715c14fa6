import type { KeySource } from '../../common/reconcile/controller.ts';
import type { MirroredKind } from '../../common/schema/resources.ts';

interface ChangingMirror {
  onChange(listener: (kind: MirroredKind, id: string) => void): () => void;
  onFreshness(listener: (fresh: boolean) => void): () => void;
}

/** The keys that a changed document concerns. */
export function mirrorChanges(mirror: Pick<ChangingMirror, 'onChange'>, keysOf: (kind: MirroredKind, id: string) => readonly string[]): KeySource {
  return (enqueue) =>
    mirror.onChange((kind, id) => {
      for (const key of keysOf(kind, id)) enqueue(key);
    });
}

/** Everything is looked at again when the mirror has caught up. */
export function whenFresh(mirror: Pick<ChangingMirror, 'onFreshness'>, keys: () => Iterable<string>): KeySource {
  return (enqueue) =>
    mirror.onFreshness((fresh) => {
      if (fresh) for (const key of keys()) enqueue(key);
    });
}
