import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import type { VmOperations } from '../../common/operations/vm.ts';
import { refuseUsedVolume } from '../../common/operations/volume-use.ts';
import { volumeName, volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { volumeView } from '../../common/view/volume.ts';
import type { ApiMirror } from '../cluster.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { storageSize } from '../params/storage.ts';
import { optionalText, text } from '../params/values.ts';
import { presentVolume, VolumeTexts } from '../present/volume.ts';
import { done, messageReply, ok, route, type Reply, type Route } from '../route.ts';
import type { VolumeStorage } from '../storage/storage-cluster.ts';
import { givenName, pool, volume } from './storage-values.ts';

export interface VolumeRouteDeps {
  mirror: ApiMirror;
  volumes: VolumeStorage;
  vms: Pick<VmOperations, 'announceVolumeSize'>;
}

const name = text(volumeName, 'What to call it: letters, digits, dots, dashes and underscores.');
const SIZE = 'In bytes, or with one of the units K, M, G, T and P of 1024 each, such as 1073741824, 4096M or 20G.';

export function volumeRoutes(deps: VolumeRouteDeps): Route[] {
  return [listRoute(deps), ...createRoutes(deps), ...elementRoutes(deps), changeRoute(deps), copyRoute(deps)];
}

function listRoute({ volumes }: VolumeRouteDeps): Route {
  const texts = new VolumeTexts();
  return route({
    method: 'GET',
    path: '/storage/ceph/volume',
    summary: 'List the volumes',
    values: z.object({
      pool: optionalText(givenName, 'Only volumes of exactly this pool.'),
      limit: optionalText(fuzzyLimit, 'Only volumes whose name matches this regular expression, fuzzily.'),
    }),
    reply: { code: 200, schema: z.array(volumeView) },
    handle: async (values) => {
      const found = await volumes.list(values.pool);
      return { kind: 'parts', parts: texts.list(found.filter((one) => values.limit?.(one.volume) ?? true)) };
    },
  });
}

function createRoutes({ volumes }: VolumeRouteDeps): Route[] {
  const create = async (ref: VolumeRef, sizeBytes: number): Promise<Reply> => {
    await volumes.create(ref, sizeBytes);
    return done(`volume ${volumeText(ref)} is added`);
  };
  const size = text(storageSize, SIZE);
  return [
    route({
      method: 'POST',
      path: '/storage/ceph/volume',
      summary: 'Add a volume',
      description: 'It takes space only as it is written to.',
      values: z.object({ volume: name, pool, size }),
      reply: { code: 200, schema: messageReply },
      handle: (values) => create(values, values.size),
    }),
    route({
      method: 'POST',
      path: '/storage/ceph/volume/:pool/:volume',
      summary: 'Add a volume of this name to this pool',
      values: z.object({ volume: name, pool, size }),
      reply: { code: 200, schema: messageReply },
      handle: (values) => create(values, values.size),
    }),
  ];
}

function elementRoutes({ mirror, volumes }: VolumeRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/storage/ceph/volume/:pool/:volume',
      summary: 'Show a volume',
      values: z.object({ pool, volume }),
      reply: { code: 200, schema: volumeView },
      handle: async (values) => ok(presentVolume(await volumes.get(values))),
    }),
    route({
      method: 'DELETE',
      path: '/storage/ceph/volume/:pool/:volume',
      summary: 'Remove a volume with its snapshots',
      description: 'Refused while it is a disk of a VM, while somebody has it open, and while other volumes are clones of one of its snapshots.',
      values: z.object({ pool, volume }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        refuseUsedVolume(mirror, values);
        await volumes.remove(values);
        return done(`volume ${volumeText(values)} is removed`);
      },
    }),
    route({
      method: 'POST',
      path: '/storage/ceph/volume/:pool/:volume/scan',
      summary: 'Look at a volume again',
      description: 'For the existing command line; volumes are looked up with each request anyway.',
      values: z.object({ pool, volume }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => done(`volume ${volumeText(values)} has ${(await volumes.get(values)).sizeBytes} bytes`),
    }),
  ];
}

function changeRoute({ mirror, volumes, vms }: VolumeRouteDeps): Route {
  return route({
    method: 'PUT',
    path: '/storage/ceph/volume/:pool/:volume',
    summary: 'Rename a volume, or make it larger',
    description: 'One of the two at a time. A volume that is a disk of a VM keeps its name; a volume is never made smaller. Guests that run with it are told its new size by their nodes.',
    values: z.object({
      pool,
      volume,
      name: optionalText(volumeName, 'What to call it from now on.'),
      size: optionalText(storageSize, SIZE),
    }),
    valueAliases: { new_name: 'name', new_size: 'size' },
    reply: { code: 200, schema: messageReply },
    handle: async ({ pool: ofPool, volume: old, name: newName, size }) => {
      const ref = { pool: ofPool, volume: old };
      if ((newName === undefined) === (size === undefined)) throw new AppError('invalid', 'give either a name or a size, not both');
      if (newName !== undefined) {
        refuseUsedVolume(mirror, ref);
        await volumes.rename(ref, newName);
        return done(`volume ${volumeText(ref)} is called ${newName} now`);
      }
      await volumes.resize(ref, size ?? 0);
      await vms.announceVolumeSize(ref, size ?? 0);
      return done(`volume ${volumeText(ref)} has the new size`);
    },
  });
}

function copyRoute({ volumes }: VolumeRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/storage/ceph/volume/:pool/:volume/clone',
    summary: 'Copy a volume within its pool',
    description: 'A whole copy of its own, without the snapshots. What is written to the volume meanwhile may be in it or not.',
    values: z.object({ pool, volume, new_volume: name }),
    reply: { code: 200, schema: messageReply },
    handle: async (values) => {
      await volumes.copy(values, values.new_volume);
      return done(`volume ${volumeText(values)} is copied to ${values.new_volume}`);
    },
  });
}
