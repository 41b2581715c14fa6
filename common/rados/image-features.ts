import { AppError } from '../errors.ts';

/** Bits of an image's features (include/rbd/features.h). */
const FEATURE_BITS = {
  layering: 1n << 0n,
  striping: 1n << 1n,
  'exclusive-lock': 1n << 2n,
  'object-map': 1n << 3n,
  'fast-diff': 1n << 4n,
  'deep-flatten': 1n << 5n,
  journaling: 1n << 6n,
  'data-pool': 1n << 7n,
  operations: 1n << 8n,
  migrating: 1n << 9n,
  'non-primary': 1n << 10n,
  'dirty-cache': 1n << 11n,
} as const;

/** Bits of what an image with the feature `operations` takes part in (RBD_OPERATION_FEATURE_ of include/rbd/features.h). */
const OPERATION_BITS = { 'clone-parent': 1n << 0n, 'clone-child': 1n << 1n, group: 1n << 2n, 'snap-trash': 1n << 3n } as const;

/** Flags of an image (RBD_FLAG_ of librbd.h). */
const FLAG_BITS = { 'object-map-invalid': 1n << 0n, 'fast-diff-invalid': 1n << 1n } as const;

/** Names of the set bits, in the order of the bits, as `rbd info` has them; a bit without a name is `bit-N`. */
export function featureNames(bits: bigint): string[] {
  return namesOf(FEATURE_BITS, bits);
}

export function operationNames(bits: bigint): string[] {
  return namesOf(OPERATION_BITS, bits);
}

export function flagNames(bits: bigint): string[] {
  return namesOf(FLAG_BITS, bits);
}

/** @throws AppError 'invalid' for a name that is none. */
export function featureBits(names: readonly string[]): bigint {
  const known = new Map<string, bigint>(Object.entries(FEATURE_BITS));
  return names.reduce((bits, name) => {
    const bit = known.get(name);
    if (bit === undefined) throw new AppError('invalid', 'no such feature of an image', { feature: name, known: [...known.keys()] });
    return bits | bit;
  }, 0n);
}

function namesOf(table: Readonly<Record<string, bigint>>, bits: bigint): string[] {
  const named = Object.entries(table).filter(([, bit]) => (bits & bit) !== 0n);
  const rest = named.reduce((left, [, bit]) => left & ~bit, bits);
  const unnamed = [...rest.toString(2)].reverse().flatMap((digit, at) => (digit === '1' ? [`bit-${at}`] : []));
  return [...named.map(([name]) => name), ...unnamed];
}
