const STEP = 1_024;
const NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes for people: three digits are enough to decide by. */
export function showBytes(bytes: number): string {
  let [value, at] = [bytes, 0];
  while (value >= 1_000 && at < NAMES.length - 1) [value, at] = [value / STEP, at + 1];
  const digits = at === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${NAMES[at] ?? ''}`;
}

export const showKib = (kib: number): string => showBytes(kib * STEP);
export const showMib = (mib: number): string => showBytes(mib * STEP * STEP);

/** Seconds for people: `42s`, `3m05s`, `2h10m`. */
export function showSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}
