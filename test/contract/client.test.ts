import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Catalogue } from '../../client/catalogue.ts';
import { ClientError, type ClientErrorKind } from '../../client/client-error.ts';
import { ClusterClient } from '../../client/cluster-client.ts';
import { Connection } from '../../client/connection.ts';
import { batchCreate } from '../../client/examples/batch-create.ts';
import { twoVmsAndANetwork } from '../../client/examples/two-vms-and-a-network.ts';
import { IdentityClient } from '../../client/identity-client.ts';
import { NodeClient } from '../../client/node-client.ts';
import { TaskClient } from '../../client/task-client.ts';
import { VmClient } from '../../client/vm-client.ts';
import { aVmId } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, domainXml, drop, put, putNode, putVm, putVmStatus, startApi, TOKEN, type TestApi, type TestApiOptions } from './api-support.ts';

const LIMIT_MS = 10_000;
const running: { stop(): Promise<void> | void }[] = [];

afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function start(options: Partial<TestApiOptions> = {}): Promise<TestApi> {
  const api = await startApi({ zookeeper: aZooKeeper(), ...options });
  running.push(api);
  return api;
}

function connect(base: string, ...more: [ConstructorParameters<typeof Connection>[1]?, ConstructorParameters<typeof Connection>[2]?]): Connection {
  const connection = new Connection(base, more[0] ?? TOKEN, more[1]);
  running.push({ stop: () => connection.close() });
  return connection;
}

