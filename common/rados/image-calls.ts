import { z } from 'zod';
import { bytes, cName, cText, nothing, size, type Call } from './call.ts';
import { objectPlace } from './object-calls.ts';

/** librbd takes any text; these two separate pool, image and snapshot in every tool's notation. */
const imageName = cName.refine((name) => !/[/@]/u.test(name), 'must not contain / or @');

const image = objectPlace.extend({ image: imageName });
const options = z.object({
  /** Size of the objects, as a power of two: 22 is 4 MiB. Ceph's default when left out. */
  order: z.int().min(12).max(25).optional(),
  /** Ceph's default when left out. */
  features: z.array(z.string()).optional(),
  stripeUnitBytes: size.optional(),
  stripeCount: z.int().positive().optional(),
  dataPool: cName.optional(),
});
/** How an image is made. */
export type RbdImageOptions = z.input<typeof options>;

const create = image.extend({ sizeBytes: size, options });
const target = image.extend({ toPool: cName, toNamespace: cText, toImage: imageName, options });
const copy = target.extend({ snapshot: cName.optional() });
const clone = target.extend({ snapshot: cName, cloneFormat: z.union([z.literal(1), z.literal(2)]).optional() });
const rename = image.extend({ toImage: imageName });
const resize = image.extend({ sizeBytes: size, allowShrink: z.boolean() });
const features = image.extend({ features: z.array(z.string()), isEnabled: z.boolean() });
const snapshot = image.extend({ snapshot: cName });
const snapshotRename = snapshot.extend({ toSnapshot: cName });
const snapshotRemove = snapshot.extend({ force: z.boolean() });
const metadataKey = image.extend({ key: cName });
const metadataValue = metadataKey.extend({ value: cText });
const lock = image.extend({ client: cName, cookie: cText });
const lockOwner = image.extend({ owner: cName });
const lockOwn = image.extend({ cookie: cText });

const imageSpec = z.object({ pool: z.string(), namespace: z.string(), image: z.string(), imageId: z.string(), isInTrash: z.boolean() });
/** An image somewhere in the cluster. */
export type RbdImageSpec = z.infer<typeof imageSpec>;

const parent = imageSpec.extend({ snapshot: z.string() });
/** The snapshot that an image was cloned from. */
export type RbdParent = z.infer<typeof parent>;

const imageInfo = z.object({
  name: z.string(),
  id: z.string(),
  sizeBytes: z.number(),
  objectSizeBytes: z.number(),
  objectCount: z.number(),
  order: z.number(),
  /** Names as `rbd info` has them. */
  features: z.array(z.string()),
  /** What the feature `operations` stands for, such as `clone-parent`. */
  opFeatures: z.array(z.string()),
  flags: z.array(z.string()),
  /** Names of the objects that hold the data begin with it. */
  blockNamePrefix: z.string(),
  stripeUnitBytes: z.number(),
  stripeCount: z.number(),
  dataPoolId: z.number(),
  snapshotCount: z.number(),
  parent: parent.optional(),
  /** Bytes from the start that are read from the parent where the image has none of its own. */
  overlapBytes: z.number(),
  children: z.array(imageSpec),
  createdAtMs: z.number(),
  accessedAtMs: z.number(),
  modifiedAtMs: z.number(),
});
/** Everything about one image; times are the wall clock of OSDs and clients, in milliseconds since the epoch. */
export type RbdImageInfo = z.infer<typeof imageInfo>;

const listingParent = z.object({ poolId: z.number(), namespace: z.string(), imageId: z.string(), snapshotId: z.number() });
const listingSnapshot = z.object({
  id: z.number(),
  name: z.string(),
  sizeBytes: z.number(),
  isProtected: z.boolean(),
  createdAtMs: z.number(),
  /** Somebody asked for it; others belong to groups, mirrors and the trash. */
  isOfUser: z.boolean(),
});
const imageListing = z.object({
  name: z.string(),
  id: z.string(),
  sizeBytes: z.number(),
  order: z.number(),
  features: z.array(z.string()),
  /** What the feature `operations` stands for, such as `clone-parent`. */
  opFeatures: z.array(z.string()),
  flags: z.array(z.string()),
  /** By numbers and ids, as it stands in the image. */
  parent: listingParent.optional(),
  /** All that stand in the image, those of the trash and of groups too, in the order in which they were taken. */
  snapshots: z.array(listingSnapshot),
  createdAtMs: z.number(),
  accessedAtMs: z.number(),
  modifiedAtMs: z.number(),
});
/** What the listing of a whole pool tells of an image. */
export type RbdImageListing = z.infer<typeof imageListing>;

const snapshotInfo = z.object({
  id: z.number(),
  name: z.string(),
  /** Of the image when the snapshot was taken. */
  sizeBytes: z.number(),
  isProtected: z.boolean(),
  createdAtMs: z.number(),
});
export type RbdSnapshotInfo = z.infer<typeof snapshotInfo>;

const locker = z.object({ client: z.string(), cookie: z.string(), address: z.string() });
const lockers = z.object({ isExclusive: z.boolean(), tag: z.string(), lockers: z.array(locker) });
/** Who holds a lock: `client` as `client.4123`, `cookie` as `auto 139643345791728` for librbd's own, address with nonce. */
export type RbdLockers = z.infer<typeof lockers>;

const lockOwners = z.object({ mode: z.enum(['exclusive', 'shared']), owners: z.array(z.string()) });
export type RbdLockOwners = z.infer<typeof lockOwners>;

