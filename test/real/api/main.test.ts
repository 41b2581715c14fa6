import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { until } from '../../support/until.ts';
import { freePorts, startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';

const MAIN = join(import.meta.dirname, '../../../dist/daemons/pvc-api.js');
const TOKEN = 'a-token-of-the-real-tests';
const READY_MS = 20_000;
const END_MS = 10_000;

let ensemble: Ensemble;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  if (!existsSync(MAIN)) throw new Error('dist/daemons/pvc-api.js is missing: run npm run build');
  ensemble = await startZooKeeper();
  folder = await mkdtemp(join(tmpdir(), 'pvc-api-'));
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

afterAll(async () => {
  await ensemble.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Running {
  child: ChildProcess;
  output: () => string;
  ended: Promise<number | null>;
}

function start(file: string): Running {
  const child = spawn(process.execPath, [MAIN], { env: { ...process.env, PVC_CONFIG_FILE: file }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output, ended: new Promise((resolve) => child.on('exit', resolve)) };
}

async function configFile(port: number, coordinators: readonly string[]): Promise<string> {
  const file = join(folder, `${port}.yaml`);
  const api = { listen_address: '127.0.0.1', listen_port: port, ssl: { enabled: false } };
  const authentication = { enabled: true, secret_key: 'a secret key of the tests with 40 letters', tokens: [{ description: 'real', token: TOKEN }] };
  await writeFile(file, JSON.stringify({ pvc: { debug: false, coordinators, api: { ...api, authentication } } }));
  return file;
}

async function codeOf(url: string): Promise<number> {
  try {
    return (await fetch(url, { headers: { 'X-Api-Key': TOKEN } })).status;
  } catch (error) {
    if (error instanceof TypeError) return 0;
    throw error;
  }
}

test('the API serves from a real ZooKeeper, and SIGTERM ends it cleanly with an event stream open', async () => {
  const [port = 0] = await freePorts(1);
  const api = start(await configFile(port, ensemble.hosts));
  const base = `http://127.0.0.1:${port}/api/v1`;
  await until(async () => (await codeOf(`${base}/vm`)) === 200, READY_MS, 'the API');
  expect(await codeOf(`${base}/`)).toBe(209);
  expect(await codeOf(`${base}/vm/nothing`)).toBe(404);
  const stream = await fetch(`${base}/events`, { headers: { 'X-Api-Key': TOKEN } });
  expect(stream.status).toBe(200);
  const startMs = performance.now();
  api.child.kill('SIGTERM');
  expect(await api.ended).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(END_MS);
  await stream.text();
  const lines = api.output().trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.filter((line) => line['level'] === 'error')).toEqual([]);
  expect(lines.find((line) => line['path'] === '/api/v1/vm')).toMatchObject({ who: 'real', how: 'token', method: 'GET', code: 200 });
  expect(api.output()).not.toContain(TOKEN);
});

test('a configuration with faults ends with code 78 and names every key at fault', async () => {
  const file = join(folder, 'bad.yaml');
  await writeFile(file, 'pvc: { debug: 7, coordinators: [], api: { listen_address: nowhere, authentication: { enabled: false }, ssl: { enabled: false } }, extra: 1 }\n');
  const api = start(file);
  expect(await api.ended).toBe(78);
  for (const key of ['pvc.debug', 'pvc.coordinators', 'pvc.api.listen_address', 'extra']) expect(api.output()).toContain(key);
});

test('without ZooKeeper the API waits, does not listen, and ends at SIGTERM', async () => {
  const [port = 0, nobody = 0] = await freePorts(2);
  const api = start(await configFile(port, [`127.0.0.1:${nobody}`]));
  await until(() => api.output().includes('API starts'), READY_MS, 'the start');
  expect(await codeOf(`http://127.0.0.1:${port}/api/v1/`)).toBe(0);
  api.child.kill('SIGTERM');
  expect(await api.ended).toBe(0);
});
