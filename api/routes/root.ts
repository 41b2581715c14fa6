import { z } from 'zod';
import { messageReply, route, type Route } from '../route.ts';

/** The manual's own code for the root. */
const CODE_ROOT = 209;

export function rootRoutes(): Route[] {
  return [
    route({
      method: 'GET',
      path: '/',
      access: 'open',
      summary: 'Say what this is',
      description: 'For finding out whether the API listens and answers.',
      values: z.object({}),
      reply: { code: CODE_ROOT, schema: messageReply },
      handle: () => ({ kind: 'json', code: CODE_ROOT, body: { message: 'PVC API version 1.0' } }),
    }),
  ];
}
