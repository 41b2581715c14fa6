import { type Clock, withTimeout } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { CoordinatorState, PrimaryWish } from '../../common/schema/node.ts';
import { PRIMARY_ROLE, PRIMARY_WISH_ID, type Kind } from '../../common/schema/resources.ts';
import type { ApiService } from '../drivers/api-service.ts';
import { isHandOverDue, planPrimary, type LeaseView, type PrimaryObserved, type PrimaryPeer, type PrimaryPlan, type PrimaryStep } from '../plans/primary.ts';
import type { PrimaryAddresses } from './primary-addresses.ts';
import type { PrimaryLease } from './primary-lease.ts';

/** Steps of one round, at most: taking over and giving up have three each. */
const STEPS_MAX = 16;

/** How long requests under way may hold up a planned hand-over, in milliseconds: half of the permitted gap. */
const DRAIN_LIMIT_MS = 500;

/** What the servers of the networks get to hand over what they know: they end in milliseconds. */
const LEAVE_LIMIT_MS = 1_000;

/** The one key of this reconciler. */
export const PRIMARY_KEY = PRIMARY_ROLE;

/** The mirror tells of the winner in a moment, and this node is asked again then. */
const LOST_RACE: Outcome = { kind: 'recheck', afterMs: 1_000, why: 'another node has taken the lease' };

const NO_WISH: PrimaryWish = { node: null, avoid: null, generation: 0 };

/** A server that runs on the primary alone. */
export interface PrimaryServer {
  /** Hands over what the next primary needs, and ends. The role's `isMine` says no already. */
  leave(): Promise<void>;
}

export interface PrimaryDeps {
  me: NodeName;
  /** Names of the nodes that may become primary. */
  coordinators: readonly NodeName[];
  mirror: ClusterMirror;
  lease: PrimaryLease;
  addresses: Pick<PrimaryAddresses, 'where' | 'take' | 'drop'>;
  /** Servers that run on the primary alone. */
  servers: readonly PrimaryServer[];
  apiService: ApiService;
  clock: Clock;
  log: Logger;
  /** Publishes the coordinator state; resolves when it is written. */
  report: (state: CoordinatorState) => Promise<void>;
  /** Marks the wish of this generation as answered. */
  settleWish: (generation: number) => Promise<void>;
}

/** Makes this node primary, or keeps it from being so, as planPrimary says, one step after the other. */
export class PrimaryReconciler implements Reconciler {
  readonly #deps: PrimaryDeps;
  readonly #released: Promise<void>;
  #resolveReleased: () => void = () => undefined;
  #stopping = false;
  #reported: CoordinatorState | undefined;
  #freeSinceMs: number | undefined;
  #handOverSinceMs: number | undefined;
  #drained = false;
  #lapsed = new AbortController();

  constructor(deps: PrimaryDeps) {
    this.#deps = deps;
    this.#released = new Promise((resolve) => (this.#resolveReleased = resolve));
  }

