import { AppError } from '../errors.ts';

/** Factors of libvirt's memory units, in bytes (libvirt.org/formatdomain.html, memory allocation); KiB when none is given. */
const UNIT_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1_000,
  k: 1_024,
  KiB: 1_024,
  MB: 1_000_000,
  M: 1_048_576,
  MiB: 1_048_576,
  GB: 1_000_000_000,
  G: 1_073_741_824,
  GiB: 1_073_741_824,
  TB: 1_000_000_000_000,
  T: 1_099_511_627_776,
  TiB: 1_099_511_627_776,
};

/** 64 TiB: more than any host has, and little enough that sums over a cluster stay exact. */
const MEMORY_MAX_MIB = 64 * 1_048_576;

/** An element with text and a `unit` attribute. */
export interface MemoryElement {
  readonly textContent: string | null;
  getAttribute(name: string): string | null;
}

/**
 * Memory in MiB, rounded up.
 * @throws AppError 'invalid' when it is missing, not a number, under 1 MiB, over 64 TiB or of an unknown unit.
 */
export function memoryMibOf(element: MemoryElement | undefined): number {
  const unit = element?.getAttribute('unit') ?? 'KiB';
  const factor = UNIT_BYTES[unit === '' ? 'KiB' : unit];
  const text = element?.textContent?.trim() ?? '';
  const amount = /^\d{1,15}$/u.test(text) ? Number(text) : NaN;
  if (factor === undefined) throw new AppError('invalid', 'the unit of the memory is not known', { unit });
  if (!(amount * factor >= UNIT_BYTES['MiB']!)) throw new AppError('invalid', 'the memory must be a number of at least 1 MiB', { memory: text, unit });
  const memoryMib = Math.ceil((amount * factor) / UNIT_BYTES['MiB']!);
  if (memoryMib > MEMORY_MAX_MIB) throw new AppError('invalid', 'the memory is more than any host has', { memory: text, unit, maxMib: MEMORY_MAX_MIB });
  return memoryMib;
}
