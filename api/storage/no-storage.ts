import { AppError } from '../../common/errors.ts';
import type { StorageCluster } from './storage-cluster.ts';

async function refused(): Promise<never> {
  throw new AppError('state', 'this cluster has no storage: pvc.enable_storage is false');
}

/** What answers in a cluster that is configured without storage. */
export const NO_STORAGE: StorageCluster = {
  overview: { statusText: refused, utilizationText: refused, summary: refused, setOption: refused },
  osds: { list: refused, state: refused, setState: refused },
  pools: { names: refused, list: refused, create: refused, setPgs: refused, remove: refused },
  volumes: { list: refused, get: refused, missing: refused, create: refused, resize: refused, rename: refused, copy: refused, remove: refused },
  snapshots: { list: refused, create: refused, rename: refused, remove: refused, rollBack: refused },
  images: { read: refused, write: refused },
};
