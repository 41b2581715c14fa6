import { resolve } from 'node:path';
import { ClientError } from '../../client-error.ts';
import type { Context } from '../context.ts';
import { flag, one, text } from '../declare.ts';
import { column } from '../output/column.ts';
import { readInput } from '../read-input.ts';
import { canAsk } from '../terminal.ts';
import { actVerb, itemVerb, listVerb, type Group } from '../verb.ts';

const name = one('name of the connection', { completes: 'connection' });

interface Row {
  name: string;
  url: string;
  current: boolean;
  ca_file: string | null;
  verify_certificate: boolean;
}

const COLUMNS = [
  column<Row>('name', (row) => row.name),
  column<Row>('url', (row) => row.url),
  column<Row>('current', (row) => row.current, { tone: (row) => (row.current ? 'good' : undefined) }),
  column<Row>('ca', (row) => row.ca_file, { extra: true }),
  column<Row>('verified', (row) => row.verify_certificate, { extra: true }),
];

const list = listVerb({
  name: 'list',
  about: 'List the clusters that this command knows',
  detail: 'Tokens are never printed.',
  columns: COLUMNS,
  examples: [['pvc connection list', 'names, addresses, and which one is used']],
  rows: async (context) => {
    const { connectionsFile, readConnections } = await import('../connections.ts');
    const { current, connections } = readConnections(connectionsFile(context.terminal.env));
    return Object.entries(connections).map(([known, one]): Row => ({
      name: known,
      url: one.url,
      current: known === current,
      ca_file: one.ca_file ?? null,
      verify_certificate: one.verify_certificate ?? true,
    }));
  },
});

/** From a file, from standard input, or asked for without showing it. Never from the arguments, which everybody on the machine can read. */
async function tokenOf(context: Context, file: string | undefined): Promise<string> {
  if (file !== undefined) return filled(await readInput(context.terminal, file));
  if (!canAsk(context.terminal)) throw new ClientError('arguments', 'give the token with --token-file FILE, or --token-file - for standard input');
  const { askSecret } = await import('../prompt.ts');
  return filled(await askSecret(context.terminal, 'API token'));
}

function filled(given: string): string {
  const token = given.trim();
  if (token === '') throw new ClientError('arguments', 'the token is empty');
  return token;
}

const add = actVerb({
  name: 'add',
  about: 'Remember how to reach a cluster',
  detail: 'Asks for the token without showing it. It is kept in connections.json below ~/.config/pvc (XDG_CONFIG_HOME), which only you can read. The first connection is the one that is used from then on; an existing one of the same name is replaced.',
  arguments: { name: one('what to call it'), url: one('where its API is, such as https://pvc.example:7370') },
  options: {
    tokenFile: text('--token-file <file>', 'file that has the token; - for standard input', { completes: 'file' }),
    ca: text('--ca <file>', 'certificate authorities to trust, PEM', { completes: 'file' }),
    insecure: flag('--insecure', 'accept any certificate: whoever is in between reads the token'),
    unchecked: flag('--unchecked', 'do not ask the cluster whether it takes the token'),
  },
  examples: [
    ['pvc connection add office https://pvc.example:7370', 'asks for the token'],
    ['pvc connection add lab http://127.0.0.1:7370 --token-file -', 'reads it from standard input'],
  ],
  run: async (context, given) => {
    const { checkedName, connectionsFile, readConnections, writeConnections } = await import('../connections.ts');
    const { checkConnection } = await import('../open-connection.ts');
    const [file, known] = [connectionsFile(context.terminal.env), checkedName(given.name)];
    const before = readConnections(file);
    const token = await tokenOf(context, given.tokenFile);
    const saved = { url: given.url, token, ...(given.ca === undefined ? {} : { ca_file: resolve(given.ca) }), ...(given.insecure === true ? { verify_certificate: false } : {}) };
    await checkConnection(saved, given.unchecked !== true);
    writeConnections(file, { current: before.current ?? known, connections: { ...before.connections, [known]: saved } });
    return { message: before.current === null || before.current === known ? `connection ${known} is added, and used from now on` : `connection ${known} is added; pvc connection use ${known} chooses it` };
  },
});

const remove = actVerb({
  name: 'remove',
  about: 'Forget how to reach a cluster',
  arguments: { name },
  examples: [['pvc connection remove lab', 'its token is gone from the file']],
  run: async (context, given) => {
    const { connectionsFile, knownConnection, readConnections, writeConnections } = await import('../connections.ts');
    const file = connectionsFile(context.terminal.env);
    const before = readConnections(file);
    knownConnection(before, given.name);
    const connections = Object.fromEntries(Object.entries(before.connections).filter(([known]) => known !== given.name));
    writeConnections(file, { current: before.current === given.name ? null : before.current, connections });
    return { message: `connection ${given.name} is removed` };
  },
});

const use = actVerb({
  name: 'use',
  about: 'Use a cluster from now on',
  arguments: { name },
  examples: [['pvc connection use office', 'for every command that names no other']],
  run: async (context, given) => {
    const { connectionsFile, knownConnection, readConnections, writeConnections } = await import('../connections.ts');
    const file = connectionsFile(context.terminal.env);
    const before = readConnections(file);
    knownConnection(before, given.name);
    writeConnections(file, { ...before, current: given.name });
    const isHidden = (context.terminal.env['PVC_API_URL'] ?? '') !== '' || context.terminal.env['PVC_CONNECTION'] !== undefined;
    return { message: `connection ${given.name} is used from now on${isHidden ? '; but the environment names another (PVC_API_URL, PVC_CONNECTION)' : ''}` };
  },
});

interface Checked {
  from: string;
  url: string;
  answers: string;
  token: string;
}

const check = itemVerb({
  name: 'check',
  about: 'Show which cluster is used, what answers there, and whether it takes the token',
  fields: [
    column<Checked>('from', (row) => row.from),
    column<Checked>('url', (row) => row.url),
    column<Checked>('answers', (row) => row.answers),
    column<Checked>('token', (row) => row.token, { tone: (row) => (row.token === 'valid' ? 'good' : 'bad') }),
  ],
  examples: [
    ['pvc connection check', 'the one that is used'],
    ['pvc connection check -c office', 'another one'],
  ],
  item: async (context): Promise<Checked> => {
    const { chooseConnection } = await import('../connections.ts');
    const { from } = chooseConnection(context.settings.connection, context.terminal.env);
    const identity = await context.identity();
    const { message } = await identity.about();
    return { from, url: identity.connection.endpoint.url, answers: message, token: (await identity.check()) ? 'valid' : 'refused' };
  },
});

export const CONNECTION_COMMANDS: Group = { name: 'connection', about: 'The clusters that this command knows', verbs: [list, add, remove, use, check] };
