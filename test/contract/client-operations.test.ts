import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ClusterClient } from '../../client/cluster-client.ts';
import { ClientError } from '../../client/client-error.ts';
import { Connection } from '../../client/connection.ts';
import { IdentityClient } from '../../client/identity-client.ts';
import { NetworkClient } from '../../client/network-client.ts';
import { NodeClient } from '../../client/node-client.ts';
import type { Operation, Values } from '../../client/operation.ts';
import { CLUSTER } from '../../client/operations/cluster.ts';
import { IDENTITY } from '../../client/operations/identity.ts';
import { NETWORK } from '../../client/operations/network.ts';
import { NODE } from '../../client/operations/node.ts';
import { STORAGE } from '../../client/operations/storage.ts';
import { TASK } from '../../client/operations/task.ts';
import { VM } from '../../client/operations/vm.ts';
import { StorageClient } from '../../client/storage-client.ts';
import { TaskClient } from '../../client/task-client.ts';
import { VmClient } from '../../client/vm-client.ts';
import type { Logger } from '../../common/log.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, ask, startApi, TOKEN, type TestApi } from './api-support.ts';

/** Second ways to say the same, and pages for people; each with the operation that the client uses in its place. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  'GET /docs': 'GET /openapi.json',
  'GET /auth/login': 'POST /auth/login',
  'GET /auth/logout': 'POST /auth/logout',
  'GET /tasks': 'GET /task',
  'GET /provisioner/status': 'GET /task',
  'POST /network/{network}': 'POST /network',
  'POST /network/{network}/acl/{acl}': 'POST /network/{network}/acl',
  'POST /network/{network}/dhcp/{lease}': 'POST /network/{network}/lease',
  'POST /storage/ceph/pool/{pool}': 'POST /storage/ceph/pool',
  'POST /storage/ceph/volume/{pool}/{volume}': 'POST /storage/ceph/volume',
  'POST /storage/ceph/volume/snapshot/{pool}/{volume}/{snapshot}': 'POST /storage/ceph/volume/snapshot',
};

interface Described {
  values: Record<string, { required: boolean; schema: Record<string, unknown> }>;
  reply: unknown;
}

type Any = Operation<z.ZodType<Values>, z.ZodType>;
const OWN: readonly Any[] = [IDENTITY, CLUSTER, NODE, VM, NETWORK, TASK, STORAGE].flatMap((table) => Object.values<Any>(table));
const keyOf = ({ method, path }: Any): string => `${method} ${path.replaceAll(/:(\w+)/gu, '{$1}')}`;

let api: TestApi;
let described: Map<string, Described>;
const requested: { method: string; path: string }[] = [];

beforeAll(async () => {
  const log: Logger = { error: () => undefined, warn: () => undefined, debug: () => undefined, info: note, child: () => log };
  // No such folder: the routes of storage are served, and each fails when it is asked.
  const ceph = { config_file: '/nonexistent/ceph.conf', client: 'client.none', keyring_file: '/nonexistent/keyring' };
  api = await startApi({ zookeeper: aZooKeeper(), log, ceph });
  described = describedBy((await ask(api.base, '/openapi.json')).body);
});

afterAll(() => api.stop());

function note(fields: Record<string, unknown>): void {
  if (typeof fields['method'] === 'string') requested.push({ method: fields['method'], path: String(fields['path']).replace('/api/v1', '') });
}

/** The document's operations by method and path, its values wherever they stand. */
function describedBy(document: any): Map<string, Described> { // eslint-disable-line @typescript-eslint/no-explicit-any -- a document of another program, as it were
  const found = new Map<string, Described>();
  for (const [path, methods] of Object.entries<any>(document.paths)) { // eslint-disable-line @typescript-eslint/no-explicit-any
    for (const [method, one] of Object.entries<any>(methods)) { // eslint-disable-line @typescript-eslint/no-explicit-any
      const body = one.requestBody?.content['application/json']?.schema ?? { properties: {}, required: [] };
      const inBody = Object.entries<any>(body.properties).map(([name, schema]) => [name, { required: body.required.includes(name), schema }]); // eslint-disable-line @typescript-eslint/no-explicit-any
      const others = one.parameters.map((given: any) => [given.name, { required: given.required, schema: given.schema }]); // eslint-disable-line @typescript-eslint/no-explicit-any
      const success = Object.entries<any>(one.responses).find(([code]) => code.startsWith('2'))?.[1]; // eslint-disable-line @typescript-eslint/no-explicit-any
      found.set(`${method.toUpperCase()} ${path.replace('/api/v1', '')}`, { values: Object.fromEntries([...inBody, ...others]), reply: Object.values<any>(success.content)[0].schema }); // eslint-disable-line @typescript-eslint/no-explicit-any
    }
  }
  return found;
}

