import type { MigrationProgressDoc } from '../schema/vm-status.ts';

/** Passes over the guest's memory that a converging migration needs at most; QEMU's auto-converge slows the guest meanwhile. */
const PATIENT_PASSES = 5;

/** Longest pause that the ladder permits by itself, in milliseconds. */
const DOWNTIME_CAP_MS = 10_000;

/**
 * The next rung of the ladder for a migration that does not converge: once several passes have not finished it, the permitted
 * pause doubles with each further pass.
 * @returns the new maximum pause in milliseconds, or undefined to leave it.
 */
export function nextMaxDowntimeMs(progress: MigrationProgressDoc, current: { maxDowntimeMs: number; raisedAtPass: number }): number | undefined {
  if (progress.pass <= PATIENT_PASSES || progress.pass <= current.raisedAtPass) return undefined;
  const next = Math.min(current.maxDowntimeMs * 2, DOWNTIME_CAP_MS);
  return next > current.maxDowntimeMs ? next : undefined;
}