/** A server that is not the API, and how often it was asked. */
async function serve(listener: RequestListener): Promise<{ base: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  running.push({ stop: () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  }) });
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function failure(work: Promise<unknown>): Promise<ClientError> {
  const error = await work.then(() => undefined, (thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
}

const fails = async (work: Promise<unknown>, kind: ClientErrorKind, status?: number): Promise<ClientError> => {
  const error = await failure(work);
  expect([error.kind, error.status], `${error.message} ${error.details.join(' ')}`).toEqual([kind, status]);
  return error;
};

describe('errors', () => {
  test('a refusal has the API\'s words and status, and the request with its id', async () => {
    const vms = new VmClient(connect((await start()).base));
    const error = await fails(vms.get('no such/one'), 'answer', 404);
    expect(error.message).toContain('no VM');
    expect(error.details).toEqual(['GET /vm/no%20such%2Fone', expect.stringMatching(/^request: .+/u)]);
    await fails(vms.start('nobody'), 'answer', 510);
    await fails(new VmClient(connect((await start()).base, 'a wrong token')).list(), 'answer', 401);
  });

  test('wrong arguments are refused by name before anything is sent', async () => {
    const { base, asked } = await serve((_request, response) => response.end('{}'));
    const vms = new VmClient(connect(base));
    expect((await fails(vms.get(''), 'arguments')).details).toEqual([expect.stringMatching(/^vm: /u)]);
    expect((await fails(vms.setMeta('a', { migration_max_downtime: 0, autostart: 'yes' as unknown as boolean }), 'arguments')).details).toHaveLength(2);
    await fails(vms.get('\ud800'), 'arguments');
    await fails(vms.get('a', { timeoutMs: -1 }), 'arguments');
    await fails(vms.waitVm('a', 'start', { limitMs: 0 }), 'arguments');
    await fails(vms.waitVm('a', 'born' as 'start'), 'arguments');
    await fails(new NodeClient(connect(base)).waitNode('a', {}), 'arguments');
    expect(() => new VmClient(base, 7 as unknown as string)).toThrow(ClientError);
    expect(() => new VmClient('nowhere', TOKEN)).toThrow(ClientError);
    expect(asked).toEqual([]);
  });

  test('a server that is not the API, or is not there, is told as what it is', async () => {
    const texts = await serve((_request, response) => response.end('hello'));
    await fails(new VmClient(connect(texts.base)).list(), 'malformed', 200);
    const shapes = await serve((_request, response) => response.setHeader('Content-Type', 'application/json').end('[{"name":1}]'));
    expect((await fails(new VmClient(connect(shapes.base)).list(), 'malformed', 200)).details).toContainEqual(expect.stringMatching(/^0\.name: /u));
    const nothing = await serve((_request, response) => response.writeHead(302, { Location: '/' }).end());
    await fails(new VmClient(connect(nothing.base)).list(), 'answer', 302);
    const error = await fails(new VmClient(connect('http://127.0.0.1:1')).start('a'), 'connection');
    expect(error.details).toContain('code: ECONNREFUSED');
  });

  test('a call ends at its time limit, and as soon as its signal aborts', async () => {
    const { base } = await serve(() => undefined);
    const vms = new VmClient(connect(base, TOKEN, { timeoutMs: 50 }));
    expect((await fails(vms.list(), 'timeout')).details).toContain('timeoutMs: 50');
    await fails(vms.list({}, { timeoutMs: 20 }), 'timeout');
    const controller = new AbortController();
    const call = vms.list({}, { signal: controller.signal, timeoutMs: LIMIT_MS });
    controller.abort();
    await fails(call, 'aborted');
    await fails(vms.list({}, { signal: controller.signal }), 'aborted');
  });
});

describe('repetition', () => {
  test('a reading request is repeated when nobody is there, a command never', async () => {
    let left = 2;
    const proxy = await serve((request, response) => {
      if (left-- > 1) return void request.socket.destroy();
      response.writeHead(left >= 0 ? 503 : 200, { 'Content-Type': 'application/json' }).end('{"message":"x"}');
    });
    expect(await new IdentityClient(connect(proxy.base)).about()).toEqual({ message: 'x' });
    expect(proxy.asked).toEqual(Array(3).fill('GET /api/v1/'));
    const away = await serve((request) => void request.socket.destroy());
    await fails(new VmClient(connect(away.base)).start('a'), 'connection');
    expect(away.asked).toEqual(['POST /api/v1/vm/a/state']);
  });

  test('one connection serves call after call', async () => {
    const ports = new Set<number | undefined>();
    const { base } = await serve((request, response) => {
      ports.add(request.socket.remotePort);
      response.setHeader('Content-Type', 'application/json').end('{"message":"x"}');
    });
    const identity = new IdentityClient(connect(base));
    for (let calls = 0; calls < 3; calls += 1) await identity.about();
    expect(ports.size).toBe(1);
  });
});

describe('who asks', () => {
  test('a session is opened with the first call, opened again when it has ended, and closed', async () => {
    const api = await start();
    const identity = new IdentityClient(connect(api.base, { login: TOKEN }));
    const vms = new VmClient(identity.connection);
    expect(await vms.list()).toEqual([]);
    const sessions = () => api.store.list('/session');
    const [first = ''] = await sessions();
    await drop(api, 'session', first);
    expect(await Promise.all([vms.list(), vms.list()])).toEqual([[], []]);
    expect(await sessions()).toEqual([expect.not.stringContaining(first)]);
    await identity.logout();
    expect(await sessions()).toEqual([]);
    await fails(new VmClient(connect(api.base, { login: 'a wrong token' })).list(), 'answer', 401);
  });

  test('a token can be tried', async () => {
    const { base } = await start();
    expect(await new IdentityClient(connect(base)).check()).toBe(true);
    expect(await new IdentityClient(connect(base, 'wrong')).check()).toBe(false);
    expect(await new IdentityClient(connect(base, { login: 'wrong' })).check()).toBe(false);
  });

  test('where authentication is off a login is no hindrance', async () => {
    const { base } = await start({ authentication: false });
    expect(await new VmClient(connect(base, { login: TOKEN })).list()).toEqual([]);
  });
});

test('a certificate is checked with Node\'s authorities, with those that are given, or not at all', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pvc-client-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  running.push({ stop: () => rmSync(folder, { recursive: true }) });
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=pvc', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
  const { base } = await start({ ssl: { cert_file: cert, key_file: key } });
  expect((await fails(new VmClient(connect(base)).start('a'), 'connection')).details).toContain('code: DEPTH_ZERO_SELF_SIGNED_CERT');
  expect(await new VmClient(connect(base, TOKEN, { ca: readFileSync(cert, 'utf8') })).list()).toEqual([]);
  expect(await new VmClient(connect(base, { login: TOKEN }, { verifyCertificate: false })).list()).toEqual([]);
});

test('the catalogue has the endpoint of every service that the API has', async () => {
  const { base } = await start();
  const catalogue = new Catalogue(base, TOKEN);
  expect(await catalogue.endpoint('vm')).toBe(base);
  expect(Object.keys(await catalogue.endpoints())).toEqual(['identity', 'cluster', 'node', 'vm', 'network', 'task', 'storage']);
  expect(await new VmClient(await catalogue.endpoint('vm'), TOKEN).list()).toEqual([]);
  catalogue.close();
  const other = await serve((_request, response) => response.setHeader('Content-Type', 'application/json').end('{"openapi":"3.1.0","paths":{"/api/v1/vm":{}}}'));
  await fails(new Catalogue(connect(other.base)).endpoint('storage'), 'outcome');
});

const WAITING = { power: { action: 'start', generation: 1 } };

describe('waiting', () => {
  test('a VM is waited for until it really runs, by events, and each change is told', async () => {
    const api = await start();
    await putVm(api, { uuid: aVmId(1), name: 'web1', ...WAITING });
    const seen: [string, boolean][] = [];
    const wait = new VmClient(connect(api.base)).waitVm('web1', 'start', { limitMs: LIMIT_MS, pollMs: LIMIT_MS, onProgress: ({ state, settled }) => void seen.push([state, settled]) });
    await until(() => seen.length === 1, LIMIT_MS);
    await putVmStatus(api, aVmId(1), { powerGeneration: 1, phase: { kind: 'starting' } });
    await until(() => seen.length === 2 || seen.at(-1)?.[1] === false, LIMIT_MS);
    await putVmStatus(api, aVmId(1), { powerGeneration: 1 });
    expect(await wait).toMatchObject({ name: 'web1', state: 'start', settled: true });
    expect([seen[0], seen.at(-1)]).toEqual([['start', false], ['start', true]]);
  });

  test('a wait ends with the reason when it fails, at its limit, by its signal, and when there is nothing to wait for', async () => {
    const api = await start();
    const vms = new VmClient(connect(api.base));
    await putVm(api, { uuid: aVmId(1), name: 'web1', ...WAITING });
    await fails(vms.waitVm('web1', 'start', { limitMs: 200 }), 'timeout');
    const controller = new AbortController();
    const aborted = vms.waitVm('web1', 'start', { signal: controller.signal });
    controller.abort();
    await fails(aborted, 'aborted');
    await fails(vms.waitVm('web2', 'start'), 'answer', 404);
    await fails(vms.waitVm('web1', 'start', { onProgress: () => { throw new Error('mine'); } }), 'bug');
    await putVmStatus(api, aVmId(1), { powerGeneration: 1, owner: null, phase: { kind: 'failed', reason: 'no disk' } });
    expect((await fails(vms.waitVm('web1', ['start', 'stop']), 'outcome')).details).toEqual(['vm: web1', 'why: no disk']);
    expect(await vms.waitVm('web1', 'fail')).toMatchObject({ failed_reason: 'no disk' });
  });

  test('where no events are served it looks again and again', async () => {
    const api = await start();
    await putVm(api, { uuid: aVmId(1), name: 'web1', ...WAITING });
    const proxy = await serve((request, response) => {
      if (request.url?.includes('/events') === true) return void response.writeHead(429).end();
      void fetch(`${api.base}${String(request.url).replace('/api/v1', '')}`, { headers: { 'X-Api-Key': TOKEN } }).then(async (answer) => response.setHeader('Content-Type', 'application/json').end(await answer.text()));
    });
    const wait = new VmClient(connect(proxy.base)).waitVm('web1', 'start', { limitMs: LIMIT_MS, pollMs: 20 });
    await until(() => proxy.asked.filter((one) => one.endsWith('/vm/web1')).length > 2, LIMIT_MS);
    await putVmStatus(api, aVmId(1), { powerGeneration: 1 });
    expect(await wait).toMatchObject({ state: 'start' });
  });

  test('nodes and tasks are waited for alike', async () => {
    const api = await start();
    const connection = connect(api.base);
    await putNode(api, 'hv1', { alive: false });
    const node = new NodeClient(connection).waitNode('hv1', { daemon_state: 'run', domain_state: 'ready' }, { limitMs: LIMIT_MS });
    await putNode(api, 'hv1');
    expect(await node).toMatchObject({ name: 'hv1', daemon_state: 'run' });
    const tasks = new TaskClient(connection);
    for (const [id, state, error] of [['flush-hv1-1', 'done', null], ['flush-hv1-2', 'failed', 'web1 fits nowhere'], ['flush-hv1-3', 'cancelled', null]] as const) {
      await put(api, 'task', id, aTask({ id, state: 'running' }));
      const wait = failureOrTask(tasks.waitTask(id, { limitMs: LIMIT_MS }));
      await put(api, 'task', id, aTask({ id, state, error }));
      expect(await wait).toBe({ done: 'SUCCESS', failed: 'outcome', cancelled: 'outcome' }[state]);
    }
  });
});

const aTask = (given: { id: string; state: string; error?: string | null }) => ({
  kind: 'flush', target: 'hv1', generation: 1, executor: 'hv1', requestedBy: 'tests', steps: [], error: null, createdMs: 0, ...given,
});

const failureOrTask = (wait: Promise<{ state: string }>): Promise<string> => wait.then(({ state }) => state, (error: unknown) => (error as ClientError).kind);

test('events are followed until the signal aborts, and go on where they were when the connection breaks', async () => {
  const api = await start();
  const controller = new AbortController();
  const seen: string[] = [];
  const cluster = new ClusterClient(connect(api.base));
  const reading = (async () => {
    for await (const event of cluster.events({ kinds: ['vm'] }, { signal: controller.signal })) {
      seen.push(event.kind === 'vm' ? `${event.document?.name ?? event.id}` : event.kind);
    }
  })();
  await until(() => seen.includes('ready'), LIMIT_MS);
  await putVm(api, { uuid: aVmId(1), name: 'web1' });
  await until(() => seen.includes('web1'), LIMIT_MS);
  cluster.close();
  await putVm(api, { uuid: aVmId(2), name: 'web2' });
  await until(() => seen.includes('web2'), LIMIT_MS);
  expect(seen.filter((one) => one === 'ready')).toHaveLength(1);
  controller.abort();
  await fails(reading, 'aborted');
});

/** Does what a node would: says that every VM that is asked to start runs, and that those named `bad…` fail. */
function aNodeThatStarts(api: TestApi): void {
  const done = new Set<string>();
  const unlisten = api.api.mirror.onChange((kind, id) => {
    const vm = kind === 'vm' ? api.api.mirror.get('vm', id)?.doc : undefined;
    if (vm?.power.action !== 'start' || done.has(id)) return;
    done.add(id);
    const failed = vm.name.startsWith('bad') ? { owner: null, phase: { kind: 'failed' as const, reason: 'no disk' } } : {};
    void putVmStatus(api, id, { powerGeneration: vm.power.generation, ...failed });
  });
  running.push({ stop: () => void unlisten() });
}

describe('examples', () => {
  test('of many VMs that are made at once, one that fails does not stop the rest', async () => {
    const api = await start();
    await putNode(api, 'hv1');
    aNodeThatStarts(api);
    const wanted = ['web1', 'bad1', 'web2'].map((name) => ({ name, xml: domainXml(name).replace(/<interface.*<\/interface>/u, '') }));
    const created = await batchCreate(new VmClient(connect(api.base)), [...wanted, { name: 'none', xml: 'no XML' }], LIMIT_MS);
    expect(created.map((one) => ('vm' in one ? [one.name, one.vm.state] : [one.name, one.error]))).toEqual([
      ['web1', 'start'], ['bad1', 'the VM failed'], ['web2', 'start'], ['none', expect.any(String)],
    ]);
  });

  test('two VMs get an interface each in a network of their own', async () => {
    const api = await start();
    await putNode(api, 'hv1');
    aNodeThatStarts(api);
    const network = { vni: 77, description: 'private', ip4Network: '10.5.0.0/24', ip4Gateway: '10.5.0.1', dhcp4: ['10.5.0.100', '10.5.0.199'] as const };
    const definition = (name: string, networkInterface: string): string => domainXml(name).replace(/<interface.*<\/interface>/u, networkInterface);
    const vms = await twoVmsAndANetwork(connect(api.base), network, { names: ['left', 'right'], definition, limitMs: LIMIT_MS });
    expect(vms.map((vm) => [vm.name, vm.state, vm.networks.map(({ vni }) => vni)])).toEqual([['left', 'start', ['77']], ['right', 'start', ['77']]]);
  });
});
