import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { refuseUsedPool } from '../../common/operations/volume-use.ts';
import { PGS_MAX, poolName, poolTier, type PoolTier, type Replication } from '../../common/schema/pool.ts';
import { poolView } from '../../common/view/pool.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { poolReplication } from '../params/storage.ts';
import { integer, optionalText, text } from '../params/values.ts';
import { presentPool } from '../present/pool.ts';
import { done, messageReply, ok, route, type Reply, type Route } from '../route.ts';
import type { PoolStorage } from '../storage/storage-cluster.ts';
import { pool, REALLY_MEAN_IT_ALIASES, reallyMeanIt, refuseUnlessMeant } from './storage-values.ts';

export interface PoolRouteDeps {
  mirror: ApiMirror;
  pools: PoolStorage;
}

const pgs = integer({ min: 1, max: PGS_MAX }, 'Placement groups: some 100 for each OSD and copy; a power of two.');
const SETTINGS = {
  pgs,
  replcfg: optionalText(poolReplication, 'Copies of each object, and the least of them that a write needs, such as copies=3,mincopies=2; as Ceph is configured when it is missing.'),
  tier: optionalText(poolTier, 'Disks to keep it on; default: all.'),
};

export function poolRoutes(deps: PoolRouteDeps): Route[] {
  return [listRoute(deps), ...createRoutes(deps), ...elementRoutes(deps)];
}

function listRoute({ pools }: PoolRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/storage/ceph/pool',
    summary: 'List the pools for volumes',
    values: z.object({ limit: optionalText(fuzzyLimit, 'Only pools whose name matches this regular expression, fuzzily.') }),
    reply: { code: 200, schema: z.array(poolView) },
    handle: async ({ limit }) => ok((await pools.list()).filter(({ name }) => limit?.(name) ?? true).map(presentPool)),
  });
}

function createRoutes({ pools }: PoolRouteDeps): Route[] {
  const create = async (name: string, given: { pgs: number; replcfg?: Replication | undefined; tier?: PoolTier | undefined }): Promise<Reply> => {
    await pools.create({ name, pgs: given.pgs, replication: given.replcfg, tier: given.tier ?? 'default' });
    return done(`pool ${name} is added`);
  };
  const name = text(poolName, 'What to call it: letters, digits, dots, dashes and underscores.');
  return [
    route({
      method: 'POST',
      path: '/storage/ceph/pool',
      summary: 'Add a pool for volumes',
      values: z.object({ pool: name, ...SETTINGS }),
      reply: { code: 200, schema: messageReply },
      handle: (values) => create(values.pool, values),
    }),
    route({
      method: 'POST',
      path: '/storage/ceph/pool/:pool',
      summary: 'Add a pool of this name for volumes',
      values: z.object({ pool: name, ...SETTINGS }),
      reply: { code: 200, schema: messageReply },
      handle: (values) => create(values.pool, values),
    }),
  ];
}

function elementRoutes({ mirror, pools }: PoolRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/storage/ceph/pool/:pool',
      summary: 'Show a pool',
      values: z.object({ pool }),
      reply: { code: 200, schema: poolView },
      handle: async (values) => {
        const found = (await pools.list()).find(({ name }) => name === values.pool);
        if (found === undefined) throw new AppError('not-found', 'there is no such pool', { pool: values.pool });
        return ok(presentPool(found));
      },
    }),
    route({
      method: 'PUT',
      path: '/storage/ceph/pool/:pool',
      summary: 'Change the number of placement groups of a pool',
      values: z.object({ pool, pgs }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        await pools.setPgs(values.pool, values.pgs);
        return done(`pool ${values.pool} gets ${values.pgs} placement groups`);
      },
    }),
    route({
      method: 'DELETE',
      path: '/storage/ceph/pool/:pool',
      summary: 'Remove a pool with everything in it',
      description: 'Refused while a VM has a volume of the pool as a disk, and where Ceph itself does not permit it (mon_allow_pool_delete).',
      values: z.object({ pool, yes_i_really_mean_it: reallyMeanIt }),
      valueAliases: REALLY_MEAN_IT_ALIASES,
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        refuseUnlessMeant(values.yes_i_really_mean_it);
        refuseUsedPool(mirror, values.pool);
        await pools.remove(values.pool);
        return done(`pool ${values.pool} is removed`);
      },
    }),
  ];
}
