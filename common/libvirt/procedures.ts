import { readDomainRef, writeDomainRef, writeUuid, type DomainRef } from './domain-ref.ts';
import { readSecretRef, writeSecretRef, type SecretRef } from './secret-ref.ts';
import { readTypedParams, writeTypedParam, type TypedParam, type TypedParams } from './typed-param.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

/** One call: its number, what it takes and what it gives (libvirt's src/remote/remote_protocol.x; numbers are only ever appended). */
export interface Procedure<A, R> {
  number: number;
  name: string;
  write: (writer: XdrWriter, args: A) => void;
  read: (reader: XdrReader) => R;
}

export interface DomainAndFlags {
  domain: DomainRef;
  flags: number;
}

export interface DomainStatsRecord {
  domain: DomainRef;
  params: TypedParams;
}

export interface PerformArgs extends DomainAndFlags {
  destinationUri: string | undefined;
  params: readonly TypedParam[];
}

/** Limits of the same names in remote_protocol.x. */
const DOMAIN_LIST_MAX = 16_384;
const DOMAIN_STATS_MAX = 262_144;
const JOB_STATS_MAX = 64;
const MIGRATE_COOKIE_MAX_BYTES = 4_194_304;
const AUTH_TYPE_LIST_MAX = 20;

const NO_BYTES = new Uint8Array(0);

function procedure<A, R>(number: number, name: string, write: (w: XdrWriter, args: A) => void, read: (r: XdrReader) => R): Procedure<A, R> {
  return { number, name, write, read };
}

const noArgs = (_writer: XdrWriter, _args: void): void => undefined;
const noResult = (_reader: XdrReader): void => undefined;

function domainAndFlags(writer: XdrWriter, { domain, flags }: DomainAndFlags): void {
  writeDomainRef(writer, domain);
  writer.uint(flags);
}

