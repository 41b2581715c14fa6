import { delay, type Clock } from '../../common/clock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import type { LibvirtConnection } from '../../common/libvirt/connection.ts';
import { MIGRATE, MIGRATE_PARAM_URI } from '../../common/libvirt/constants.ts';
import type { DomainRef } from '../../common/libvirt/domain-ref.ts';
import { libvirtCodeOf } from '../../common/libvirt/libvirt-error.ts';
import { PROCEDURES } from '../../common/libvirt/procedures.ts';
import type { MigrationRequest } from './hypervisor.ts';
import type { MigrationLink } from './migration-link.ts';

/** Longest migration: 1 TiB of memory at 20 MiB/s takes 15 hours. What is slower will not end. */
const MIGRATE_LIMIT_MS = 24 * 3_600_000;

const CALL_LIMIT = { timeoutMs: 30_000 };

/** An abort is refused before libvirt has begun and after it has finished, so it is repeated until the migration is over. */
const ABORT_EVERY_MS = 100;
const ABORTS_MAX = 300;

/** A guest that goes back where it has just come from: libvirt there may still be forgetting it, for longer on a busy host. */
const PEER_TRY_EVERY_MS = 200;
const PEER_TRIES_MAX = 150;
/** That libvirt has numbers for much else, too, so its words decide (virdomainobjlist.c, qemu_migration.c). */
const PEER_STILL_ENDS = /is already being removed|another migration job is already running/u;

/** Whether the peer refused the guest only because its own end of the guest's last migration is not over. */
export function isPeerStillEnding(error: unknown): boolean {
  return error instanceof AppError && PEER_STILL_ENDS.test(String(error.details['libvirtMessage']));
}

export interface OutgoingMigrationDeps {
  clock: Clock;
  /** Serves this migration alone: the call lasts as long as the migration does. */
  connection: LibvirtConnection;
  link: MigrationLink;
  domain: DomainRef;
}

/** One guest on its way to a peer. */
export class OutgoingMigration {
  readonly #deps: OutgoingMigrationDeps;
  #over = false;
  #abortAsked = false;

  constructor(deps: OutgoingMigrationDeps) {
    this.#deps = deps;
  }

  get connection(): LibvirtConnection {
    return this.#deps.connection;
  }

  get memoryFile(): string {
    return this.#deps.link.memoryFile;
  }

  /**
   * Resolves when the guest runs on the peer and is gone here.
   * @throws AppError 'cancelled' after an abort, 'unknown-outcome' when our libvirt was lost meanwhile, else libvirt's refusal.
   */
  async run(request: MigrationRequest, signal: AbortSignal): Promise<void> {
    const { domain, connection } = this.#deps;
    // Before the start, so that the first switch-over obeys it: QEMU keeps the value.
    await connection.call(PROCEDURES.domainMigrateSetMaxDowntime, { domain, flags: 0, downtimeMs: request.maxDowntimeMs }, CALL_LIMIT);
    const onAbort = (): void => {
      this.#abortAsked = true;
      void this.#abortUntilOver();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal.aborted) throw new AppError('cancelled', 'the migration was cancelled before it began');
      await this.#performOnceFree(request);
    } catch (error) {
      throw this.#toMigrationError(error);
    } finally {
      this.#over = true;
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Asks libvirt once to end it. Not begun yet, or over already, is fine. */
  async abort(): Promise<void> {
    const { connection, domain } = this.#deps;
    const askedBefore = this.#abortAsked;
    // Before the call: the migration's own end may be told before the answer to it.
    this.#abortAsked = true;
    try {
      await connection.call(PROCEDURES.domainAbortJob, domain, CALL_LIMIT);
    } catch (error) {
      this.#abortAsked = askedBefore;
      if (!isAppError(error, 'state', 'not-found')) throw error;
    }
  }

  async #performOnceFree(request: MigrationRequest): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#perform(request);
      } catch (error) {
        if (tries === PEER_TRIES_MAX || this.#abortAsked || !isPeerStillEnding(error)) throw error;
      }
      await delay(this.#deps.clock, PEER_TRY_EVERY_MS);
    }
  }

  async #perform(request: MigrationRequest): Promise<void> {
    const { domain, connection, link } = this.#deps;
    const flags = MIGRATE.live | MIGRATE.peer2peer | MIGRATE.persistDest | MIGRATE.undefineSource;
    const args = {
      domain,
      destinationUri: link.controlUri,
      params: [{ field: MIGRATE_PARAM_URI, type: 'string' as const, value: link.memoryUri }],
      flags: request.autoConverge ? flags | MIGRATE.autoConverge : flags,
    };
    await connection.call(PROCEDURES.domainMigratePerform3Params, args, { timeoutMs: MIGRATE_LIMIT_MS });
  }

  #toMigrationError(error: unknown): unknown {
    // By the moment of the abort libvirt's refusal has one number or another, so it is not the number that decides.
    if (this.#abortAsked && libvirtCodeOf(error) !== undefined) {
      return new AppError('cancelled', 'the migration was aborted', { domain: this.#deps.domain.name }, { cause: error });
    }
    if (isAppError(error, 'unavailable', 'timeout') && libvirtCodeOf(error) === undefined) {
      return new AppError('unknown-outcome', 'libvirt was lost during the migration', { domain: this.#deps.domain.name }, { cause: error });
    }
    return error;
  }

  async #abortUntilOver(): Promise<void> {
    const { clock, connection, domain, link } = this.#deps;
    for (let attempt = 0; attempt < ABORTS_MAX && !this.#over; attempt += 1) {
      try {
        await connection.call(PROCEDURES.domainAbortJob, domain, CALL_LIMIT);
      } catch (error) {
        // Not begun yet or over already is asked again; anything else leaves only cutting the link.
        if (!isAppError(error, 'state', 'not-found')) break;
      }
      await delay(clock, ABORT_EVERY_MS);
    }
    if (!this.#over) await link.stop();
  }
}
