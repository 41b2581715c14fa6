import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { refuseRunningVolume } from '../../common/operations/volume-use.ts';
import { snapshotName, snapshotText, type SnapshotRef } from '../../common/schema/snapshot.ts';
import { volumeText } from '../../common/schema/volume.ts';
import { snapshotView } from '../../common/view/snapshot.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { optionalText, text } from '../params/values.ts';
import { presentSnapshot } from '../present/snapshot.ts';
import { done, messageReply, ok, route, type Reply, type Route } from '../route.ts';
import type { SnapshotStorage } from '../storage/storage-cluster.ts';
import { givenName, pool, snapshot, volume } from './storage-values.ts';

export interface SnapshotRouteDeps {
  mirror: ApiMirror;
  snapshots: SnapshotStorage;
}

const ELEMENT = '/storage/ceph/volume/snapshot/:pool/:volume/:snapshot';
const ELEMENT_ALIAS = '/storage/ceph/snapshot/:pool/:volume/:snapshot';

const name = text(snapshotName, 'What to call it: letters, digits, dots, dashes and underscores.');

export function snapshotRoutes(deps: SnapshotRouteDeps): Route[] {
  return [listRoute(deps), ...createRoutes(deps), ...elementRoutes(deps), rollbackRoute(deps)];
}

function listRoute({ snapshots }: SnapshotRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/storage/ceph/volume/snapshot',
    pathAliases: ['/storage/ceph/snapshot'],
    summary: 'List the snapshots of volumes',
    values: z.object({
      pool: optionalText(givenName, 'Only snapshots in exactly this pool.'),
      volume: optionalText(givenName, 'Only snapshots of volumes of exactly this name.'),
      limit: optionalText(fuzzyLimit, 'Only snapshots whose name matches this regular expression, fuzzily.'),
    }),
    reply: { code: 200, schema: z.array(snapshotView) },
    handle: async (values) => {
      const found = await snapshots.list(values);
      return ok(found.filter((one) => values.limit?.(one.snapshot) ?? true).map(presentSnapshot));
    },
  });
}

function createRoutes({ snapshots }: SnapshotRouteDeps): Route[] {
  const create = async (ref: SnapshotRef): Promise<Reply> => {
    await snapshots.create(ref);
    return done(`snapshot ${snapshotText(ref)} is added`);
  };
  return [
    route({
      method: 'POST',
      path: '/storage/ceph/volume/snapshot',
      pathAliases: ['/storage/ceph/snapshot'],
      summary: 'Add a snapshot of a volume',
      description: 'What the guest has not written out yet is not in it.',
      values: z.object({ snapshot: name, volume, pool }),
      reply: { code: 200, schema: messageReply },
      handle: create,
    }),
    route({
      method: 'POST',
      path: ELEMENT,
      pathAliases: [ELEMENT_ALIAS],
      summary: 'Add a snapshot of this name of a volume',
      values: z.object({ snapshot: name, volume, pool }),
      reply: { code: 200, schema: messageReply },
      handle: create,
    }),
  ];
}

function elementRoutes({ snapshots }: SnapshotRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: ELEMENT,
      pathAliases: [ELEMENT_ALIAS],
      summary: 'Show a snapshot of a volume',
      values: z.object({ pool, volume, snapshot }),
      reply: { code: 200, schema: snapshotView },
      handle: async (values) => {
        const found = (await snapshots.list(values)).find((one) => one.snapshot === values.snapshot);
        if (found === undefined) throw new AppError('not-found', 'there is no such snapshot', { snapshot: snapshotText(values) });
        return ok(presentSnapshot(found));
      },
    }),
    route({
      method: 'PUT',
      path: ELEMENT,
      pathAliases: [ELEMENT_ALIAS],
      summary: 'Rename a snapshot of a volume',
      values: z.object({ pool, volume, snapshot, name }),
      valueAliases: { new_name: 'name' },
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        await snapshots.rename(values, values.name);
        return done(`snapshot ${snapshotText(values)} is called ${values.name} now`);
      },
    }),
    route({
      method: 'DELETE',
      path: ELEMENT,
      pathAliases: [ELEMENT_ALIAS],
      summary: 'Remove a snapshot of a volume',
      description: 'Refused while other volumes are clones of it.',
      values: z.object({ pool, volume, snapshot }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        await snapshots.remove(values);
        return done(`snapshot ${snapshotText(values)} is removed`);
      },
    }),
  ];
}

function rollbackRoute({ mirror, snapshots }: SnapshotRouteDeps): Route {
  return route({
    method: 'POST',
    path: `${ELEMENT}/rollback`,
    pathAliases: [`${ELEMENT_ALIAS}/rollback`],
    summary: 'Make a volume what it was when a snapshot was made',
    description: 'What was written to it since is lost. Refused while a VM that has it as a disk runs.',
    values: z.object({ pool, volume, snapshot }),
    reply: { code: 200, schema: messageReply },
    handle: async (values) => {
      refuseRunningVolume(mirror, values);
      await snapshots.rollBack(values);
      return done(`volume ${volumeText(values)} is what it was at snapshot ${values.snapshot}`);
    },
  });
}
