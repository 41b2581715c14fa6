import { z } from 'zod';
import { parseArguments } from './parse-arguments.ts';

/** Where the API is when a URL has no path. */
const API_PREFIX = '/api/v1';

/** The URL of the API, taken apart. */
export interface Endpoint {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** Begins with a slash and ends without one. */
  readonly prefix: string;
  /** The whole URL, without a slash at its end. */
  readonly url: string;
}

const url = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/u.test(new URL(text).protocol), 'must be an http or https URL')
  .transform((text) => new URL(text))
  .refine((one) => one.username === '' && one.password === '' && one.search === '' && one.hash === '', 'must not have a user, a query or a fragment');

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

/** @param text such as `https://pvc.example:7370`; `/api/v1` is added where there is no path. @throws ClientError 'arguments'. */
export function parseEndpoint(text: string): Endpoint {
  const given = parseArguments(z.object({ endpoint: url }), { endpoint: text }).endpoint;
  const secure = given.protocol === 'https:';
  const prefix = given.pathname === '/' ? API_PREFIX : given.pathname.replace(/\/+$/u, '');
  const host = given.hostname.replace(/^\[(.*)\]$/u, '$1');
  const port = given.port === '' ? DEFAULT_PORTS[secure ? 'https' : 'http'] : Number(given.port);
  return { secure, host, port, prefix, url: `${given.protocol}//${given.host}${prefix}` };
}
