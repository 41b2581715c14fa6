import type { Clock } from '../../common/clock.ts';
import { PVC_VERSION } from '../../common/version.ts';
import { ClientError } from '../client-error.ts';
import { Connection } from '../connection.ts';
import { IdentityClient } from '../identity-client.ts';
import { readCa, type SavedConnection } from './connections.ts';

/** The API answers programs with this name at once where it lets others wait for a task. */
const USER_AGENT = `pvc-client-cli/${PVC_VERSION}`;

/** Connects to nothing yet. @throws ClientError 'arguments'. */
export function openConnection({ url, token, ca_file, verify_certificate }: SavedConnection, clock?: Clock): Connection {
  return new Connection(url, token, {
    ca: ca_file === undefined ? undefined : readCa(ca_file),
    verifyCertificate: verify_certificate,
    userAgent: USER_AGENT,
    clock,
  });
}

/** @param asks whether the cluster itself is asked. @throws ClientError: wrong arguments, cannot be reached, 'answer' with 401 for a token that is refused. */
export async function checkConnection(saved: SavedConnection, asks: boolean): Promise<void> {
  const connection = openConnection(saved);
  try {
    if (asks && !(await new IdentityClient(connection).check())) throw new ClientError('answer', 'the cluster does not take this token', { status: 401 });
  } finally {
    connection.close();
  }
}
