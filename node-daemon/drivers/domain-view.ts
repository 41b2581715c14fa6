import { DOMAIN_STATE, JOB_OPERATION, METADATA_ELEMENT, PAUSED_REASON_MIGRATION, SHUTOFF_REASON, STATS } from '../../common/libvirt/constants.ts';
import type { CallLimit, LibvirtConnection } from '../../common/libvirt/connection.ts';
import { refOf, type DomainRef } from '../../common/libvirt/domain-ref.ts';
import { LIBVIRT_ERROR, libvirtCodeOf } from '../../common/libvirt/libvirt-error.ts';
import { PROCEDURES } from '../../common/libvirt/procedures.ts';
import { numberOf } from '../../common/libvirt/typed-param.ts';
import { vmId } from '../../common/ids.ts';
import { MARK_URI } from './domain-mark.ts';
import type { Domain, DomainState, ShutoffReason } from './hypervisor.ts';

/** A look at libvirt takes a tenth of a millisecond; a domain whose QEMU hangs holds some looks up for as long as its job lasts. */
export const QUERY_LIMIT: CallLimit = { timeoutMs: 30_000 };

/** Domains whose marks are asked for at once; the connection lets only some through at a time. */
const MARKS_AT_ONCE = 64;

/** Remembers which domains carry our mark, so that a look at a known domain needs no call for it. */
export class DomainMarks {
  readonly #known = new Map<string, boolean>();
  /** Counts the changes, so that an answer that was under way during one is not remembered. */
  #changes = 0;

  /** @throws AppError 'not-found' when there is no such domain. */
  async ours(connection: LibvirtConnection, uuid: string): Promise<boolean> {
    const known = this.#known.get(uuid);
    if (known !== undefined) return known;
    const changesBefore = this.#changes;
    const ours = await hasMark(connection, uuid);
    if (changesBefore === this.#changes) this.#known.set(uuid, ours);
    return ours;
  }

  forget(uuid: string): void {
    this.#changes += 1;
    this.#known.delete(uuid);
  }

  forgetAll(): void {
    this.#changes += 1;
    this.#known.clear();
  }
}

/** One domain, undefined when libvirt does not know it. */
export async function readDomain(connection: LibvirtConnection, uuid: string, marks: DomainMarks): Promise<Domain | undefined> {
  try {
    const [ref, state, ours] = await Promise.all([
      connection.call(PROCEDURES.domainLookupByUuid, uuid, QUERY_LIMIT),
      connection.call(PROCEDURES.domainGetState, { domain: refOf(uuid), flags: 0 }, QUERY_LIMIT),
      marks.ours(connection, uuid),
    ]);
    return await toDomain(connection, ref, { ...state, ours });
  } catch (error) {
    if (libvirtCodeOf(error) === LIBVIRT_ERROR.noDomain) return undefined;
    throw error;
  }
}

/** All domains: one call, and one more for each whose mark is not known yet. */
export async function readDomains(connection: LibvirtConnection, marks: DomainMarks): Promise<readonly Domain[]> {
  const records = await connection.call(PROCEDURES.connectGetAllDomainStats, { domains: [], stats: STATS.state, flags: 0 }, QUERY_LIMIT);
  const domains: Domain[] = [];
  for (let start = 0; start < records.length; start += MARKS_AT_ONCE) {
    const some = records.slice(start, start + MARKS_AT_ONCE).map(async ({ domain, params }) => {
      const ours = await oursIfThere(connection, domain.uuid, marks);
      if (ours === undefined) return undefined;
      return toDomain(connection, domain, { state: numberOf(params, 'state.state') ?? 0, reason: numberOf(params, 'state.reason') ?? 0, ours });
    });
    for (const domain of await Promise.all(some)) if (domain !== undefined) domains.push(domain);
  }
  return domains;
}

async function oursIfThere(connection: LibvirtConnection, uuid: string, marks: DomainMarks): Promise<boolean | undefined> {
  try {
    return await marks.ours(connection, uuid);
  } catch (error) {
    if (libvirtCodeOf(error) === LIBVIRT_ERROR.noDomain) return undefined;
    throw error;
  }
}

async function hasMark(connection: LibvirtConnection, uuid: string): Promise<boolean> {
  try {
    await connection.call(PROCEDURES.domainGetMetadata, { domain: refOf(uuid), flags: 0, type: METADATA_ELEMENT, uri: MARK_URI }, QUERY_LIMIT);
    return true;
  } catch (error) {
    if (libvirtCodeOf(error) === LIBVIRT_ERROR.noDomainMetadata) return false;
    throw error;
  }
}

interface Facts {
  state: number;
  reason: number;
  ours: boolean;
}

async function toDomain(connection: LibvirtConnection, ref: DomainRef, facts: Facts): Promise<Domain> {
  const state = toState(facts.state);
  const paused = facts.state === DOMAIN_STATE.paused && facts.reason === PAUSED_REASON_MIGRATION;
  const incoming = paused && (await isIncoming(connection, ref));
  const domain = { uuid: vmId.parse(ref.uuid), name: ref.name, state, incoming, ours: facts.ours };
  if (state === 'crashed') return { ...domain, shutoffReason: 'crashed' };
  return state === 'shutoff' ? { ...domain, shutoffReason: toShutoffReason(facts.reason) } : domain;
}

/** Both sides of a migration are paused for it at its end; libvirt gives figures of the job on the sending side only. */
async function isIncoming(connection: LibvirtConnection, ref: DomainRef): Promise<boolean> {
  try {
    const job = await connection.call(PROCEDURES.domainGetJobStats, { domain: ref, flags: 0 }, QUERY_LIMIT);
    return numberOf(job.params, 'operation') === JOB_OPERATION.migrationIn;
  } catch (error) {
    const code = libvirtCodeOf(error);
    if (code === LIBVIRT_ERROR.operationUnsupported) return true;
    if (code === LIBVIRT_ERROR.operationInvalid) return false;
    if (code === LIBVIRT_ERROR.noDomain) return false;
    throw error;
  }
}

function toState(state: number): DomainState {
  switch (state) {
    case DOMAIN_STATE.running:
    case DOMAIN_STATE.blocked:
      return 'running';
    case DOMAIN_STATE.paused:
    case DOMAIN_STATE.pmSuspended:
      return 'paused';
    case DOMAIN_STATE.shutdown:
      return 'shutting-down';
    case DOMAIN_STATE.crashed:
      return 'crashed';
    default:
      return 'shutoff';
  }
}

function toShutoffReason(reason: number): ShutoffReason {
  switch (reason) {
    case SHUTOFF_REASON.shutdown:
      return 'shutdown';
    case SHUTOFF_REASON.destroyed:
      return 'destroyed';
    case SHUTOFF_REASON.crashed:
      return 'crashed';
    case SHUTOFF_REASON.daemon:
      // libvirt lost the guest when it was restarted itself: nobody asked for that end.
      return 'crashed';
    case SHUTOFF_REASON.migrated:
      return 'migrated';
    case SHUTOFF_REASON.failed:
      return 'failed';
    default:
      return 'unknown';
  }
}
