import { constants } from 'node:os';
import { AppError, type ErrorCode } from '../errors.ts';

/** Linux' number for ESHUTDOWN, which Ceph gives to clients that are blocklisted; Node does not know it. */
export const BLOCKLISTED = 108;

const NAMES = new Map([...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]), [BLOCKLISTED, 'ESHUTDOWN']]);

/**
 * What a negative result of librados or librbd means; `errno` (positive) and `reason`, its name, stand in the details.
 * @param effect with 'write', an answer that never came leaves the outcome unknown.
 */
export function toRadosError(result: number, effect: 'read' | 'write', details: Record<string, unknown>): AppError {
  const errno = -result;
  return new AppError(codeOf(errno, effect), 'Ceph refused the call', { ...details, errno, reason: NAMES.get(errno) ?? `errno ${errno}` });
}

/** Ceph's number for an error that came from it, positive; else undefined. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof AppError)) return undefined;
  const errno = error.details['errno'];
  return typeof errno === 'number' ? errno : undefined;
}

function codeOf(errno: number, effect: 'read' | 'write'): ErrorCode {
  const { errno: known } = constants;
  switch (errno) {
    case known.ENOENT:
    case known.ENODATA:
      return 'not-found';
    case known.EEXIST:
      return 'exists';
    case known.EBUSY:
    case known.ENOTEMPTY:
    case known.EROFS:
      return 'state';
    case known.EPERM:
    case known.EACCES:
      return 'not-allowed';
    case known.ENOSPC:
    case known.EDQUOT:
      return 'no-resource';
    case known.EINVAL:
    case known.ENAMETOOLONG:
    case known.ENOSYS:
    case known.EOPNOTSUPP:
    case known.ERANGE:
    case known.EDOM:
      return 'invalid';
    case known.EFBIG:
    case known.E2BIG:
      return 'too-large';
    case known.ETIMEDOUT:
      return effect === 'write' ? 'unknown-outcome' : 'timeout';
    case known.ENOTCONN:
    case known.ECONNREFUSED:
    case known.ENETUNREACH:
    case known.EHOSTUNREACH:
    case BLOCKLISTED:
      return effect === 'write' ? 'unknown-outcome' : 'unavailable';
    default:
      return 'component';
  }
}
