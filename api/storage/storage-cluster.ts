import type { PoolTier, Replication } from '../../common/schema/pool.ts';
import type { SnapshotRef } from '../../common/schema/snapshot.ts';
import type { VolumeRef } from '../../common/schema/volume.ts';

/** Flags of the whole cluster that `ceph osd set` and `unset` know. */
export const CLUSTER_OPTIONS = ['full', 'pause', 'noup', 'nodown', 'noout', 'noin', 'nobackfill', 'norebalance', 'norecover', 'noscrub', 'nodeep-scrub', 'notieragent', 'nosnaptrim'] as const;
export type ClusterOption = (typeof CLUSTER_OPTIONS)[number];

/** What an OSD uses and does; rates and the two sizes are texts as Ceph prints them. */
export interface OsdStatistics {
  weight: number;
  reweight: number;
  kb: number;
  kbUsed: number;
  kbUsedData: number;
  kbUsedOmap: number;
  kbUsedMeta: number;
  kbAvail: number;
  /** Percent. */
  utilization: number;
  /** Of the mean utilization. */
  variance: number;
  pgs: number;
  used: string;
  avail: string;
  writeOps: string;
  writeData: string;
  readOps: string;
  readData: string;
  state: string;
}

export interface Osd {
  id: number;
  uuid: string;
  up: boolean;
  in: boolean;
  primaryAffinity: number;
  /** Host that it is on; null while nobody knows. */
  node: string | null;
  /** Empty while the OSD has not told. */
  deviceClass: string;
  /** Paths on its host; null: none, or not known. */
  device: string | null;
  dbDevice: string | null;
  /** Another OSD of the host is on the same device. */
  isSplit: boolean;
  /** Undefined of an OSD that Ceph has no figures of. */
  statistics: OsdStatistics | undefined;
}

export interface PoolStatistics {
  freeBytes: number;
  usedBytes: number;
  storedBytes: number;
  /** From 0 to 1. */
  usedShare: number;
  objects: number;
  objectClones: number;
  objectCopies: number;
  objectsMissingOnPrimary: number;
  objectsUnfound: number;
  objectsDegraded: number;
  readOps: number;
  readBytes: number;
  writeOps: number;
  writeBytes: number;
}

export interface OsdState {
  up: boolean;
  in: boolean;
}

/** A pool for RBD: one that has this application. */
export interface Pool {
  id: number;
  name: string;
  copies: number;
  minCopies: number;
  pgs: number;
  tier: PoolTier;
  /** Null while the OSDs do not answer. */
  volumeCount: number | null;
  /** Zeros of a pool that Ceph has no figures of yet. */
  statistics: PoolStatistics;
}

export interface PoolCreation {
  name: string;
  pgs: number;
  /** Undefined: as Ceph is configured. */
  replication: Replication | undefined;
  tier: PoolTier;
}

/** What is the same of a volume and of its state at a snapshot. */
interface Shape {
  sizeBytes: number;
  /** Objects that it would have when full. */
  objects: number;
  /** Size of an object, as a power of two. */
  order: number;
  features: string[];
  /** What the feature `operations` stands for. */
  opFeatures: string[];
  flags: string[];
}

export interface Volume extends VolumeRef, Shape {
  /** Ceph's own, which a rename does not change. */
  id: string;
  snapshotCount: number;
  blockNamePrefix: string;
  /** Milliseconds since the epoch. */
  createdMs: number;
  accessedMs: number;
  modifiedMs: number;
}

export interface Snapshot extends SnapshotRef {
  id: number;
  sizeBytes: number;
  isProtected: boolean;
  /** Milliseconds since the epoch. */
  createdMs: number;
}

/** Space of the whole cluster. */
export interface StorageSpace {
  totalBytes: number;
  usedBytes: number;
  freeBytes: number;
}

/** Something that Ceph itself complains of (docs.ceph.com, health checks). */
export interface HealthCheck {
  /** Such as OSD_DOWN. */
  id: string;
  isError: boolean;
  message: string;
}

/** The storage at a glance. */
export interface StorageSummary {
  osds: (OsdState & { id: number })[];
  pools: number;
  volumes: number;
  snapshots: number;
  space: StorageSpace;
  /** Without those that somebody muted. */
  checks: HealthCheck[];
}

/** The cluster as a whole. */
export interface StorageOverview {
  /** What `ceph status` prints. */
  statusText(): Promise<string>;
  /** What `rados df` prints. */
  utilizationText(): Promise<string>;
  summary(): Promise<StorageSummary>;
  setOption(action: 'set' | 'unset', option: ClusterOption): Promise<void>;
}

