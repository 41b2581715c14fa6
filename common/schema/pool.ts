import { z } from 'zod';

/** Longest name of a pool, volume or snapshot that is made here; Ceph itself takes far longer ones. */
export const STORAGE_NAME_MAX_CHARS = 128;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/u;
const NAME_RULE = `must be 1 to ${STORAGE_NAME_MAX_CHARS} letters, digits, dots, dashes or underscores, beginning with a letter or digit`;

/** A name that is safe in `pool/volume@snapshot`, in a path and on a command line. */
export const storageName = z.string().max(STORAGE_NAME_MAX_CHARS, NAME_RULE).regex(NAME, NAME_RULE);

/** Name of a pool that is made here. Pools that somebody else made may have others. */
export const poolName = storageName.brand<'PoolName'>();
export type PoolName = z.infer<typeof poolName>;

/** Copies of each object, at most: Ceph's own limit of a replicated pool (osd pool set size). */
export const COPIES_MAX = 10;
/** Placement groups of a pool, at most: Ceph refuses more than mon_max_pool_pg_num, 65536 by default. */
export const PGS_MAX = 65_536;

/** Copies of each object, and the least of them that must be there for a write. */
export const replication = z
  .strictObject({ copies: z.int().min(1).max(COPIES_MAX), minCopies: z.int().min(1).max(COPIES_MAX) })
  .refine((value) => value.minCopies <= value.copies, { message: 'mincopies must not exceed copies' });
export type Replication = z.infer<typeof replication>;

/** Disks that a pool may be kept on: of any sort, or of one device class (docs.ceph.com, CRUSH maps). */
export const poolTier = z.enum(['default', 'hdd', 'ssd', 'nvme']);
export type PoolTier = z.infer<typeof poolTier>;
