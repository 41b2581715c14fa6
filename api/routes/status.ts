import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { setMaintenance } from '../../common/operations/maintenance.ts';
import type { Store } from '../../common/store/store.ts';
import { statusView } from '../../common/view/status.ts';
import type { ApiMirror } from '../cluster.ts';
import { text } from '../params/values.ts';
import { presentStatus, primaryNode, type SeenStorage } from '../present/status.ts';
import { done, messageReply, ok, route, type Route } from '../route.ts';

export function statusRoutes(deps: { mirror: ApiMirror; store: Store; storage: SeenStorage | undefined; upstreamIp: string }): Route[] {
  return [
    route({
      method: 'GET',
      path: '/status',
      summary: 'Show the cluster at a glance',
      values: z.object({}),
      reply: { code: 200, schema: statusView },
      handle: () => ok(presentStatus(deps)),
    }),
    route({
      method: 'POST',
      path: '/status',
      summary: 'Switch maintenance on or off',
      description: 'While it is on, the cluster says so, and nothing will be done by itself about a node that fails.',
      values: z.object({ state: text(z.enum(['true', 'false']), 'Whether the cluster is in maintenance.') }),
      reply: { code: 200, schema: messageReply },
      handle: async ({ state }) => {
        await setMaintenance(deps, state === 'true');
        return done(`maintenance is ${state === 'true' ? 'on' : 'off'}`);
      },
    }),
    route({
      method: 'GET',
      path: '/status/primary_node',
      summary: 'Show which node is primary',
      values: z.object({}),
      reply: { code: 200, schema: z.object({ primary_node: z.string() }) },
      handle: () => {
        const primary = primaryNode(deps.mirror);
        if (primary === undefined) throw new AppError('not-found', 'no node is primary now');
        return ok({ primary_node: primary });
      },
    }),
  ];
}
