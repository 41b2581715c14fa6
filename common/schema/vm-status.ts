import { z } from 'zod';
import { nodeName } from '../ids.ts';

export const migrationProgress = z.strictObject({
  bytesTotal: z.int().min(0),
  bytesProcessed: z.int().min(0),
  bytesRemaining: z.int().min(0),
  /** Pass over the guest's memory, from 1. */
  pass: z.int().min(0),
  elapsedMs: z.int().min(0),
});
export type MigrationProgressDoc = z.infer<typeof migrationProgress>;

/**
 * Where the VM is in its life, as its owner last knew it.
 * `relocating`: shut down at its old node so that `spec.node` may start it.
 */
const vmPhase = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('stopped') }),
  z.strictObject({ kind: z.literal('starting') }),
  z.strictObject({ kind: z.literal('running') }),
  /** `sinceMs` is the owner's own wall clock; the forced stop follows after the owner's shutdown timeout. */
  z.strictObject({ kind: z.literal('shutting-down'), sinceMs: z.int(), next: z.enum(['stop', 'start', 'relocate']) }),
  z.strictObject({ kind: z.literal('migrating'), target: nodeName, progress: migrationProgress.nullable() }),
  z.strictObject({ kind: z.literal('relocating') }),
  z.strictObject({ kind: z.literal('failed'), reason: z.string() }),
]);
export type VmPhase = z.infer<typeof vmPhase>;

const migrationOutcome = z.strictObject({
  generation: z.int(),
  from: nodeName,
  to: nodeName,
  outcome: z.enum(['live', 'shutdown', 'failed', 'aborted']),
  error: z.string().nullable(),
  elapsedMs: z.int().min(0),
});
export type MigrationOutcome = z.infer<typeof migrationOutcome>;

/**
 * Observed state of one VM. Written by its owner; a node becomes owner by a conditional write with a higher epoch, from nobody,
 * or as the target on which the guest already runs.
 */
export const vmStatus = z.strictObject({
  /** The node that alone may run the guest; null when nobody does. */
  owner: nodeName.nullable(),
  epoch: z.int().min(0),
  phase: vmPhase,
  /** The power request that `phase` answers. */
  powerGeneration: z.int().min(0),
  /** The growth of volumes that the guest knows of; one that starts finds its volumes as they are. Documents of before there was this know of none. */
  growthGeneration: z.int().min(0).default(0),
  /** Version of the spec document that this status answers. */
  observedVersion: z.int().min(0),
  /** Version of the spec document that the running guest was started with; null when it does not run. */
  startedVersion: z.int().min(0).nullable(),
  lastMigration: migrationOutcome.nullable(),
});
export type VmStatus = z.infer<typeof vmStatus>;

/** The last lines of a guest's serial console, read on demand and not mirrored. */
export const vmConsole = z.strictObject({
  lines: z.array(z.string()),
  /** How far each node's log file is in `lines`, so that whoever goes on, or gets the guest back, neither repeats nor loses what was printed. */
  sources: z.record(nodeName, z.strictObject({ fileId: z.string(), offsetBytes: z.int().min(0) })),
  /** The node whose output ends without a newline yet; null when the last line is whole. */
  unfinishedBy: nodeName.nullable(),
});
export type VmConsole = z.infer<typeof vmConsole>;
