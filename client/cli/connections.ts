import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../../common/json.ts';
import { ClientError } from '../client-error.ts';
import { faultLines } from '../parse-arguments.ts';
import type { Terminal } from './terminal.ts';

const connection = z.strictObject({
  url: z.string().min(1),
  token: z.string().min(1),
  /** Path of a file of certificate authorities to trust, PEM. */
  ca_file: z.string().min(1).optional(),
  verify_certificate: z.boolean().optional(),
});
/** How to reach one cluster. */
export type SavedConnection = z.infer<typeof connection>;

const file = z.strictObject({ current: z.string().nullable(), connections: z.record(z.string(), connection) });
export type Connections = z.infer<typeof file>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;
/** Rights of others than the owner. */
const OTHERS = 0o077;
const EMPTY: Connections = { current: null, connections: {} };

/** Where the connections are kept: `connections.json` in `pvc` below XDG_CONFIG_HOME, or ~/.config. */
export function connectionsFile(env: Terminal['env']): string {
  const given = env['XDG_CONFIG_HOME'] ?? '';
  const base = given.startsWith('/') ? given : join(env['HOME'] ?? homedir(), '.config');
  return join(base, 'pvc', 'connections.json');
}

/** What is kept; nothing when there is no file. @throws ClientError 'arguments' for a file that others can read, or that is not ours. */
export function readConnections(path: string): Connections {
  const text = textOf(path);
  if (text === undefined) return EMPTY;
  if ((statSync(path).mode & OTHERS) !== 0) throw new ClientError('arguments', `others can read ${path}, which has tokens: chmod 600 ${path}`);
  const result = file.safeParse(parseJson(text));
  if (!result.success) throw new ClientError('arguments', `${path} is not a file of connections`, { details: faultLines(result.error) });
  return result.data;
}

/** Replaces the file as a whole; only its owner can read it. */
export function writeConnections(path: string, connections: Connections): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  writeFileSync(fresh, `${JSON.stringify(connections, null, 2)}\n`, { mode: 0o600 });
  chmodSync(fresh, 0o600);
  renameSync(fresh, path);
}

/** @throws ClientError 'arguments' when it cannot be one. */
export function checkedName(name: string): string {
  if (!NAME.test(name)) throw new ClientError('arguments', 'a connection is named with letters, digits, dots, dashes and underscores');
  return name;
}

export interface ChosenConnection extends SavedConnection {
  /** Its name, or where else it comes from. */
  readonly from: string;
}

/**
 * The connection to use: the one that is named, else PVC_API_URL with PVC_API_TOKEN and PVC_API_CA, else the current one.
 * @throws ClientError 'arguments' when there is none.
 */
export function chooseConnection(name: string | undefined, env: Terminal['env']): ChosenConnection {
  const wanted = name ?? env['PVC_CONNECTION'];
  if (wanted === undefined) {
    const fromEnv = environmentConnection(env);
    if (fromEnv !== undefined) return fromEnv;
  }
  const { current, connections } = readConnections(connectionsFile(env));
  const used = wanted ?? current;
  if (used === null) throw new ClientError('arguments', 'no cluster is named: pvc connection add NAME URL, or set PVC_API_URL and PVC_API_TOKEN');
  return { ...knownConnection({ connections }, used), from: used };
}

/** @throws ClientError 'arguments'. */
export function knownConnection({ connections }: Pick<Connections, 'connections'>, name: string): SavedConnection {
  const found = Object.hasOwn(connections, name) ? connections[name] : undefined;
  if (found === undefined) throw new ClientError('arguments', `there is no connection ${name}`, { details: [`known: ${Object.keys(connections).join(', ') || 'none'}`] });
  return found;
}

function environmentConnection(env: Terminal['env']): ChosenConnection | undefined {
  const [url = '', token = '', ca = ''] = [env['PVC_API_URL'], env['PVC_API_TOKEN'], env['PVC_API_CA']];
  if (url === '') return undefined;
  if (token === '') throw new ClientError('arguments', 'PVC_API_TOKEN is not set, but PVC_API_URL is');
  return { url, token, from: 'PVC_API_URL', ...(ca === '' ? {} : { ca_file: ca }) };
}

/** Certificate authorities of a file. @throws ClientError 'arguments'. */
export function readCa(path: string): string {
  const text = textOf(path);
  if (text === undefined) throw new ClientError('arguments', `there is no file ${resolve(path)} of certificate authorities`);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new ClientError('arguments', `${path} has no certificate in PEM form`);
  return text;
}

/** Undefined when there is no such file. @throws ClientError 'arguments' when it cannot be read. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new ClientError('arguments', `${path} cannot be read`, { cause });
  }
}
