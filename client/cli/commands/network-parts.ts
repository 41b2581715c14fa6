import { ClientError } from '../../client-error.ts';
import { flag, one } from '../declare.ts';

/** What more than one command of networks has. */
export const NETWORK = one('VNI or description of the network', { completes: 'network' });

export type Direction = 'in' | 'out';

/** Which way packets go, as two options. */
export const DIRECTION = { in: flag('--in', 'rules for what goes towards the network'), out: flag('--out', 'rules for what comes from the network') };

/** Both at once mean nothing. @throws ClientError 'arguments'. */
export function directionOf(given: { in: true | undefined; out: true | undefined }): Direction | undefined {
  if (given.in === true && given.out === true) throw new ClientError('arguments', 'give one of --in and --out, not both');
  return given.in === true ? 'in' : given.out === true ? 'out' : undefined;
}
