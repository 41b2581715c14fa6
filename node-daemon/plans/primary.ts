import type { NodeName } from '../../common/ids.ts';
import type { CoordinatorState, PrimaryWish } from '../../common/schema/node.ts';

/**
 * The primary's lease as this node may rely on it. `unprovable`: nothing is known for sure, because the session is over or
 * was silent for too long; whoever held it must behave as though another node had it.
 */
export type LeaseView =
  | { readonly kind: 'mine' }
  | { readonly kind: 'other'; readonly node: NodeName }
  | { readonly kind: 'free'; readonly forMs: number }
  | { readonly kind: 'unprovable' };

/** Another coordinator whose daemon lives. */
export interface PrimaryPeer {
  readonly node: NodeName;
  /** What it last said of itself; undefined before it said anything. */
  readonly state: CoordinatorState | undefined;
  /** It is shutting down and takes nothing over. */
  readonly stopping: boolean;
}

export interface PrimaryObserved {
  readonly me: NodeName;
  /** `client`: not a coordinator. `stop`: the daemon is shutting down. */
  readonly mode: 'coordinator' | 'client' | 'stop';
  readonly lease: LeaseView;
  /** How much of the primary's addresses this host has. */
  readonly addresses: 'none' | 'some' | 'all';
  readonly api: 'running' | 'stopped' | 'unknown';
  readonly wish: PrimaryWish;
  readonly peers: readonly PrimaryPeer[];
  /** How long this node has held the lease although it is to give it up; 0 when it is not. */
  readonly handOverForMs: number;
  /** The API of a node that gives up was told to stop once, whether or not it has. */
  readonly drained: boolean;
}

export type PrimaryStep =
  | 'contend'
  | 'add-addresses'
  | 'remove-addresses'
  | 'start-api'
  /** Waits a moment for requests under way, and goes on without them. */
  | 'drain-api'
  | 'stop-api'
  | 'release-lease'
  /** The wish is fulfilled, or nobody is there to fulfil it. */
  | 'settle-wish';

export interface PrimaryPlan {
  /** What the node says of itself before it takes the step; after it, when the step removes the address, which waits for nothing. */
  readonly state: CoordinatorState;
  /** Taken alone, then everything is looked at again. */
  readonly step?: PrimaryStep;
  /** Look again after this even if nothing changes, in milliseconds. */
  readonly recheckMs?: number;
}

/**
 * How long a holder waits for its successor to have started its API. Starting takes two or three seconds; a successor whose
 * API cannot start without the address (it listens on nothing else) is given the lease after this.
 */
export const STANDBY_LIMIT_MS = 5_000;

/** How long a node leaves a free lease to the wished one, which contends within milliseconds if it works at all. */
export const HOLD_BACK_MS = 3_000;

/**
 * The next step towards one primary that holds the lease, then the floating address, then runs the API, in this order;
 * giving up goes the other way. Without the lease a node has neither, whatever it finds on its host.
 */
export function planPrimary(observed: PrimaryObserved): PrimaryPlan {
  if (observed.mode === 'client') return withdraw(observed, 'client');
  switch (observed.lease.kind) {
    case 'mine':
      return isHandOverDue(observed) ? handOver(observed) : hold(observed);
    case 'free':
      return observed.mode === 'stop' ? withdraw(observed, 'secondary') : takeFree(observed, observed.lease.forMs);
    case 'other':
      return isSuccessor(observed, observed.lease.node) ? standBy(observed) : withdraw(observed, 'secondary');
    case 'unprovable':
      return withdraw(observed, 'secondary');
  }
}

/** True when this node holds the lease and is to give it to somebody, or shuts down. */
export function isHandOverDue(observed: Omit<PrimaryObserved, 'handOverForMs'>): boolean {
  return observed.lease.kind === 'mine' && (observed.mode === 'stop' || successors(observed).length > 0);
}

function successors({ me, mode, wish, peers }: Omit<PrimaryObserved, 'handOverForMs'>): readonly PrimaryPeer[] {
  const willing = peers.filter((peer) => !peer.stopping);
  if (mode === 'stop') return willing;
  if (wish.node !== null) return willing.filter((peer) => peer.node === wish.node);
  return wish.avoid === me ? willing : [];
}

function hold({ addresses, api, wish }: PrimaryObserved): PrimaryPlan {
  if (addresses !== 'all') return { state: 'takeover', step: 'add-addresses' };
  if (api !== 'running') return { state: 'takeover', step: 'start-api' };
  if (wish.node !== null || wish.avoid !== null) return { state: 'primary', step: 'settle-wish' };
  return { state: 'primary' };
}

/** The API still runs here until a successor's does: what users notice is the move of the address alone. */
function handOver(observed: PrimaryObserved): PrimaryPlan {
  const candidates = successors(observed);
  const ready = candidates.length === 0 || candidates.some((peer) => peer.state === 'takeover');
  const leftMs = STANDBY_LIMIT_MS - observed.handOverForMs;
  if (!ready && leftMs > 0 && observed.addresses === 'all' && observed.api === 'running') return { state: 'primary', recheckMs: leftMs };
  if (!observed.drained && observed.api !== 'stopped') return { state: 'relinquish', step: 'drain-api' };
  if (observed.addresses !== 'none') return { state: 'relinquish', step: 'remove-addresses' };
  return { state: 'relinquish', step: 'release-lease' };
}

function takeFree(observed: PrimaryObserved, forMs: number): PrimaryPlan {
  if (observed.addresses !== 'none') return { state: 'secondary', step: 'remove-addresses' };
  const leftMs = HOLD_BACK_MS - forMs;
  if (isOthersTurn(observed) && leftMs > 0) return { state: 'secondary', recheckMs: leftMs };
  // A standby says nothing else in between: each write lengthens the gap.
  return { state: observed.api === 'running' ? 'takeover' : 'secondary', step: 'contend' };
}

function isOthersTurn({ me, wish, peers }: PrimaryObserved): boolean {
  const willing = peers.filter((peer) => !peer.stopping);
  if (wish.node !== null) return wish.node !== me && willing.some((peer) => peer.node === wish.node);
  return wish.avoid === me && willing.length > 0;
}

/** The holder is going to give the lease up, and this node may be the one to get it. */
function isSuccessor(observed: PrimaryObserved, holder: NodeName): boolean {
  if (observed.mode === 'stop' || holder === observed.me) return false;
  if (observed.peers.some((peer) => peer.node === holder && peer.stopping)) return !isOthersTurn(observed);
  return observed.wish.node === null ? observed.wish.avoid === holder : observed.wish.node === observed.me;
}

/** `takeover` tells the holder that this node is ready; its API runs already, and nobody reaches it yet. */
function standBy({ addresses, api }: PrimaryObserved): PrimaryPlan {
  if (addresses !== 'none') return { state: 'secondary', step: 'remove-addresses' };
  if (api !== 'running') return { state: 'secondary', step: 'start-api' };
  return { state: 'takeover' };
}

/** The address first: two nodes with it are worse than two API processes. */
function withdraw({ addresses, api }: PrimaryObserved, state: 'secondary' | 'client'): PrimaryPlan {
  if (addresses !== 'none') return { state, step: 'remove-addresses' };
  if (api !== 'stopped') return { state, step: 'stop-api' };
  return { state };
}
