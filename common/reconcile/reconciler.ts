/** How one run for one key ended. Failure is a throw. */
export type Outcome =
  | { readonly kind: 'done' }
  /** Look again after `afterMs` even if nothing changes; `why` is for the operator. */
  | { readonly kind: 'recheck'; readonly afterMs: number; readonly why: string };

export const DONE: Outcome = { kind: 'done' };

/**
 * Brings one thing from its observed to its desired state, by the next safe steps. Level, not edge: it is given a name, compares
 * anew each time, and may run at any moment, also when nothing changed. Never two runs for one key at a time.
 * @throws AppError: a retryable one is tried again with back-off, any other waits for the next change.
 */
export interface Reconciler {
  reconcile(key: string, signal: AbortSignal): Promise<Outcome>;
}