export const PROCEDURES = {
  connectOpen: procedure(1, 'connectOpen', (w, a: { uri: string; flags: number }) => void w.optional(a.uri, (uri) => w.string(uri)).uint(a.flags), noResult),
  connectClose: procedure(2, 'connectClose', noArgs, noResult),
  connectGetVersion: procedure(4, 'connectGetVersion', noArgs, (r) => Number(r.uhyper())),
  connectGetHostname: procedure(59, 'connectGetHostname', noArgs, (r) => r.string()),
  connectSupportsFeature: procedure(60, 'connectSupportsFeature', (w, feature: number) => void w.int(feature), (r) => r.int() !== 0),
  authList: procedure(66, 'authList', noArgs, (r) => r.list(AUTH_TYPE_LIST_MAX, () => r.int())),
  connectGetLibVersion: procedure(157, 'connectGetLibVersion', noArgs, (r) => Number(r.uhyper())),
  connectListAllDomains: procedure(
    273,
    'connectListAllDomains',
    (w, flags: number) => void w.int(1).uint(flags),
    (r) => {
      const domains = r.list(DOMAIN_LIST_MAX, () => readDomainRef(r));
      r.uint();
      return domains;
    },
  ),
  /** Without domains: of all. */
  connectGetAllDomainStats: procedure(
    344,
    'connectGetAllDomainStats',
    (w, a: { domains: readonly DomainRef[]; stats: number; flags: number }) =>
      void w.list(a.domains, (domain) => writeDomainRef(w, domain)).uint(a.stats).uint(a.flags),
    (r) => r.list(DOMAIN_LIST_MAX, (): DomainStatsRecord => ({ domain: readDomainRef(r), params: readTypedParams(r, DOMAIN_STATS_MAX) })),
  ),
  /** Without a domain: of all. Gives the number of the registration. */
  registerEvent: procedure(
    316,
    'registerEvent',
    (w, a: { event: number; domain: DomainRef | undefined }) => void w.int(a.event).optional(a.domain, (domain) => writeDomainRef(w, domain)),
    (r) => r.int(),
  ),
  domainLookupByUuid: procedure(24, 'domainLookupByUuid', (w, uuid: string) => writeUuid(w, uuid), readDomainRef),
  domainGetState: procedure(212, 'domainGetState', domainAndFlags, (r) => ({ state: r.int(), reason: r.int() })),
  domainGetXmlDesc: procedure(14, 'domainGetXmlDesc', domainAndFlags, (r) => r.string()),
  domainGetMetadata: procedure(
    265,
    'domainGetMetadata',
    (w, a: DomainAndFlags & { type: number; uri: string | undefined }) => {
      writeDomainRef(w, a.domain);
      w.int(a.type).optional(a.uri, (uri) => w.string(uri)).uint(a.flags);
    },
    (r) => r.string(),
  ),
  domainDefineXmlFlags: procedure(350, 'domainDefineXmlFlags', (w, a: { xml: string; flags: number }) => void w.string(a.xml).uint(a.flags), readDomainRef),
  domainCreateWithFlags: procedure(196, 'domainCreateWithFlags', domainAndFlags, readDomainRef),
  domainResume: procedure(28, 'domainResume', (w, domain: DomainRef) => writeDomainRef(w, domain), noResult),
  domainShutdownFlags: procedure(258, 'domainShutdownFlags', domainAndFlags, noResult),
  domainDestroyFlags: procedure(234, 'domainDestroyFlags', domainAndFlags, noResult),
  domainUndefineFlags: procedure(231, 'domainUndefineFlags', domainAndFlags, noResult),
  /** `disk` is the device as the guest has it, such as vda. */
  domainBlockResize: procedure(
    251,
    'domainBlockResize',
    (w, a: DomainAndFlags & { disk: string; sizeBytes: number }) => {
      writeDomainRef(w, a.domain);
      w.string(a.disk).uhyper(BigInt(a.sizeBytes)).uint(a.flags);
    },
    noResult,
  ),
  domainGetJobStats: procedure(298, 'domainGetJobStats', domainAndFlags, (r) => ({ type: r.int(), params: readTypedParams(r, JOB_STATS_MAX) })),
  domainAbortJob: procedure(164, 'domainAbortJob', (w, domain: DomainRef) => writeDomainRef(w, domain), noResult),
  domainMigrateSetMaxDowntime: procedure(
    166,
    'domainMigrateSetMaxDowntime',
    (w, a: DomainAndFlags & { downtimeMs: number }) => {
      writeDomainRef(w, a.domain);
      w.uhyper(BigInt(a.downtimeMs)).uint(a.flags);
    },
    noResult,
  ),
  domainMigrateGetMaxDowntime: procedure(387, 'domainMigrateGetMaxDowntime', domainAndFlags, (r) => Number(r.uhyper())),
  domainMigratePerform3Params: procedure(
    305,
    'domainMigratePerform3Params',
    (w, a: PerformArgs) => {
      writeDomainRef(w, a.domain);
      w.optional(a.destinationUri, (uri) => w.string(uri)).list(a.params, (param) => writeTypedParam(w, param));
      w.opaque(NO_BYTES).uint(a.flags);
    },
    (r) => {
      r.opaque(MIGRATE_COOKIE_MAX_BYTES);
    },
  ),
  secretLookupByUuid: procedure(141, 'secretLookupByUuid', (w, uuid: string) => writeUuid(w, uuid), readSecretRef),
  secretDefineXml: procedure(142, 'secretDefineXml', (w, a: { xml: string; flags: number }) => void w.string(a.xml).uint(a.flags), readSecretRef),
  secretSetValue: procedure(
    144,
    'secretSetValue',
    (w, a: { secret: SecretRef; value: Uint8Array; flags: number }) => {
      writeSecretRef(w, a.secret);
      w.opaque(a.value).uint(a.flags);
    },
    noResult,
  ),
} as const;

/** Numbers of the messages that libvirt sends by itself. */
const EVENT_MESSAGE = { lifecycle: 318, migrationIteration: 359, jobCompleted: 363 } as const;

export type LibvirtEvent =
  | { kind: 'lifecycle'; domain: DomainRef; event: number; detail: number }
  | { kind: 'migration-iteration'; domain: DomainRef; iteration: number }
  | { kind: 'job-completed'; domain: DomainRef; params: TypedParams };

/** The event in a message of this number; undefined when it is one that we do not know. */
export function readEvent(procedureNumber: number, reader: XdrReader): LibvirtEvent | undefined {
  switch (procedureNumber) {
    case EVENT_MESSAGE.lifecycle:
      reader.int();
      return { kind: 'lifecycle', domain: readDomainRef(reader), event: reader.int(), detail: reader.int() };
    case EVENT_MESSAGE.migrationIteration:
      reader.int();
      return { kind: 'migration-iteration', domain: readDomainRef(reader), iteration: reader.int() };
    case EVENT_MESSAGE.jobCompleted:
      reader.int();
      return { kind: 'job-completed', domain: readDomainRef(reader), params: readTypedParams(reader, JOB_STATS_MAX) };
    default:
      return undefined;
  }
}
