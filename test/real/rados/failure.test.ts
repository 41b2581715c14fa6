import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import { Rados, type RadosOptions } from '../../../common/rados/rados.ts';
import { cephMissing, startCephCluster, type CephCluster } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const OPERATION_LIMIT_MS = 3_000;
/** The library's own limit is later than Ceph's; and two busy cores. */
const SLACK_MS = 4_000;
/** Until an OSD or a monitor that was stopped is at work again, on a machine that others use too. */
const LIMIT_MS = 60_000;
const BUILT = resolve(import.meta.dirname, '../../../dist/common/rados/rados.js');

describe.skipIf(cephMissing() !== undefined)('when Ceph or its process fails', () => {
  let ceph: CephCluster;
  tellOnFailure(() => ceph);
  let open: Rados[] = [];

  beforeAll(async () => {
    ceph = await startCephCluster({ osds: 1, pools: ['vms'] });
    await ceph.exec(['rados', '-p', 'vms', 'put', 'there', '-'], 'x');
    await ceph.exec(['rbd', 'create', '--size', '16M', 'vms/image']);
  });
  afterEach(async () => {
    ceph.osds[0]?.resume();
    ceph.mon.resume();
    await Promise.all(open.map((rados) => rados.close()));
    open = [];
  });
  afterAll(() => ceph?.stop());

  const connect = async (options: Partial<RadosOptions> = {}): Promise<Rados> => {
    const rados = await Rados.connect({ configFile: ceph.configFile, operationTimeoutMs: OPERATION_LIMIT_MS, ...options });
    open.push(rados);
    return rados;
  };

  test('an OSD that does not answer holds up no file system and no monitor command, and its calls end in time; started again, it serves the same connection', async () => {
    const rados = await connect();
    await rados.ioctx('vms').read('there');
    ceph.osds[0]?.pause();
    const began = systemClock.monotonicMs();
    const reads = Array.from({ length: 10 }, () => settled(rados.ioctx('vms').read('there')));
    const writes = Array.from({ length: 10 }, (_, at) => settled(rados.ioctx('vms').writeFull(`new-${at}`, Buffer.from('x'))));
    const images = [settled(rados.rbd('vms').info('image')), settled(rados.rbd('vms').snapshots.create('image', 'never')), settled(rados.rbd('vms').listInfo())];
    const files: number[] = [];
    const commands: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      files.push(await timed(() => stat(ceph.configFile)));
      commands.push(await timed(() => rados.monCommand({ prefix: 'status' }, { isRead: true })));
    }
    expect(median(files)).toBeLessThan(50);
    expect(median(commands)).toBeLessThan(50);
    expect(Math.max(...files, ...commands)).toBeLessThan(1_000);
    // Four threads for ten calls of each kind: the last ones never begin, and end by the library's limit.
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['timeout']));
    expect(new Set(await Promise.all(writes))).toEqual(new Set(['unknown-outcome']));
    expect(await Promise.all(images)).toEqual(['timeout', 'unknown-outcome', 'timeout']);
    expect(systemClock.monotonicMs() - began).toBeLessThan(OPERATION_LIMIT_MS + SLACK_MS);
    await ceph.osds[0]?.kill();
    ceph.osds[0]?.start();
    await until(async () => (await settled(rados.ioctx('vms').read('there'))) === 'done', LIMIT_MS, 'the OSD answers again');
  });

  test('calls on an image of a hung OSD leave threads to be left behind, and a later call is served', async () => {
    const rados = await connect();
    ceph.osds[0]?.pause();
    const hung = Array.from({ length: 8 }, (_, at) => settled(rados.rbd('vms').info(`none-${at}`, { timeoutMs: 200 })));
    expect(new Set(await Promise.all(hung))).toEqual(new Set(['timeout']));
    ceph.osds[0]?.resume();
    expect(await settled(rados.rbd('vms').info('image', { timeoutMs: LIMIT_MS }))).toBe('done');
  });

  test('monitors that do not answer end commands in time', async () => {
    const rados = await connect();
    ceph.mon.pause();
    const began = systemClock.monotonicMs();
    expect(await settled(rados.monCommand({ prefix: 'status' }, { isRead: true }))).toBe('timeout');
    expect(await settled(rados.monCommand({ prefix: 'osd set', key: 'noout' }))).toBe('unknown-outcome');
    expect(systemClock.monotonicMs() - began).toBeLessThan(2 * (OPERATION_LIMIT_MS + SLACK_MS));
    ceph.mon.resume();
    await until(async () => (await settled(rados.monCommand({ prefix: 'osd unset', key: 'noout' }))) === 'done', LIMIT_MS, 'the monitor answers again');
  });

  test('a killed process costs the calls in flight, and the next call has another one', async () => {
    const rados = await connect();
    const first = rados.childPid ?? 0;
    ceph.osds[0]?.pause();
    const calls = [settled(rados.ioctx('vms').read('there')), settled(rados.ioctx('vms').writeFull('new', Buffer.from('x'))), settled(rados.rbd('vms').resize('image', 32 * MIB))];
    await rados.fsid();
    process.kill(first, 'SIGKILL');
    expect(await Promise.all(calls)).toEqual(['unavailable', 'unknown-outcome', 'unknown-outcome']);
    ceph.osds[0]?.resume();
    expect((await rados.ioctx('vms').read('there')).toString()).toBe('x');
    expect(rados.childPid).not.toBe(first);
    expect(await exists(`/proc/${first}/exe`)).toBe(false);
  });

  test('while no process can be started, calls fail and starts are further and further apart', async () => {
    const rados = await connect({ connectTimeoutMs: 1_000 });
    ceph.mon.pause();
    const pids = new Set<number>();
    const watching = new AbortController();
    const watcher = until(async () => ((await children()).forEach((pid) => pids.add(pid)), watching.signal.aborted), 60_000);
    process.kill(rados.childPid ?? 0, 'SIGKILL');
    const began = systemClock.monotonicMs();
    const calls: Promise<string>[] = [];
    while (systemClock.monotonicMs() - began < 5_000) {
      calls.push(settled(rados.fsid({ timeoutMs: 1_500 })));
      await until(() => false, 25).catch(() => undefined);
    }
    expect(await Promise.all(calls)).not.toContain('done');
    watching.abort();
    await watcher;
    expect(pids.size).toBeGreaterThanOrEqual(2);
    expect(pids.size).toBeLessThanOrEqual(6);
    ceph.mon.resume();
    await until(async () => (await settled(rados.fsid())) === 'done', LIMIT_MS, 'a process is started again');
  });

  test('a cancelled call ends at once, a cancelled open closes what it opened', async () => {
    const rados = await connect();
    const controller = new AbortController();
    ceph.osds[0]?.pause();
    const calls = [settled(rados.ioctx('vms').read('there', { signal: controller.signal })), settled(rados.rbd('vms').export('image', { signal: controller.signal }).next())];
    await rados.fsid();
    controller.abort();
    expect(await Promise.all(calls)).toEqual(['cancelled', 'cancelled']);
    ceph.osds[0]?.resume();
    expect(await settled(rados.fsid({ signal: controller.signal }))).toBe('cancelled');
    await rados.rbd('vms').resize('image', 16 * MIB, { allowShrink: true });
  });

  test('closing lets calls end, can be done twice, and refuses every call after it', async () => {
    const rados = await connect();
    const pid = rados.childPid ?? 0;
    const ioctx = rados.ioctx('vms');
    const objects = ioctx.objects();
    expect((await objects.next()).done).toBe(false);
    const image = rados.rbd('vms').export('image');
    const calls = Array.from({ length: 50 }, () => settled(ioctx.stat('there')));
    await rados.fsid();
    await Promise.all([rados.close(), rados.close()]);
    await rados.close();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['done']));
    const after = [ioctx.read('there'), rados.fsid(), rados.monCommand({ prefix: 'status' }), rados.rbd('vms').list(), image.next(), rados.pools.list()];
    expect(new Set(await Promise.all(after.map(settled)))).toEqual(new Set(['state']));
    await objects.return();
    expect(await exists(`/proc/${pid}/exe`)).toBe(false);
    expect(await children()).not.toContain(pid);
  });

  test('a process that was killed before the close is no error of the close', async () => {
    const rados = await connect();
    process.kill(rados.childPid ?? 0, 'SIGKILL');
    await rados.close();
    expect(await settled(rados.fsid())).toBe('state');
  });

  test('a wrong key, a missing file and a cluster that is not there are told apart, and leave no process', async () => {
    const before = await children();
    const keyringFile = join(ceph.folder, 'wrong.keyring');
    await writeFile(keyringFile, '[client.admin]\n\tkey = AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==\n');
    const attempt = async (options: RadosOptions): Promise<string> => settled(Rados.connect({ connectTimeoutMs: 2_000, ...options }));
    expect(await attempt({ configFile: ceph.configFile, keyringFile })).toBe('not-allowed');
    expect(await attempt({ configFile: join(ceph.folder, 'none.conf') })).toBe('not-found');
    expect(await attempt({ configFile: ceph.configFile, client: 'admin' })).toBe('invalid');
    expect(await attempt({ configFile: ceph.configFile, options: { mon_host: '[v2:127.255.255.1:3300]' } })).toBe('timeout');
    expect(await attempt({ options: { mon_host: `[${ceph.monAddress}]` }, keyringFile: ceph.keyringFile })).toBe('done');
    await until(async () => (await children()).length <= before.length + 1, LIMIT_MS, 'only the connection that was made has a process');
  });

  test('ten thousand calls leave no memory, descriptors or threads behind', async () => {
    const rados = await connect();
    const pid = rados.childPid ?? 0;
    const ioctx = rados.ioctx('vms');
    const round = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 100) {
        const calls = Array.from({ length: 100 }, async (_, number) => {
          if (number % 10 > 0) await ioctx.read('there');
          else if (number % 20 > 0) await ioctx.setOmap('there', new Map([[`k${number}`, Buffer.alloc(1_000)]]));
          else await rados.monCommand({ prefix: 'osd tree', format: 'json' }, { isRead: true });
        });
        await Promise.all(calls);
        await rados.rbd('vms').info('image');
      }
    };
    await round(2_000);
    const before = await usage(pid);
    await round(10_000);
    const after = await usage(pid);
    expect(after.threads).toBeLessThanOrEqual(before.threads);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
    expect(after.memoryMib).toBeLessThan(before.memoryMib + 24);
  });

  test('a parent that is killed leaves no process, with a call in flight', async () => {
    ceph.osds[0]?.pause();
    const program = `import { Rados } from ${JSON.stringify(BUILT)};
      const rados = await Rados.connect({ configFile: process.argv[1] });
      rados.ioctx('vms').read('there').catch(() => undefined);
      await rados.fsid();
      console.log(rados.childPid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program, ceph.configFile], { stdio: ['ignore', 'pipe', 'inherit'] });
    let child = '';
    for await (const line of createInterface({ input: parent.stdout })) {
      child = line;
      break;
    }
    expect(await exists(`/proc/${child}/exe`)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await until(async () => !(await exists(`/proc/${child}/exe`)), LIMIT_MS, 'the process is gone');
  });
});

/** 'done', or the code of the error. */
function settled(work: Promise<unknown>): Promise<string> {
  return work.then(
    async (value) => {
      if (value instanceof Rados) await value.close();
      return 'done';
    },
    (error: unknown) => (isAppError(error) ? error.code : String(error)),
  );
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** A zombie has no program any more. */
async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** Living children of this process that run Node. */
async function children(): Promise<number[]> {
  const text = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  const pids = text.split(' ').filter((pid) => pid !== '');
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, at) => commands[at]?.includes('rados-child') === true).map(Number);
}

async function usage(pid: number): Promise<{ memoryMib: number; threads: number; descriptors: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'mu').exec(status)?.[1]);
  return { memoryMib: field('VmRSS') / 1024, threads: field('Threads'), descriptors: (await readdir(`/proc/${pid}/fd`)).length };
}
