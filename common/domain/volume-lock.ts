/** A lock on a volume, as Ceph has it; also librbd's own, which a client takes with its first write. */
export interface VolumeLock {
  /** `client.4123`. */
  client: string;
  cookie: string;
  address: string;
}

/** Who has to do with a volume. */
export interface VolumeHolders {
  locks: readonly VolumeLock[];
  /** Addresses of clients that have it open. One that died is among them for half a minute, unless it is blocklisted. */
  watchers: readonly string[];
}

export type VolumeLockStep =
  /** Nobody has it. */
  | { kind: 'free' }
  /** Somebody who may live has it open. */
  | { kind: 'held'; by: readonly string[] }
  /** These are of clients that Ceph has heard nothing of for as long as it waits: they go, once the client is shut out. */
  | { kind: 'break'; locks: readonly VolumeLock[] };

/**
 * What has to happen before somebody else may use the volume. A lock alone does not keep a second client out: librbd takes it from a living one that is
 * asked for it. So whoever has the volume open counts, locked or not.
 */
export function nextVolumeLockStep({ locks, watchers }: VolumeHolders): VolumeLockStep {
  if (watchers.length > 0) return { kind: 'held', by: [...new Set(watchers)] };
  return locks.length > 0 ? { kind: 'break', locks } : { kind: 'free' };
}