/** JSON schema without what is only for people. */
function plain(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === 'description' || key === '$schema' || key.startsWith('~') ? undefined : value)));
}

const jsonOf = (schema: z.ZodType, io: 'input' | 'output'): any => z.toJSONSchema(schema, { io, unrepresentable: 'any' }); // eslint-disable-line @typescript-eslint/no-explicit-any

describe('the operations of the client are those of the API', () => {
  test('every operation of the API has one in the client, or another one that does the same', () => {
    expect(described.size).toBeGreaterThanOrEqual(80);
    const own = OWN.map(keyOf);
    expect([...described.keys()].filter((key) => !own.includes(STANDS_FOR[key] ?? key))).toEqual([]);
    expect(own.filter((key) => !described.has(key))).toEqual([]);
    expect(Object.keys(STANDS_FOR).filter((key) => !described.has(key) || own.includes(key))).toEqual([]);
    expect(own.filter((key, at) => own.indexOf(key) !== at)).toEqual([]);
  });

  test.each(OWN.map((one) => ({ key: keyOf(one), one })))('$key takes the values that the API takes, needs those that it needs, and knows its words', ({ key, one }) => {
    const values = described.get(key)?.values ?? {};
    const own = jsonOf(one.values, 'input');
    expect(Object.keys(own.properties).sort()).toEqual(Object.keys(values).sort());
    const needed = Object.keys(values).filter((name) => values[name]?.required === true);
    expect((own.required ?? []).filter((name: string) => !UNDERSTOOD.includes(name)).sort()).toEqual(needed.sort());
    for (const [name, { schema }] of Object.entries(values)) {
      const words = wordsOf(schema);
      const known = wordsOf(own.properties[name]);
      if (known.length > 0) expect(known.filter((word) => !words.includes(word)), name).toEqual([]);
      if (words.length > 0 && known.length > 0) expect(words.filter((word) => !known.includes(word) && !/^none$/iu.test(word)), name).toEqual([]);
    }
  });

  test.each(OWN.map((one) => ({ key: keyOf(one), one })))('$key answers what the client reads', ({ key, one }) => {
    expect(plain(jsonOf(one.reply, 'output'))).toEqual(plain(described.get(key)?.reply));
  });
});

/** The API refuses without it, although it is a flag. */
const UNDERSTOOD = ['yes_i_really_mean_it'];

/** The words that a value can be, wherever the schema says so. */
function wordsOf(schema: any): string[] { // eslint-disable-line @typescript-eslint/no-explicit-any
  if (schema === undefined || schema === null) return [];
  const own = [...(schema.enum ?? []), ...(typeof schema.const === 'string' ? [schema.const] : [])];
  return [...own, ...(schema.anyOf ?? []).flatMap(wordsOf), ...(schema.items === undefined ? [] : wordsOf(schema.items))];
}

