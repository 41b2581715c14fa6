import type { NodeName } from '../../common/ids.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { GrowthRequest, VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import type { Domain } from '../drivers/hypervisor.ts';

/** What this process knows of a migration that it started; `refused`: the target was not able to take the guest, and nothing was begun. */
export type MigrationJob =
  | { kind: 'none' }
  | { kind: 'running'; generation: number }
  | { kind: 'ended'; generation: number; outcome: 'done' | 'failed' | 'refused' | 'aborted'; error: string | null; elapsedMs: number };

/** Everything the decision about one VM depends on. */
export interface VmView {
  me: NodeName;
  spec: Versioned<VmSpec> | undefined;
  status: Versioned<VmStatus> | undefined;
  /** The domain on this host. */
  domain: Domain | undefined;
  migration: MigrationJob;
  /** The mirror is current. A stale one keeps things running; it never stops or takes over. */
  fresh: boolean;
  /** This node takes VMs. */
  ready: boolean;
  /** The node that the VM shall move to has a live daemon. */
  targetAlive: boolean;
  nowMs: number;
  shutdownTimeoutMs: number;
  /** Where the guest of a broken-off migration was found, once `locate-on-target` has asked. */
  located: 'running' | 'absent' | undefined;
  /** When this process last pressed the guest's power button. */
  buttonPressedMs: number | undefined;
}

/** The next safe step for one VM on this host; after it, the world is observed again. */
export type VmStep =
  | { kind: 'settled' }
  | { kind: 'recheck'; afterMs: number; why: string }
  /** Conditional on the status version that was seen. */
  | { kind: 'write-status'; status: VmStatus }
  | { kind: 'remove-status' }
  | { kind: 'create' }
  | { kind: 'press-power-button' }
  | { kind: 'resume' }
  /** The owner ends the guest. */
  | { kind: 'destroy' }
  /** A guest that this node does not own; the store itself is asked once more before it ends. */
  | { kind: 'destroy-stray' }
  | { kind: 'forget' }
  /** The guest is told the sizes that its volumes have now; then the status says so. */
  | { kind: 'grow-disks'; growth: GrowthRequest }
  | { kind: 'migrate'; target: NodeName; generation: number }
  | { kind: 'abort-migration' }
  /** Asks the target's libvirt whether the guest runs there, after this daemon lost sight of a migration. */
  | { kind: 'locate-on-target'; target: NodeName }
  /** Desired place goes back to this node, because the move failed. */
  | { kind: 'keep-here'; generation: number }
  | { kind: 'finish-removal' };

export const SETTLED: VmStep = { kind: 'settled' };

/** QEMU is there and has the guest. */
export function isAlive(domain: Domain | undefined): domain is Domain {
  return domain !== undefined && domain.state !== 'shutoff' && domain.state !== 'crashed';
}

/** Status after the guest was seen to run on `target`. Either side may write it; the epoch lets only one succeed. */
export function handedOver(
  status: VmStatus,
  target: NodeName,
  result: { outcome: 'live'; error: null; elapsedMs: number },
): VmStatus {
  const from = status.owner ?? target;
  const generation = status.lastMigration?.generation ?? 0;
  const progress = status.phase.kind === 'migrating' ? status.phase.progress : null;
  return {
    ...status,
    owner: target,
    epoch: status.epoch + 1,
    phase: { kind: 'running' },
    lastMigration: { generation, from, to: target, ...result, elapsedMs: result.elapsedMs || (progress?.elapsedMs ?? 0) },
  };
}

/** A status that answers this version of the spec. */
export function writeStatus(spec: Versioned<VmSpec>, status: VmStatus): VmStep {
  return { kind: 'write-status', status: { ...status, observedVersion: spec.version } };
}

export function staleRecheck(): VmStep {
  return { kind: 'recheck', afterMs: 1_000, why: 'the mirror is stale' };
}
