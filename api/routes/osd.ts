import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { osdStateView, osdView } from '../../common/view/osd.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { osdId } from '../params/storage.ts';
import { optionalText, text } from '../params/values.ts';
import { digit, presentOsd } from '../present/osd.ts';
import { done, messageReply, ok, route, type Route } from '../route.ts';
import type { OsdStorage } from '../storage/storage-cluster.ts';

const osd = text(osdId, 'Id of the OSD, exactly.');

export function osdRoutes({ osds }: { osds: OsdStorage }): Route[] {
  return [listRoute(osds), elementRoute(osds), ...stateRoutes(osds)];
}

function listRoute(osds: OsdStorage): Route {
  return route({
    method: 'GET',
    path: '/storage/ceph/osd',
    summary: 'List the OSDs',
    values: z.object({ limit: optionalText(fuzzyLimit, 'Only OSDs whose id, or name such as osd.0, matches this regular expression, fuzzily.') }),
    reply: { code: 200, schema: z.array(osdView) },
    handle: async ({ limit }) => {
      const found = await osds.list();
      return ok(found.filter(({ id }) => limit === undefined || limit(String(id)) || limit(`osd.${id}`)).map(presentOsd));
    },
  });
}

function elementRoute(osds: OsdStorage): Route {
  return route({
    method: 'GET',
    path: '/storage/ceph/osd/:osd',
    summary: 'Show an OSD',
    values: z.object({ osd }),
    reply: { code: 200, schema: osdView },
    handle: async (values) => {
      const found = (await osds.list()).find(({ id }) => id === values.osd);
      if (found === undefined) throw new AppError('not-found', 'there is no such OSD', { osd: values.osd });
      return ok(presentOsd(found));
    },
  });
}

function stateRoutes(osds: OsdStorage): Route[] {
  return [
    route({
      method: 'GET',
      path: '/storage/ceph/osd/:osd/state',
      summary: 'Show whether an OSD is up, and in',
      values: z.object({ osd }),
      reply: { code: 200, schema: osdStateView },
      handle: async (values) => {
        const state = await osds.state(values.osd);
        return ok({ id: String(values.osd), in: digit(state.in), up: digit(state.up) });
      },
    }),
    route({
      method: 'POST',
      path: '/storage/ceph/osd/:osd/state',
      summary: 'Take an OSD in or out',
      description: 'Data moves away from an OSD that is out, and back to one that is in again.',
      values: z.object({ osd, state: text(z.enum(['in', 'out']), 'in or out.') }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        await osds.setState(values.osd, values.state);
        return done(`OSD ${values.osd} is ${values.state}`);
      },
    }),
  ];
}
