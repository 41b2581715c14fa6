import { z } from 'zod';
import { operation } from '../operation.ts';
import { message, nothing, text } from './values.ts';

export const IDENTITY = {
  about: operation({ method: 'GET', path: '/', access: 'open', values: nothing, reply: message }),
  description: operation({ method: 'GET', path: '/openapi.json', access: 'open', values: nothing, reply: z.record(z.string(), z.unknown()) }),
  login: operation({ method: 'POST', path: '/auth/login', access: 'open', values: z.strictObject({ token: text }), reply: message }),
  logout: operation({ method: 'POST', path: '/auth/logout', access: 'open', values: nothing, reply: message }),
} as const;
