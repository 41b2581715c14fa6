import { AppError, type ErrorCode } from '../errors.ts';
import { readDomainRef } from './domain-ref.ts';
import type { XdrReader } from './xdr.ts';

/** libvirt's own error numbers (virterror.h, virErrorNumber) that decide something here. */
export const LIBVIRT_ERROR = {
  noConnect: 5,
  invalidArg: 8,
  xmlError: 27,
  domainExists: 28,
  operationDenied: 29,
  xmlDetail: 35,
  rpc: 39,
  noDomain: 42,
  authFailed: 45,
  operationInvalid: 55,
  noSecret: 66,
  configUnsupported: 67,
  operationTimeout: 68,
  operationAborted: 78,
  noDomainMetadata: 80,
  operationUnsupported: 84,
  resourceBusy: 87,
  accessDenied: 88,
  xmlInvalidSchema: 92,
  authUnavailable: 94,
} as const;

export interface LibvirtErrorFacts {
  code: number;
  /** Part of libvirt that failed (virErrorDomain). */
  domain: number;
  message: string;
}

/** Decodes remote_error and turns it into an AppError by its number; `libvirtCode` and `libvirtMessage` are in details. */
export function readLibvirtError(reader: XdrReader, call: string): AppError {
  const facts: LibvirtErrorFacts = { code: reader.int(), domain: reader.int(), message: reader.optional(() => reader.string()) ?? '' };
  reader.int();
  reader.optional(() => readDomainRef(reader));
  return toLibvirtError(facts, call);
}

function toLibvirtError(facts: LibvirtErrorFacts, call: string): AppError {
  const details = { call, libvirtCode: facts.code, libvirtDomain: facts.domain, libvirtMessage: facts.message };
  return new AppError(errorCodeOf(facts.code), 'libvirt refused the call', details);
}

/** libvirt's number of an error that came from it, else undefined. */
export function libvirtCodeOf(error: unknown): number | undefined {
  if (!(error instanceof AppError)) return undefined;
  const code = error.details['libvirtCode'];
  return typeof code === 'number' ? code : undefined;
}

function errorCodeOf(libvirtCode: number): ErrorCode {
  switch (libvirtCode) {
    case LIBVIRT_ERROR.noDomain:
    case LIBVIRT_ERROR.noDomainMetadata:
    case LIBVIRT_ERROR.noSecret:
      return 'not-found';
    case LIBVIRT_ERROR.operationInvalid:
    case LIBVIRT_ERROR.operationUnsupported:
      return 'state';
    case LIBVIRT_ERROR.domainExists:
      return 'exists';
    case LIBVIRT_ERROR.xmlError:
    case LIBVIRT_ERROR.xmlDetail:
    case LIBVIRT_ERROR.xmlInvalidSchema:
    case LIBVIRT_ERROR.configUnsupported:
    case LIBVIRT_ERROR.invalidArg:
      return 'invalid';
    case LIBVIRT_ERROR.operationTimeout:
      return 'timeout';
    case LIBVIRT_ERROR.operationAborted:
      return 'cancelled';
    case LIBVIRT_ERROR.operationDenied:
    case LIBVIRT_ERROR.accessDenied:
      return 'not-allowed';
    case LIBVIRT_ERROR.authFailed:
    case LIBVIRT_ERROR.authUnavailable:
      return 'unauthenticated';
    case LIBVIRT_ERROR.noConnect:
      return 'unavailable';
    default:
      return 'component';
  }
}
