import type { RbdImageInfo, RbdImageListing } from '../../common/rados/image-calls.ts';
import type { Volume } from './storage-cluster.ts';

/** @param poolId Ceph's number of the pool: it stands in the names of data that lies in another pool. */
export function listedVolume(pool: { name: string; id: number }, image: RbdImageListing): Volume {
  const hasDataPool = image.features.includes('data-pool');
  return {
    ...commonFacts(image),
    snapshotCount: image.snapshots.filter(({ isOfUser }) => isOfUser).length,
    pool: pool.name,
    objects: Math.ceil(image.sizeBytes / 2 ** image.order),
    blockNamePrefix: hasDataPool ? `rbd_data.${pool.id}.${image.id}` : `rbd_data.${image.id}`,
  };
}

export function shownVolume(pool: string, image: RbdImageInfo): Volume {
  return { ...commonFacts(image), snapshotCount: image.snapshotCount, pool, objects: image.objectCount, blockNamePrefix: image.blockNamePrefix };
}

type Common = Pick<RbdImageListing, 'name' | 'id' | 'sizeBytes' | 'order' | 'features' | 'opFeatures' | 'flags' | 'createdAtMs' | 'accessedAtMs' | 'modifiedAtMs'>;

function commonFacts(image: Common): Omit<Volume, 'pool' | 'objects' | 'blockNamePrefix' | 'snapshotCount'> {
  return {
    volume: image.name,
    id: image.id,
    sizeBytes: image.sizeBytes,
    order: image.order,
    features: image.features,
    opFeatures: image.opFeatures,
    flags: image.flags,
    createdMs: image.createdAtMs,
    accessedMs: image.accessedAtMs,
    modifiedMs: image.modifiedAtMs,
  };
}
