import type { VmId } from '../../common/ids.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';

/** What libvirt says of a domain (virDomainState), reduced to what decisions need. */
export type DomainState = 'running' | 'paused' | 'shutting-down' | 'shutoff' | 'crashed';

/**
 * Why a domain is shut off (virDomainShutoffReason): `shutdown` the guest powered itself off (or obeyed ACPI), `destroyed` it was
 * stopped by force, `crashed` QEMU died or the guest panicked, `migrated` it left for another host, `failed` it never started,
 * `unknown` libvirt was started after it had gone (the host booted).
 */
export type ShutoffReason = 'shutdown' | 'destroyed' | 'crashed' | 'migrated' | 'failed' | 'unknown';

export interface Domain {
  uuid: VmId;
  name: string;
  state: DomainState;
  /** Set when state is shutoff or crashed. */
  shutoffReason?: ShutoffReason;
  /** Paused as the receiving side of a migration (virDomainPausedReason MIGRATION or an inactive incoming guest). */
  incoming: boolean;
  /** Carries the metadata mark of this project; a domain without it is foreign and never touched. */
  ours: boolean;
}

export interface MigrationProgress {
  bytesTotal: number;
  bytesProcessed: number;
  bytesRemaining: number;
  /** Number of passes over the guest's memory (memory_iteration). */
  pass: number;
  elapsedMs: number;
}

export interface MigrationRequest {
  /** Name of the receiving node. */
  target: string;
  /** Permitted pause of the guest at the switch-over, in milliseconds. */
  maxDowntimeMs: number;
  /** Lets QEMU slow the guest's processors down until the migration converges. */
  autoConverge: boolean;
}

export interface DomainStats {
  uuid: VmId;
  vcpus: number;
  /** Current balloon in MiB. */
  memoryMib: number;
  figures: VmFigures;
}

/** A disk of a guest that runs. */
export interface GuestDisk {
  /** As the guest has it, such as vda. */
  dev: string;
  /** `file`, or the protocol of a network disk (`rbd`). */
  type: string;
  /** File path, or `pool/image`. */
  name: string;
  /** As the guest was last told; undefined when libvirt does not tell. */
  sizeBytes: number | undefined;
}

export interface HostInfo {
  libvirtVersion: string;
  hypervisorVersion: string;
}

export interface HypervisorListener {
  /** Something about this domain changed: look at it. */
  domain?(uuid: VmId): void;
  /** The connection to libvirt was lost or came back: look at everything. */
  connection?(state: 'connected' | 'lost'): void;
}

/**
 * The libvirt of this host. Domains are persistent while they run here, so that the reason of their end survives a daemon
 * that was not running at that time; `forget` removes the definition.
 * Calls fail with AppError: 'not-found' (no such domain), 'state' (wrong state for the call), 'unavailable' (libvirt unreachable),
 * 'timeout', 'component' (libvirt's refusal, with its code and message in details).
 */
export interface Hypervisor {
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  hostInfo(): Promise<HostInfo>;
  list(): Promise<readonly Domain[]>;
  find(uuid: VmId): Promise<Domain | undefined>;
  stats(): Promise<readonly DomainStats[]>;
  /** Defines the domain from `xml`, with our mark in its metadata, and starts it. A domain that runs already is left as it is. */
  create(uuid: VmId, xml: string): Promise<void>;
  /** The disks that the guest has now, whatever its definition says by now. @throws 'state' when it does not run. */
  disks(uuid: VmId): Promise<readonly GuestDisk[]>;
  /**
   * Gives a disk of the running guest this size, and tells the guest, also when the disk has it already. One that is given a smaller size
   * loses what is behind it.
   * @throws 'invalid' when it has no such disk, 'timeout' also while the guest is being migrated.
   */
  resizeDisk(uuid: VmId, disk: { dev: string; sizeBytes: number }): Promise<void>;
  /** Presses the ACPI power button; returns at once. */
  shutdown(uuid: VmId): Promise<void>;
  /** Lets a paused guest go on, such as one whose migration broke off at the switch-over. One that runs already is fine. */
  resume(uuid: VmId): Promise<void>;
  /** Ends the guest by force; returns when it has ended. Already ended is fine. */
  destroy(uuid: VmId): Promise<void>;
  /** Removes the definition of a domain that does not run. Unknown is fine. */
  forget(uuid: VmId): Promise<void>;
  /**
   * Moves the running guest live to another node, peer to peer, and resolves when it runs there and is gone here.
   * On any failure the guest still runs here. One call per guest at a time; other guests may move at the same time.
   * Abort of `signal` aborts the migration.
   */
  migrate(uuid: VmId, request: MigrationRequest, signal: AbortSignal): Promise<void>;
  /** Progress of the migration that is leaving this host, undefined when none is under way. */
  migrationProgress(uuid: VmId): Promise<MigrationProgress | undefined>;
  /** Permits a longer pause at the switch-over of a migration that does not converge. */
  setMaxDowntime(uuid: VmId, maxDowntimeMs: number): Promise<void>;
  /** Ends a migration that is under way; the guest stays here. None under way is fine. */
  abortMigration(uuid: VmId): Promise<void>;
  /** What the *peer's* libvirt says of the domain, over the pinned ssh link. For decisions at the end of a migration. */
  findOnPeer(node: string, uuid: VmId): Promise<Domain | undefined>;
  listen(listener: HypervisorListener): () => void;
}