export interface OsdStorage {
  /** By id. */
  list(): Promise<Osd[]>;
  /** Of one, as it is now. @throws 'not-found'. */
  state(id: number): Promise<OsdState>;
  /** @throws 'not-found'. */
  setState(id: number, state: 'in' | 'out'): Promise<void>;
}

export interface PoolStorage {
  /** By name. */
  names(): Promise<string[]>;
  /** By name. */
  list(): Promise<Pool[]>;
  /** @throws 'exists', 'invalid'. */
  create(creation: PoolCreation): Promise<void>;
  /** @throws 'not-found'. */
  setPgs(pool: string, pgs: number): Promise<void>;
  /** With everything in it. @throws 'not-found'. */
  remove(pool: string): Promise<void>;
}

export interface VolumeStorage {
  /** By pool and name; of all pools or of this one. @throws 'not-found' of the pool. */
  list(pool?: string): Promise<Volume[]>;
  /** @throws 'not-found'. */
  get(ref: VolumeRef): Promise<Volume>;
  /** Those of these that do not exist: what a definition names in vain. */
  missing(refs: readonly VolumeRef[]): Promise<VolumeRef[]>;
  /** @throws 'exists', 'not-found' of the pool, 'invalid'. */
  create(ref: VolumeRef, sizeBytes: number): Promise<void>;
  /** @throws 'not-found', 'state' when it would become smaller. */
  resize(ref: VolumeRef, sizeBytes: number): Promise<void>;
  /** @throws 'not-found', 'exists'. */
  rename(ref: VolumeRef, name: string): Promise<void>;
  /** To a volume of its own, in the same pool. @throws 'not-found', 'exists'. */
  copy(ref: VolumeRef, name: string): Promise<void>;
  /** With its snapshots. @throws 'not-found', 'state' while somebody has it open or other volumes are clones of it. */
  remove(ref: VolumeRef): Promise<void>;
}

export interface SnapshotStorage {
  /** By pool, volume and age; of all volumes, or of those of a pool or of a name. @throws 'not-found' of the pool. */
  list(filter: { pool?: string | undefined; volume?: string | undefined }): Promise<Snapshot[]>;
  /** @throws 'not-found' of the volume, 'exists'. */
  create(ref: SnapshotRef): Promise<void>;
  /** @throws 'not-found', 'exists'. */
  rename(ref: SnapshotRef, name: string): Promise<void>;
  /** @throws 'not-found', 'state' while volumes are clones of it. */
  remove(ref: SnapshotRef): Promise<void>;
  /** Makes the volume what it was. @throws 'not-found'. */
  rollBack(ref: SnapshotRef): Promise<void>;
}

/** What a volume has, or had at a snapshot. */
export interface ImageRef extends VolumeRef {
  readonly snapshot?: string;
}

/** Contents on their way. */
export interface Image {
  readonly sizeBytes: number;
  /** As many bytes as that, or a failure. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface ImageStorage {
  /**
   * Nothing is open before the first bytes are asked for, nor after the last ones.
   * @throws 'not-found'; with the first bytes 'too-many', and 'conflict' when the size has changed.
   */
  read(ref: ImageRef): Promise<Image>;
  /**
   * Resolves when all is written out. Nobody else can write to the volume meanwhile, where it has an exclusive lock.
   * @throws 'not-found', 'too-many', 'state' when it is too small or somebody has it open: in none of these are the bytes asked for. A failure later
   * has its own code and says that the volume has a part of the image.
   */
  write(ref: VolumeRef, image: Image): Promise<void>;
}

/**
 * The storage of this cluster. Ceph is what is true: nothing about it is kept anywhere else. What exists is looked up with each call; figures
 * are as old as STORAGE_FIGURES_MS at most. Every call has a time limit; one that changes something resolves when Ceph has done it.
 *
 * All throw AppError: 'state' in a cluster without storage, 'unavailable' when Ceph cannot be reached, 'timeout' when it does not answer
 * ('unknown-outcome' of a change), 'not-allowed' when its configuration or our key does not permit it, 'component' for what else it
 * refuses, in its own words; of what needs room 'no-resource' when the pool is full.
 */
export interface StorageCluster {
  readonly overview: StorageOverview;
  readonly osds: OsdStorage;
  readonly pools: PoolStorage;
  readonly volumes: VolumeStorage;
  readonly snapshots: SnapshotStorage;
  readonly images: ImageStorage;
}

/** Figures are as old as this at most: a keepalive interval. */
export const STORAGE_FIGURES_MS = 5_000;