test('every operation is what a method of a client asks for', async () => {
  const connection = new Connection(api.base, TOKEN);
  const [identity, cluster, nodes, vms] = [new IdentityClient(connection), new ClusterClient(connection), new NodeClient(connection), new VmClient(connection)];
  const [networks, tasks, storage] = [new NetworkClient(connection), new TaskClient(connection), new StorageClient(connection)];
  const session = new IdentityClient(api.base, { login: TOKEN });
  const xml = '<domain/>';
  requested.splice(0);
  const calls: (() => Promise<unknown>)[] = [
    () => identity.about(), () => identity.description(), () => session.login(), () => session.logout(),
    () => cluster.status(), () => cluster.setMaintenance(false), () => cluster.primaryNode(), () => firstEvent(cluster),
    () => nodes.list({ limit: 'x' }), () => nodes.get('x'), () => nodes.daemonState('x'), () => nodes.coordinatorState('x'), () => nodes.domainState('x'),
    () => nodes.setCoordinatorState('x', 'primary'), () => nodes.flush('x'), () => nodes.ready('x', { wait: true }), () => nodes.log('x', { lines: 1 }),
    () => vms.list({ tag: 'x' }), () => vms.get('x'), () => vms.define(xml), () => vms.createFromTemplate('x', { vm_template: 'y' }), () => vms.modify('x', xml), () => vms.remove('x'),
    () => vms.state('x'), () => vms.start('x'), () => vms.restart('x'), () => vms.shutdown('x'), () => vms.stop('x'), () => vms.disable('x', { force: true }),
    () => vms.node('x'), () => vms.migrate('x'), () => vms.unmigrate('x'), () => vms.move('x'), () => vms.abortMigration('x'), () => vms.meta('x'),
    () => vms.setMeta('x', { profile: null }), () => vms.tags('x'), () => vms.addTag('x', 'y'), () => vms.removeTag('x', 'y'), () => vms.rename('x', 'y'),
    () => vms.console('x'), () => vms.definition('x'), () => vms.freeLocks('x'),
    () => networks.list(), () => networks.get(5), () => networks.create({ vni: 5, description: 'x', nettype: 'managed', ip4_network: 'none of these' }), () => networks.modify('x', { mtu: null }),
    () => networks.remove('x'), () => networks.listAcl('x'), () => networks.getAcl('x', 'y'), () => networks.addAcl('x', { description: 'y', direction: 'in', rule: 'accept' }),
    () => networks.changeAcl('x', 'y', { order: 0 }), () => networks.removeAcl('x', 'y'), () => networks.listLeases('x'), () => networks.getLease('x', 'y'),
    () => networks.reserve('x', { macaddress: '52:54:00:00:00:01' }), () => networks.unreserve('x', 'y'),
    () => tasks.list(), () => tasks.get('x'),
    () => storage.status(), () => storage.utilization(), () => storage.setOption('set', 'noout'), () => storage.listOsds(), () => storage.getOsd(0), () => storage.osdState(0),
    () => storage.addOsd({ node: 'x', device: '/dev/none', weight: 1 }), () => storage.removeOsd(0, { yes_i_really_mean_it: true }), () => storage.setOsdState(0, 'in'),
    () => storage.listPools(), () => storage.getPool('p'), () => storage.createPool({ pool: 'p', pgs: 1 }), () => storage.modifyPool('p', { pgs: 2 }), () => storage.removePool('p', { yes_i_really_mean_it: true }),
    () => storage.listVolumes(), () => storage.getVolume('p', 'v'), () => storage.createVolume({ pool: 'p', volume: 'v', size: '1G' }), () => storage.modifyVolume('p', 'v', { size: 5 }),
    () => storage.removeVolume('p', 'v'), () => storage.scanVolume('p', 'v'), () => storage.cloneVolume('p', 'v', 'w'), () => storage.uploadVolume('p', 'v', { sizeBytes: 9, bytes: nothing() }),
    () => storage.downloadVolume('p', 'v'), () => storage.downloadSnapshot('p', 'v', 's'), () => storage.listSnapshots(), () => storage.getSnapshot('p', 'v', 's'),
    () => storage.createSnapshot('p', 'v', 's'), () => storage.renameSnapshot({ pool: 'p', volume: 'v', snapshot: 's' }, 't'), () => storage.removeSnapshot('p', 'v', 's'), () => storage.rollBackSnapshot('p', 'v', 's'),
  ];
  const failures = await Promise.all(calls.map((call) => call().then(() => undefined, (error: unknown) => error)));
  for (const [at, failure] of failures.entries()) {
    if (failure !== undefined) expect(failure, String(calls[at])).toSatisfy((error) => error instanceof ClientError && error.kind === 'answer' && error.status !== 405);
  }
  session.close();
  await until(() => requested.some(({ path }) => path === '/events'), 5_000, 'the end of the stream');
  connection.close();
  const missed = OWN.filter((one) => !requested.some((request) => request.method === one.method && matches(one.path, request.path)));
  expect(missed.map(keyOf)).toEqual([]);
});

async function firstEvent(cluster: ClusterClient): Promise<void> {
  const events = cluster.events();
  expect((await events.next()).value).toEqual({ kind: 'ready' });
  await events.return();
}

// eslint-disable-next-line require-yield -- nobody asks for it
async function* nothing(): AsyncGenerator<Uint8Array> {
  throw new Error('an image was asked for that has no place to go');
}

function matches(template: string, path: string): boolean {
  return new RegExp(`^${template.replaceAll(/:\w+/gu, '[^/]+')}$`, 'u').test(path);
}
