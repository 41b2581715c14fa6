/** One measured value, printed as one JSON line. */
export interface Figure {
  name: string;
  value: number;
  unit: 'ms' | 's' | 'MiB' | '%' | 'times' | '1/s';
  /** The value has to stay below it; null: told for information. */
  bar: number | null;
  ok: boolean;
}

/** A figure with three significant digits, judged before rounding. */
export function figure(name: string, value: number, unit: Figure['unit'], bar: number | null): Figure {
  return { name, value: Number(value.toPrecision(3)), unit, bar, ok: bar === null || value < bar };
}

/**
 * The value below which `share` (0 to 1) of the samples lie, by the nearest rank.
 * @throws RangeError without samples.
 */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
  if (value === undefined) throw new RangeError('no samples');
  return value;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}
