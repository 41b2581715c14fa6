/** Numbers of libvirt's public headers (libvirt-domain.h, libvirt-host.h), under the names they have there without their prefix. */

export const DOMAIN_STATE = { noState: 0, running: 1, blocked: 2, paused: 3, shutdown: 4, shutoff: 5, crashed: 6, pmSuspended: 7 } as const;

export const SHUTOFF_REASON = { unknown: 0, shutdown: 1, destroyed: 2, crashed: 3, migrated: 4, saved: 5, failed: 6, fromSnapshot: 7, daemon: 8 } as const;

/** VIR_DOMAIN_PAUSED_MIGRATION: set on both sides of a migration. */
export const PAUSED_REASON_MIGRATION = 2;

export const LIFECYCLE_EVENT = { defined: 0, undefined: 1, started: 2, suspended: 3, resumed: 4, stopped: 5, shutdown: 6, pmSuspended: 7, crashed: 8 } as const;

/** VIR_DOMAIN_EVENT_ID_*. */
export const EVENT_ID = { lifecycle: 0, migrationIteration: 20, jobCompleted: 21 } as const;

export const MIGRATE = { live: 1, peer2peer: 2, tunnelled: 4, persistDest: 8, undefineSource: 16, autoConverge: 8_192 } as const;

/** VIR_MIGRATE_PARAM_URI. */
export const MIGRATE_PARAM_URI = 'migrate_uri';

export const UNDEFINE = { managedSave: 1, snapshotsMetadata: 2, nvram: 4, keepNvram: 8, checkpointsMetadata: 16, tpm: 32, keepTpm: 64 } as const;

/** VIR_DOMAIN_BLOCK_RESIZE_BYTES: the size is not in KiB. */
export const BLOCK_RESIZE_BYTES = 1;

export const SHUTDOWN_ACPI_POWER_BUTTON = 1;

/** VIR_DOMAIN_METADATA_ELEMENT. */
export const METADATA_ELEMENT = 2;

/** VIR_DOMAIN_STATS_*. */
export const STATS = { state: 1, cpuTotal: 2, balloon: 4, vcpu: 8, interface: 16, block: 32 } as const;

export const STATS_FLAGS = { active: 1, noWait: 0x2000_0000 } as const;

export const JOB_OPERATION = { migrationIn: 4, migrationOut: 5 } as const;

/** Asks the daemon to send keepalive pings (libvirt_internal.h, VIR_DRV_FEATURE_PROGRAM_KEEPALIVE). */
export const FEATURE_PROGRAM_KEEPALIVE = 10;

/** remote_auth_type. */
export const AUTH_NONE = 0;
