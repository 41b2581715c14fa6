import { AppError } from '../errors.ts';

const UNITS = ['B', 'K', 'M', 'G', 'T', 'P'] as const;
const FACTOR = 1_024;

/** Larger ones could not be told exactly; Ceph's own limit of an image with an object map is lower. */
export const SIZE_MAX_BYTES = Number.MAX_SAFE_INTEGER;

/** What people write, and what both command lines send: 1073741824, 4096M, 20G, 1.5T, 20GiB. */
const SIZE = /^(\d{1,19})(?:\.(\d{1,9}))? ?(?:([BKMGTP])|([KMGTP])i?B)?$/iu;

/**
 * A size in bytes: a number of bytes, or of a unit of 1024 to its power.
 * @throws AppError 'invalid' when it is no size, nothing, not a whole number of bytes, or beyond SIZE_MAX_BYTES.
 */
export function parseStorageSize(text: string): number {
  const [matched, whole, fraction, unit, longUnit] = SIZE.exec(text) ?? [];
  if (matched === undefined || whole === undefined) throw invalid('must be a size in bytes, or with one of the units K, M, G, T and P, such as 1073741824, 4096M or 20G');
  const power = UNITS.findIndex((one) => one === (unit ?? longUnit ?? 'B').toUpperCase());
  const scaled = BigInt(`${whole}${fraction ?? ''}`) * BigInt(FACTOR) ** BigInt(power);
  const divisor = 10n ** BigInt(fraction?.length ?? 0);
  if (scaled % divisor !== 0n) throw invalid('must be a whole number of bytes');
  const sizeBytes = scaled / divisor;
  if (sizeBytes === 0n) throw invalid('must be more than nothing');
  if (sizeBytes > BigInt(SIZE_MAX_BYTES)) throw invalid('is larger than a volume can be');
  return Number(sizeBytes);
}

function invalid(message: string): AppError {
  return new AppError('invalid', message);
}

/** Digits that a size is shown with, at most. */
const SHOWN_MAX = 9_999;

/** For people, as the existing clients show it: rounded up, in the smallest unit with at most four digits; 20 GiB is 20G, 4 GiB is 4096M. */
export function shownStorageSize(sizeBytes: number): string {
  const inUnit = (power: number): number => Math.ceil(sizeBytes / FACTOR ** power);
  const power = UNITS.findIndex((_unit, at) => inUnit(at) <= SHOWN_MAX);
  const chosen = power < 0 ? UNITS.length - 1 : power;
  return `${inUnit(chosen)}${UNITS[chosen] ?? ''}`;
}