  /** The only key, after a change that may matter. */
  keysOf(kind: Kind, id: string): string[] {
    const matters = kind === 'lease' || kind === 'primary-wish' || ((kind === 'presence' || kind === 'node-status') && id !== this.#deps.me);
    return matters ? [PRIMARY_KEY] : [];
  }

  /** From now on this node gives up what it has. Resolves when nothing is left. */
  relinquish(): Promise<void> {
    this.#stopping = true;
    return this.#released;
  }

  /** The lease is in doubt: whatever is under way ends at once, so that the address can go. */
  lapse(): void {
    this.#lapsed.abort();
    this.#lapsed = new AbortController();
  }

  async reconcile(_key: string, signal: AbortSignal): Promise<Outcome> {
    for (let count = 0; count < STEPS_MAX; count += 1) {
      if (signal.aborted) return DONE;
      const lapsed = this.#lapsed.signal;
      const observed = await this.#observe(signal);
      const plan = planPrimary(observed);
      try {
        await this.#say(observed, plan, lapsed);
        if (plan.step === undefined) return this.#settled(observed, plan);
        this.#deps.log.info({ step: plan.step, state: plan.state, lease: observed.lease.kind }, 'primary takes a step');
        await this.#take(plan.step, observed, AbortSignal.any([signal, lapsed]));
        if (plan.step === 'contend' && this.#deps.lease.view() !== 'mine') return LOST_RACE;
      } catch (error) {
        if (!lapsed.aborted) throw error;
        this.#deps.log.warn({ step: plan.step, why: describeError(error) }, 'the step was given up because the lease is in doubt');
      }
    }
    return { kind: 'recheck', afterMs: 1_000, why: 'many steps at once' };
  }

  #settled(observed: PrimaryObserved, plan: PrimaryPlan): Outcome {
    if (this.#stopping && observed.lease.kind !== 'mine') this.#resolveReleased();
    return toOutcome(plan);
  }

  async #observe(signal: AbortSignal): Promise<PrimaryObserved> {
    const { me, mirror, clock } = this.#deps;
    const [addresses, api] = await Promise.all([this.#deps.addresses.where(signal), this.#deps.apiService.state(signal)]);
    const now = clock.monotonicMs();
    // The lease is looked at last: the others take time, and it must be valid when a step is chosen.
    const lease = this.#leaseView(now);
    const mode = this.#stopping ? 'stop' : this.#deps.coordinators.includes(me) ? 'coordinator' : 'client';
    // Who holds the lease goes on with it while the mirror may be behind.
    const wish = (mirror.staleForMs() === 0 ? mirror.get('primary-wish', PRIMARY_WISH_ID)?.doc : undefined) ?? NO_WISH;
    const facts = { me, mode, lease, addresses, api, wish, peers: this.#peers() } as const;
    const due = isHandOverDue({ ...facts, drained: false });
    this.#handOverSinceMs = due ? (this.#handOverSinceMs ?? now) : undefined;
    if (!due) this.#drained = false;
    return { ...facts, handOverForMs: now - (this.#handOverSinceMs ?? now), drained: this.#drained };
  }

  #leaseView(now: number): LeaseView {
    const { lease, mirror } = this.#deps;
    const own = lease.view();
    const holder = mirror.get('lease', PRIMARY_ROLE)?.doc.node;
    const free = own === 'not-mine' && mirror.staleForMs() === 0 && holder === undefined;
    this.#freeSinceMs = free ? (this.#freeSinceMs ?? now) : undefined;
    if (own === 'mine') return { kind: 'mine' };
    if (free) return { kind: 'free', forMs: now - (this.#freeSinceMs ?? now) };
    if (own === 'unprovable' || holder === undefined || mirror.staleForMs() > 0) return { kind: 'unprovable' };
    return { kind: 'other', node: holder };
  }

  #peers(): PrimaryPeer[] {
    const { me, mirror, coordinators } = this.#deps;
    return coordinators
      .filter((node) => node !== me && mirror.get('presence', node) !== undefined)
      .map((node) => {
        const status = mirror.get('node-status', node)?.doc;
        return { node, state: status?.coordinatorState, stopping: status?.daemonState === 'shutdown' || status?.daemonState === 'stop' };
      });
  }

  /** Never in the way of the address: it goes before a word is written, and what cannot be written now is written in a later round. */
  async #say(observed: PrimaryObserved, plan: PrimaryPlan, lapsed: AbortSignal): Promise<void> {
    if (plan.state === this.#reported || plan.step === 'remove-addresses' || (observed.lease.kind === 'unprovable' && plan.step !== undefined)) return;
    await unlessAborted(this.#deps.report(plan.state), lapsed);
    this.#deps.log.info({ from: this.#reported ?? null, to: plan.state }, 'coordinator state changed');
    this.#reported = plan.state;
  }

  async #take(step: PrimaryStep, observed: PrimaryObserved, signal: AbortSignal): Promise<void> {
    const { addresses, lease, apiService } = this.#deps;
    switch (step) {
      case 'contend':
        await unlessAborted(lease.contend(), signal);
        return;
      case 'add-addresses':
        return addresses.take(signal);
      case 'remove-addresses':
        await addresses.drop(signal);
        return this.#leaveServers(signal);
      case 'start-api':
        return apiService.start(signal);
      case 'drain-api':
        return this.#drain(signal);
      case 'stop-api':
        return apiService.stop(signal);
      case 'release-lease':
        return unlessAborted(lease.release(), signal);
      case 'settle-wish':
        return unlessAborted(this.#deps.settleWish(observed.wish.generation), signal);
    }
  }

  /** The addresses are gone already: a server that does not end is nobody's any more. */
  async #leaveServers(signal: AbortSignal): Promise<void> {
    const { clock, servers } = this.#deps;
    try {
      await withTimeout(clock, { timeoutMs: LEAVE_LIMIT_MS, what: 'the servers to end', signal }, () => Promise.all(servers.map((server) => server.leave())));
    } catch (error) {
      if (!isAppError(error, 'timeout', 'component', 'unavailable', 'unknown-outcome', 'conflict')) throw error;
      this.#deps.log.warn({ why: describeError(error) }, 'the servers of the networks have not ended well; the role goes all the same');
    }
  }

  async #drain(signal: AbortSignal): Promise<void> {
    this.#drained = true;
    const { clock, apiService } = this.#deps;
    try {
      await withTimeout(clock, { timeoutMs: DRAIN_LIMIT_MS, what: 'the API to end', signal }, (inner) => apiService.stop(inner));
    } catch (error) {
      if (!isAppError(error, 'timeout', 'component') && signal.aborted) throw error;
      this.#deps.log.warn({ why: describeError(error) }, 'the API has not ended; the hand-over goes on');
    }
  }
}

function toOutcome(plan: PrimaryPlan): Outcome {
  return plan.recheckMs === undefined ? DONE : { kind: 'recheck', afterMs: plan.recheckMs, why: 'another node is to become primary' };
}

/** The result of `work`, which goes on unheard when `signal` aborts first: a write that hangs must not hold up the address. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined);
    return Promise.reject(toReason(signal));
  }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(toReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function toReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}
