import { z } from 'zod';
import { ok, route, type Route } from '../route.ts';

export function networkRoutes(): Route[] {
  return [
    route({
      method: 'GET',
      path: '/network',
      summary: 'List the networks (none yet)',
      description: "The existing command line compares them with each VM's interfaces.",
      values: z.object({}),
      reply: { code: 200, schema: z.array(z.object({})) },
      handle: () => ok([]),
    }),
  ];
}
