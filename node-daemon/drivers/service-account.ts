import { AppError, isAppError } from '../../common/errors.ts';
import type { Run } from '../../common/process.ts';

const GETENT_TIMEOUT_MS = 5_000;

/** getent's exit code for a name that nobody has. */
const NOT_FOUND = 2;

/** Under whom a server works once its sockets are open. */
export interface ServiceAccount {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * The first of these users that the host knows, with the user's own group.
 * @throws AppError 'component' when it knows none.
 */
export async function serviceAccount(run: Run, users: readonly string[], signal?: AbortSignal): Promise<ServiceAccount> {
  for (const user of users) {
    const [name, , uid, gid] = (await lookUp(run, ['passwd', user], signal)) ?? [];
    const [group] = gid === undefined ? [] : ((await lookUp(run, ['group', gid], signal)) ?? []);
    if (name === user && group !== undefined && /^\d+$/u.test(uid ?? '') && /^\d+$/u.test(gid ?? '')) return { user, group, uid: Number(uid), gid: Number(gid) };
  }
  throw new AppError('component', 'the host has none of the users under whom the server may work', { users });
}

/** Fields of the entry; undefined without one. */
async function lookUp(run: Run, [database, key]: readonly [string, string], signal: AbortSignal | undefined): Promise<readonly string[] | undefined> {
  try {
    const { stdout } = await run(['getent', '--', database, key], { timeoutMs: GETENT_TIMEOUT_MS, signal });
    return stdout.split('\n')[0]?.split(':');
  } catch (error) {
    if (isAppError(error, 'component') && error.details['exitCode'] === NOT_FOUND) return undefined;
    throw error;
  }
}
