import { delay, type Clock } from '../../common/clock.ts';
import { nextMaxDowntimeMs } from '../../common/domain/convergence.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { NodeName, VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { MigrationProgressDoc } from '../../common/schema/vm-status.ts';
import type { Hypervisor } from '../drivers/hypervisor.ts';
import type { MigrationJob } from '../plans/vm-view.ts';

/** How often libvirt is asked how far a migration is. */
const PROGRESS_INTERVAL_MS = 1_000;

export interface MigrationStart {
  target: NodeName;
  generation: number;
  maxDowntimeMs: number;
}

interface Running {
  generation: number;
  controller: AbortController;
}

export interface VmMigrationsDeps {
  hypervisor: Pick<Hypervisor, 'migrate' | 'migrationProgress' | 'setMaxDowntime'>;
  clock: Clock;
  log: Logger;
  /** A migration that takes longer is aborted. */
  timeoutMs: number;
  /** Makes sure that the target is able to take the guest; when it throws, nothing is begun and the guest stays. */
  prepare: (uuid: VmId, target: NodeName, signal: AbortSignal) => Promise<void>;
  onProgress: (uuid: VmId, progress: MigrationProgressDoc) => Promise<void>;
  /** A migration has ended: look at the VM. */
  onEnded: (uuid: VmId) => void;
}

/** The migrations that leave this host, each running beside the reconciler. What ended is remembered until the next begins. */
export class VmMigrations {
  readonly #deps: VmMigrationsDeps;
  readonly #running = new Map<VmId, Running>();
  readonly #ended = new Map<VmId, Extract<MigrationJob, { kind: 'ended' }>>();
  readonly #jobs = new Set<Promise<void>>();

  constructor(deps: VmMigrationsDeps) {
    this.#deps = deps;
  }

  state(uuid: VmId): MigrationJob {
    const running = this.#running.get(uuid);
    if (running !== undefined) return { kind: 'running', generation: running.generation };
    return this.#ended.get(uuid) ?? { kind: 'none' };
  }

  /** Begins; a migration of this VM that is under way goes on. */
  start(uuid: VmId, request: MigrationStart): void {
    if (this.#running.has(uuid)) return;
    const controller = new AbortController();
    this.#ended.delete(uuid);
    this.#running.set(uuid, { generation: request.generation, controller });
    const job = this.#run(uuid, request, controller).finally(() => this.#jobs.delete(job));
    this.#jobs.add(job);
  }

  abort(uuid: VmId): void {
    this.#running.get(uuid)?.controller.abort();
  }

  forget(uuid: VmId): void {
    this.#ended.delete(uuid);
  }

  /** Aborts all and waits for their ends. */
  async stop(): Promise<void> {
    for (const { controller } of this.#running.values()) controller.abort();
    await Promise.allSettled(this.#jobs);
  }

  async #run(uuid: VmId, request: MigrationStart, controller: AbortController): Promise<void> {
    const { clock, log } = this.#deps;
    const beganMs = clock.monotonicMs();
    const limit = clock.after(this.#deps.timeoutMs, () => controller.abort(new AppError('timeout', 'the migration took too long')));
    const refusal = await settle(this.#deps.prepare(uuid, request.target, controller.signal));
    const result = refusal ?? (await this.#move(uuid, request, controller.signal));
    limit.cancel();
    const elapsedMs = Math.round(clock.monotonicMs() - beganMs);
    const outcome = result === undefined ? 'done' : controller.signal.aborted ? 'aborted' : refusal !== undefined ? 'refused' : 'failed';
    log.info({ vm: uuid, target: request.target, outcome, elapsedMs, error: result === undefined ? undefined : describeError(result) }, 'migration ended');
    this.#running.delete(uuid);
    this.#ended.set(uuid, { kind: 'ended', generation: request.generation, outcome, error: result === undefined ? null : describeError(result), elapsedMs });
    this.#deps.onEnded(uuid);
  }

  async #move(uuid: VmId, { target, maxDowntimeMs }: MigrationStart, signal: AbortSignal): Promise<unknown> {
    const watching = new AbortController();
    const watch = this.#watchProgress(uuid, maxDowntimeMs, watching.signal);
    const result = await settle(this.#deps.hypervisor.migrate(uuid, { target, maxDowntimeMs, autoConverge: true }, signal));
    watching.abort();
    await watch;
    return result;
  }

  /** Tells the progress once a second and climbs the convergence ladder. */
  async #watchProgress(uuid: VmId, maxDowntimeMs: number, signal: AbortSignal): Promise<void> {
    const ladder = { maxDowntimeMs, raisedAtPass: 0 };
    while (!signal.aborted) {
      const failure = await settle(this.#oneRound(uuid, ladder, signal));
      if (failure !== undefined && !isAppError(failure, 'cancelled')) this.#deps.log.debug({ vm: uuid, error: describeError(failure) }, 'no progress to tell');
      if (failure !== undefined) await settle(delay(this.#deps.clock, PROGRESS_INTERVAL_MS, signal));
    }
  }

  async #oneRound(uuid: VmId, ladder: { maxDowntimeMs: number; raisedAtPass: number }, signal: AbortSignal): Promise<void> {
    await delay(this.#deps.clock, PROGRESS_INTERVAL_MS, signal);
    const progress = await this.#deps.hypervisor.migrationProgress(uuid);
    if (progress === undefined || signal.aborted) return;
    await this.#deps.onProgress(uuid, progress);
    const next = nextMaxDowntimeMs(progress, ladder);
    if (next === undefined) return;
    await this.#deps.hypervisor.setMaxDowntime(uuid, next);
    this.#deps.log.info({ vm: uuid, pass: progress.pass, maxDowntimeMs: next }, 'migration does not converge; a longer pause is permitted');
    ladder.maxDowntimeMs = next;
    ladder.raisedAtPass = progress.pass;
  }
}

/** The error of a promise, or undefined when it succeeded. */
async function settle(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error ?? new AppError('bug', 'rejected with nothing');
  }
}
