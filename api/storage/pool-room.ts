import { AppError } from '../../common/errors.ts';
import type { OsdDump } from './ceph-documents.ts';

/** OSDs that a message names, at most. */
const NAMED_MAX = 10;

/**
 * Asked before anything that needs room: of what it cannot finish librbd leaves a part, such as a snapshot without its object map. A removal needs none.
 * @throws AppError 'no-resource' that says what is full.
 */
export function requireRoom({ pools, osds }: OsdDump, pool: string): void {
  const found = pools.find(({ pool_name }) => pool_name === pool)?.flags_names ?? [];
  if (found.includes('full_quota')) throw new AppError('no-resource', 'the pool has reached its quota: nothing new is written until something in it is removed, or its quota is raised', { pool });
  if (!found.includes('full')) return;
  const full = osds.filter(({ state }) => state.includes('full')).map(({ osd }) => `osd.${osd}`);
  throw new AppError('no-resource', 'Ceph is full: nothing new is written until something is removed, or OSDs are added', { pool, full: full.length > NAMED_MAX ? `${full.slice(0, NAMED_MAX).join(', ')} and ${full.length - NAMED_MAX} more` : full.join(', ') });
}
