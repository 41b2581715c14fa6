import type { Timer } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import type { MigrationProgress } from '../../node-daemon/drivers/hypervisor.ts';
import type { SimulatedDomain, SimulatedHost } from './simulated-hosts.ts';

const BYTES_PER_MIB = 1_048_576;

/**
 * One live migration as libvirt does it: the guest is incoming at the target while passes go over its memory, pauses at the source
 * for the switch-over, runs at the target, and is removed from the source. Its data goes over a link that the source's daemon
 * holds, and breaks with it.
 */
export class SimulatedMigration {
  readonly uuid: VmId;
  readonly source: SimulatedHost;
  readonly target: SimulatedHost;
  readonly done: Promise<void>;
  maxDowntimeMs: number;
  #pass = 0;
  #stage: 'passes' | 'switch-over' | 'ended' = 'passes';
  #timer: Timer | undefined;
  readonly #beganMs: number;
  readonly #memoryBytes: number;
  #settle: { resolve: () => void; reject: (error: AppError) => void } = { resolve: () => undefined, reject: () => undefined };

  constructor(domain: SimulatedDomain, ends: { source: SimulatedHost; target: SimulatedHost }, maxDowntimeMs: number) {
    this.uuid = domain.uuid;
    this.source = ends.source;
    this.target = ends.target;
    this.maxDowntimeMs = maxDowntimeMs;
    this.#memoryBytes = domain.memoryMib * BYTES_PER_MIB;
    this.#beganMs = ends.source.hosts.clock.monotonicMs();
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever began it may be dead when it ends.
    this.done.catch(() => undefined);
  }

  begin(): void {
    const domain = this.source.domains.get(this.uuid);
    if (domain === undefined) throw new AppError('not-found', 'no such domain', { uuid: this.uuid });
    this.source.migrations.set(this.uuid, this);
    this.target.put({ ...domain, state: 'paused', shutoffReason: undefined, incoming: true });
    this.#nextPass();
  }

  progress(): MigrationProgress | undefined {
    if (this.#stage === 'ended') return undefined;
    const elapsedMs = Math.round(this.source.hosts.clock.monotonicMs() - this.#beganMs);
    return { bytesTotal: this.#memoryBytes, bytesProcessed: this.#memoryBytes, bytesRemaining: 0, pass: this.#pass, elapsedMs };
  }

  abort(): void {
    if (this.#stage === 'ended') return;
    this.#failed(new AppError('cancelled', 'the migration was aborted'));
  }

  /** The link is gone: with the source's daemon, or with the network. */
  linkBroken(): void {
    if (this.#stage === 'ended') return;
    const lost = new AppError('component', 'the connection to the target was lost');
    const ending = this.source.hosts.behaviourOf(this.uuid).brokenSwitchOver;
    if (this.#stage === 'passes' || ending === 'source-runs') {
      this.#failed(lost);
      return;
    }
    this.#end(lost);
    if (ending === 'target-runs') this.target.change(this.uuid, { state: 'running', incoming: false });
    else this.target.remove(this.uuid);
  }

  /** The guest itself ended, at the source or, once it is there, at the target. */
  guestEnded(): void {
    if (this.#stage === 'ended') return;
    this.#end(new AppError('component', 'the guest ended during its migration'));
    this.target.remove(this.uuid);
  }

  hostLost(host: SimulatedHost): void {
    if (host === this.target && this.#stage !== 'ended') this.#failed(new AppError('component', 'the target is gone'));
  }

  #nextPass(): void {
    const { clock } = this.source.hosts;
    const behaviour = this.source.hosts.behaviourOf(this.uuid);
    this.#pass += 1;
    const passMs = this.#pass === 1 ? behaviour.passMs : behaviour.passMs / 4;
    this.#timer = clock.after(passMs, () => {
      const now = this.source.hosts.behaviourOf(this.uuid);
      if (now.migrationFailure === 'pass') this.#failed(new AppError('component', 'the migration failed by itself'));
      else if (now.needsDowntimeMs > this.maxDowntimeMs) this.#nextPass();
      else this.#switchOver(now.switchOverMs);
    });
  }

  #switchOver(switchOverMs: number): void {
    this.#stage = 'switch-over';
    this.source.change(this.uuid, { state: 'paused' });
    this.#timer = this.source.hosts.clock.after(switchOverMs, () => {
      if (this.source.hosts.behaviourOf(this.uuid).migrationFailure === 'switch-over') {
        this.#failed(new AppError('component', 'the migration failed at the switch-over'));
        return;
      }
      this.#end(undefined);
      this.target.change(this.uuid, { state: 'running', incoming: false });
      this.source.remove(this.uuid);
    });
  }

  /** The guest goes on at the source, and nothing of it stays at the target. */
  #failed(error: AppError): void {
    this.#end(error);
    this.target.remove(this.uuid);
    if (this.source.domains.get(this.uuid)?.state === 'paused') this.source.change(this.uuid, { state: 'running' });
  }

  #end(error: AppError | undefined): void {
    this.#stage = 'ended';
    this.#timer?.cancel();
    this.source.migrations.delete(this.uuid);
    if (error === undefined) this.#settle.resolve();
    else this.#settle.reject(error);
  }
}
