import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { unpackLines } from '../../../common/log-tail.ts';
import { nodeLog } from '../../../common/schema/node.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { until } from '../../support/until.ts';
import { hasZooKeeper, startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';

const LIMIT_MS = 30_000;
const MAIN = resolve(import.meta.dirname, '../../../dist/daemons/pvcd.js');

/** Prints each datagram on a line; reading without room for descriptors closes those that come with it, as systemd does. */
const NOTIFY_LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("listening", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

interface Process {
  child: ChildProcess;
  output: { stdout: string; stderr: string };
  end: () => Promise<number | null>;
}

let folder = '';
let processes: Process[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pvcd-process-'));
  processes = [];
});

afterEach(async () => {
  for (const { child, end } of processes) {
    child.kill('SIGKILL');
    await end();
  }
  await rm(folder, { recursive: true, force: true });
});

function start(program: string, args: readonly string[], env: Record<string, string> = {}): Process {
  const child = spawn(program, args, { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (output.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output.stderr += data.toString()));
  const ended = once(child, 'close').then(([code]: (number | null)[]) => code ?? null);
  const started = { child, output, end: () => ended };
  processes.push(started);
  return started;
}

/** The daemon with a /run of its own, so that it never finds the machine's libvirt. */
function startDaemon(config: string, options: { args?: readonly string[]; env?: Record<string, string> } = {}): Process {
  const script = 'mount -t tmpfs none /run && exec "$@"';
  const inner = [process.execPath, MAIN, ...(options.args ?? [])];
  const args = ['--mount', '--propagation', 'private', '--', '/bin/sh', '-c', script, 'sh', ...inner];
  return start('/usr/bin/unshare', args, { PVCD_CONFIG_FILE: config, ...options.env });
}

async function configFile(document: unknown): Promise<string> {
  const file = join(folder, 'pvcd.yaml');
  await writeFile(file, typeof document === 'string' ? document : stringify(document));
  return file;
}

const missing = process.getuid?.() === 0 ? [MAIN, '/usr/bin/unshare', '/usr/bin/python3', '/usr/bin/systemd-notify'].find((file) => !existsSync(file)) : 'root';

describe.skipIf(missing !== undefined)('a configuration', () => {
  test('with faults ends the process with 78 and names each of them, by key', async () => {
    const config = await configFile({ node: 'not a name', address: '10.0.0.300', zookeeper: { hosts: ['no port'], session_timeout_s: 1 }, flush: { paralel: 3 }, coordinators: ['hv1'] });
    const { end, output } = startDaemon(config);
    expect(await end()).toBe(78);
    for (const key of ['node', 'address', 'zookeeper.hosts.0', 'zookeeper.session_timeout_s', 'flush']) expect(output.stderr).toMatch(new RegExp(`^  ${key}: `, 'mu'));
    expect(output.stderr).toContain('paralel');
    expect(output.stdout).toBe('');
  });

  test('that is not there or no YAML ends the process with 78', async () => {
    const [absent, broken] = [startDaemon(join(folder, 'none.yaml')), startDaemon(await configFile('a: [1'))];
    expect(await absent.end()).toBe(78);
    expect(absent.output.stderr).toContain('none.yaml');
    expect(await broken.end()).toBe(78);
  });

  test('without a floating address leaves nothing for the release to do', async () => {
    const config = await configFile(aConfig(['127.0.0.1:1']));
    expect(await startDaemon(config, { args: ['release'] }).end()).toBe(0);
    expect(await startDaemon(config, { args: ['relase'] }).end()).toBe(64);
  });
});

function aConfig(hosts: readonly string[]): Record<string, unknown> {
  const note = (what: string): readonly string[] => ['/bin/sh', '-c', `echo ${what} >>${join(folder, 'api')}`];
  return {
    node: 'hv1',
    address: '127.0.0.1',
    coordinators: ['hv1'],
    zookeeper: { hosts: [...hosts], session_timeout_s: 20 },
    api_service: { kind: 'command', start: note('start'), stop: note('stop') },
    keepalive_interval_s: 1,
    initial_domain_state: 'ready',
    vm: { console_directory: join(folder, 'console') },
    run_directory: join(folder, 'run'),
  };
}

describe.skipIf(missing !== undefined || !hasZooKeeper())('the process on a real ZooKeeper', () => {
  let ensemble: Ensemble;
  let store: ZooKeeperStore;

  beforeAll(async () => {
    ensemble = await startZooKeeper();
    store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: 20_000, clock: systemClock, log: silentLogger });
    await store.start(new AbortController().signal);
  });

  afterAll(async () => {
    await store.stop();
    await ensemble.stop();
  });

  async function read(path: string): Promise<Record<string, unknown> | undefined> {
    return (await store.read(path))?.value as Record<string, unknown> | undefined;
  }

  async function logLines(): Promise<readonly string[]> {
    const document = await read('/status/node-log/hv1');
    return document === undefined ? [] : unpackLines(nodeLog.parse(document).packed);
  }

  async function isPrimary(instance: { not: unknown }): Promise<boolean> {
    const [status, presence] = [await read('/status/node/hv1'), await read('/presence/hv1')];
    return status?.['coordinatorState'] === 'primary' && presence !== undefined && presence['instance'] !== instance.not;
  }

  test('starts, tells systemd, becomes primary, reloads its log level, refuses a second one and ends cleanly', async () => {
    const config = await configFile(aConfig(ensemble.hosts));
    const socket = join(folder, 'notify');
    const systemd = start('/usr/bin/python3', ['-c', NOTIFY_LISTENER, socket]);
    await until(() => systemd.output.stdout.includes('listening'), LIMIT_MS);
    const daemon = startDaemon(config, { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '1000000' } });
    await until(() => isPrimary({ not: undefined }), LIMIT_MS, `a primary; ${daemon.output.stdout}`);
    await until(() => systemd.output.stdout.includes('READY=1 STATUS=node hv1'), LIMIT_MS, 'ready');
    await until(() => systemd.output.stdout.includes('WATCHDOG=1'), LIMIT_MS, 'a ping');
    expect(await readFile(join(folder, 'api'), 'utf8')).toMatch(/start\n$/u);
    expect((await read('/status/node/hv1'))?.['daemonState'], 'without libvirt a node is never at work').toBe('init');
    expect((await read('/spec/node/hv1'))?.['domains']).toEqual({ wish: 'ready', generation: 1 });

    const second = startDaemon(config);
    expect(await second.end()).toBe(1);
    expect(second.output.stdout).toContain('another daemon runs on this host');

    await configFile({ ...aConfig(ensemble.hosts), log_level: 'debug' });
    daemon.child.kill('SIGHUP');
    await until(() => daemon.output.stdout.includes('"level":"debug"'), LIMIT_MS, 'debug log');
    await configFile('broken: [');
    daemon.child.kill('SIGHUP');
    await until(() => daemon.output.stdout.includes('could not be reloaded'), LIMIT_MS, 'a refused reload');

    daemon.child.kill('SIGTERM');
    expect(await daemon.end()).toBe(0);
    expect(systemd.output.stdout).toContain('STOPPING=1');
    expect(await read('/presence/hv1')).toBeUndefined();
    expect(await read('/lease/primary')).toBeUndefined();
    expect(await read('/status/node/hv1')).toMatchObject({ daemonState: 'stop', coordinatorState: 'secondary' });
    expect(await readFile(join(folder, 'api'), 'utf8')).toMatch(/stop\n$/u);
    expect(existsSync(join(folder, 'run/pvcd.pid'))).toBe(false);
  });

  test('killed and started again takes over from its dead self long before the session would end', async () => {
    const config = await configFile(aConfig(ensemble.hosts));
    const first = startDaemon(config);
    await until(() => isPrimary({ not: undefined }), LIMIT_MS, 'the first');
    const instance = (await read('/presence/hv1'))?.['instance'];
    first.child.kill('SIGKILL');
    await first.end();
    const startedMs = systemClock.monotonicMs();
    const second = startDaemon(config);
    await until(() => isPrimary({ not: instance }), LIMIT_MS, `the second; ${second.output.stdout}`);
    expect(systemClock.monotonicMs() - startedMs).toBeLessThan(10_000);
    second.child.kill('SIGTERM');
    expect(await second.end()).toBe(0);
  });

  test('what it logs stands in ZooKeeper within seconds, not written more often than every two, and the next run goes on there', async () => {
    const earlier = (await logLines()).length;
    const config = await configFile({ ...aConfig(ensemble.hosts), log_level: 'debug' });
    const startedMs = systemClock.monotonicMs();
    const before = (await store.read('/status/node-log/hv1'))?.version ?? -1;
    const first = startDaemon(config);
    const said = async (message: string): Promise<boolean> => (await logLines()).slice(earlier).some((line) => line.includes(message));
    await until(() => said('info connected to ZooKeeper hosts=["127.0.0.1:'), LIMIT_MS, `a log; ${first.output.stdout}`);
    expect((await logLines()).at(-1)).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warn) /u);
    first.child.kill('SIGTERM');
    expect(await first.end()).toBe(0);
    const writes = ((await store.read('/status/node-log/hv1'))?.version ?? 0) - before;
    expect(writes, 'besides the first and the last').toBeLessThanOrEqual(2 + (systemClock.monotonicMs() - startedMs) / 2_000);
    const ended = await logLines();
    expect(ended.slice(earlier), 'also what it said at its end').toContainEqual(expect.stringContaining(' info the daemon was told to end signal=SIGTERM'));
    expect(ended.filter((line) => line.includes('node-log')), 'the log is no reason to log').toEqual([]);

    const second = startDaemon(config);
    await until(async () => (await logLines()).length > ended.length, LIMIT_MS, `more lines; ${second.output.stdout}`);
    expect((await logLines()).slice(0, ended.length)).toEqual(ended);
    second.child.kill('SIGTERM');
    expect(await second.end()).toBe(0);
  });

  test('told to end while a command of its runs, it ends cleanly all the same', async () => {
    const [running, goOn] = [join(folder, 'running'), join(folder, 'go-on')];
    const wait = `touch ${running}; until [ -e ${goOn} ]; do sleep 0.05; done`;
    const config = aConfig(ensemble.hosts);
    const daemon = startDaemon(await configFile({ ...config, api_service: { kind: 'command', start: ['/bin/sh', '-c', wait], stop: ['/bin/true'] } }));
    await until(() => existsSync(running), LIMIT_MS, `the command; ${daemon.output.stdout}`);
    daemon.child.kill('SIGTERM');
    const told = (): boolean => daemon.output.stdout.includes('was told to end') || daemon.child.signalCode !== null;
    await until(told, LIMIT_MS, 'the signal');
    await writeFile(goOn, '');
    expect(await daemon.end(), 'null: the signal killed it').toBe(0);
    expect(await read('/presence/hv1')).toBeUndefined();
    expect(await read('/lease/primary')).toBeUndefined();
  });

  test('told to end while it waits for ZooKeeper ends', async () => {
    const daemon = startDaemon(await configFile(aConfig(['127.0.0.1:1'])));
    await until(() => existsSync(join(folder, 'run/pvcd.pid')), LIMIT_MS, 'a start');
    daemon.child.kill('SIGTERM');
    expect(await daemon.end()).toBe(0);
  });
});