const watcher = z.object({ address: z.string(), clientId: z.number(), cookie: z.bigint() });
/** A client that has the image open. */
export type RbdWatcher = z.infer<typeof watcher>;

type Image = z.infer<typeof image>;

function onImage<Args extends Image, Result>(name: string, effect: 'read' | 'write', args: z.ZodType<Args>, result: z.ZodType<Result>): Call<Args, Result> {
  const key = (one: Args): string => `${effect} ${one.pool}/${one.namespace}/${one.image}`;
  return { name: `image-${name}`, lane: 'image', effect, args, result, key };
}

function long<Args, Result>(call: Call<Args, Result>): Call<Args, Result> {
  return { ...call, isLong: true };
}

export const imageNamesCall: Call<z.infer<typeof objectPlace>, string[]> = { name: 'image-names', lane: 'list', effect: 'read', args: objectPlace, result: z.array(z.string()) };
export const imageListingsCall: Call<z.infer<typeof objectPlace>, RbdImageListing[]> = {
  name: 'image-listings',
  lane: 'list',
  effect: 'read',
  args: objectPlace,
  result: z.array(imageListing),
};

export const imageCreateCall = onImage('create', 'write', create, nothing);
export const imageInfoCall = onImage('info', 'read', image, imageInfo);
export const imageChildrenCall = onImage('children', 'read', image, z.array(imageSpec));
export const imageResizeCall = long(onImage('resize', 'write', resize, nothing));
export const imageRenameCall = onImage('rename', 'write', rename, nothing);
export const imageCopyCall = long(onImage('copy', 'write', copy, nothing));
export const imageCloneCall = onImage('clone', 'write', clone, nothing);
export const imageFlattenCall = long(onImage('flatten', 'write', image, nothing));
export const imageRemoveCall = long(onImage('remove', 'write', image, nothing));
export const imageFeaturesCall = onImage('features', 'write', features, nothing);
export const imageRebuildObjectMapCall = long(onImage('rebuild-object-map', 'write', image, nothing));

export const snapshotListCall = onImage('snapshot-list', 'read', image, z.array(snapshotInfo));
export const snapshotCreateCall = onImage('snapshot-create', 'write', snapshot, nothing);
export const snapshotRemoveCall = long(onImage('snapshot-remove', 'write', snapshotRemove, nothing));
export const snapshotRenameCall = onImage('snapshot-rename', 'write', snapshotRename, nothing);
export const snapshotProtectCall = onImage('snapshot-protect', 'write', snapshot, nothing);
export const snapshotUnprotectCall = onImage('snapshot-unprotect', 'write', snapshot, nothing);
export const snapshotRollbackCall = long(onImage('snapshot-rollback', 'write', snapshot, nothing));

export const lockersCall = onImage('lockers', 'read', image, lockers);
export const lockOwnersCall = onImage('lock-owners', 'read', image, lockOwners);
export const lockCall = onImage('lock', 'write', lockOwn, nothing);
export const breakLockCall = onImage('break-lock', 'write', lock, nothing);
export const breakLockOwnerCall = onImage('break-lock-owner', 'write', lockOwner, nothing);
export const watchersCall = onImage('watchers', 'read', image, z.array(watcher));

export const metadataListCall = onImage('metadata-list', 'read', image, z.array(z.tuple([z.string(), z.string()])));
export const metadataGetCall = onImage('metadata-get', 'read', metadataKey, z.string());
export const metadataSetCall = onImage('metadata-set', 'write', metadataValue, nothing);
export const metadataRemoveCall = onImage('metadata-remove', 'write', metadataKey, nothing);

const open = image.extend({ snapshot: cName.optional(), isReadOnly: z.boolean() });
const readAt = z.object({ offsetBytes: size, lengthBytes: size });
const writeAt = z.object({ offsetBytes: size, data: bytes });
const zeroAt = z.object({ offsetBytes: size, zeroBytes: size });

/** Opens an image for as long as its contents are read or written. */
export const imageOpenCall: Call<z.infer<typeof open>, number> = { name: 'image-open', lane: 'stream', effect: 'read', args: open, result: z.int(), handle: 'open' };
export const imageReadCall: Call<z.infer<typeof readAt>, Uint8Array | undefined> = {
  name: 'image-read',
  lane: 'stream',
  effect: 'read',
  args: readAt,
  /** Nothing where all bytes are zero, so that empty regions are not carried between processes. */
  result: bytes.optional(),
  handle: 'use',
};
export const imageWriteCall: Call<z.infer<typeof writeAt>, undefined> = { name: 'image-write', lane: 'stream', effect: 'write', args: writeAt, result: nothing, handle: 'use' };
/** Takes no space where a whole object is zero. */
export const imageZeroCall: Call<z.infer<typeof zeroAt>, undefined> = { name: 'image-zero', lane: 'stream', effect: 'write', args: zeroAt, result: nothing, handle: 'use' };
/** Takes the exclusive lock for as long as the image is open; does nothing where the image has no such feature. */
export const imageAcquireCall: Call<object, undefined> = { name: 'image-acquire', lane: 'stream', effect: 'write', args: z.object({}), result: nothing, handle: 'use' };
export const imageFlushCall: Call<object, undefined> = { name: 'image-flush', lane: 'stream', effect: 'write', args: z.object({}), result: nothing, handle: 'use' };
export const imageSizeCall: Call<object, number> = { name: 'image-size', lane: 'stream', effect: 'read', args: z.object({}), result: z.number(), handle: 'use' };
export const imageCloseCall: Call<object, undefined> = { name: 'image-close', lane: 'stream', effect: 'write', args: z.object({}), result: nothing, handle: 'close' };
