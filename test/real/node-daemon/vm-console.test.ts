import { appendFile, mkdtemp, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { newVmId, nodeName, type VmId } from '../../../common/ids.ts';
import { silentLogger } from '../../../common/log.ts';
import { createMirror } from '../../../common/mirror/mirror.ts';
import { Controller } from '../../../common/reconcile/controller.ts';
import { MIRRORED, RESOURCES } from '../../../common/schema/resources.ts';
import { MemoryStore } from '../../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../../common/store/memory-zookeeper.ts';
import { FileConsoleLogs } from '../../../node-daemon/drivers/console-log.ts';
import { coalesce, VmConsoleReconciler } from '../../../node-daemon/reconcilers/vm-console.ts';
import { aVm, aStatus } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 10_000;
const INTERVAL_MS = 50;
const never = new AbortController().signal;

let zookeeper: MemoryZooKeeper;
let operator: MemoryStore;
let folders: string[] = [];
let stops: (() => Promise<void>)[] = [];

beforeEach(async () => {
  [folders, stops] = [[], []];
  zookeeper = new MemoryZooKeeper({ clock: systemClock });
  operator = new MemoryStore({ zookeeper, clock: systemClock, name: 'operator' });
  await operator.start(never);
});

afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await operator.stop();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** The console part of one node's daemon, over real files. */
async function aNode(name: string, directory?: string) {
  const folder = directory ?? (await mkdtemp(join(tmpdir(), 'pvc-console-')));
  if (directory === undefined) folders.push(folder);
  const store = new MemoryStore({ zookeeper, clock: systemClock, name });
  await store.start(never);
  const mirror = createMirror({ store, clock: systemClock, log: silentLogger, table: RESOURCES, kinds: MIRRORED });
  await mirror.start(never);
  const consoles = new FileConsoleLogs({ directory: folder, log: silentLogger });
  await consoles.start(never);
  const reconciler = new VmConsoleReconciler({ node: nodeName.parse(name), store, mirror, consoles, linesMax: 1_000 });
  let runs = 0;
  const controller = new Controller({
    name: 'vm-console',
    clock: systemClock,
    log: silentLogger,
    jitter: () => 0.5,
    reconciler: { reconcile: (key) => ((runs += 1), reconciler.reconcile(key)) },
    keys: () => mirror.all('vm-status').keys(),
    workers: 4,
    resyncMs: 60_000,
    sources: [
      (enqueue) => mirror.onChange((kind, id) => reconciler.keysOf(kind, id).forEach(enqueue)),
      (enqueue) => {
        const notify = coalesce(systemClock, INTERVAL_MS, enqueue);
        const unlisten = consoles.listen(notify);
        return () => (unlisten(), notify.stop());
      },
    ],
  });
  controller.start();
  const stop = async (): Promise<void> => {
    await controller.stop();
    await consoles.stop();
    await mirror.stop();
    await store.stop();
  };
  stops.push(stop);
  return { folder, stop, runs: () => runs, file: (vm: VmId) => join(folder, `${vm}.log`) };
}

async function define(owner: string): Promise<VmId> {
  const uuid = newVmId();
  await operator.create(`/spec/vm/${uuid}`, aVm({ uuid }));
  await operator.create(`/status/vm/${uuid}`, aStatus({ owner: nodeName.parse(owner), phase: { kind: 'running' } }));
  return uuid;
}

async function linesOf(vm: VmId): Promise<string[] | undefined> {
  const entry = await operator.read(`/status/vm-console/${vm}`);
  return (entry?.value as { lines: string[] } | undefined)?.lines;
}

async function expectLines(vm: VmId, lines: readonly string[]): Promise<void> {
  await until(async () => JSON.stringify(await linesOf(vm)) === JSON.stringify(lines), LIMIT_MS, `console of ${lines.join('|')}, not ${String(await linesOf(vm))}`);
}

describe('a console file', () => {
  test('is followed line by line, and what is no text is replaced', async () => {
    const node = await aNode('hv1');
    const vm = await define('hv1');
    await writeFile(node.file(vm), 'boot\r\n');
    await expectLines(vm, ['boot']);
    await appendFile(node.file(vm), 'login: ');
    await expectLines(vm, ['boot', 'login: ']);
    await appendFile(node.file(vm), Buffer.from([0xff, 0x0a, 0xe2, 0x82]));
    await expectLines(vm, ['boot', 'login: \ufffd']);
    await appendFile(node.file(vm), Buffer.from([0xac, 0x0a]));
    await expectLines(vm, ['boot', 'login: \ufffd', '€']);
  });

  test('that is truncated or rotated loses nothing that was printed', async () => {
    const node = await aNode('hv1');
    const vm = await define('hv1');
    await writeFile(node.file(vm), 'one\ntwo\n');
    await expectLines(vm, ['one', 'two']);
    await truncate(node.file(vm), 0);
    await appendFile(node.file(vm), 'a\n');
    await expectLines(vm, ['one', 'two', 'a']);
    await appendFile(node.file(vm), 'last of the old file\n');
    await rename(node.file(vm), `${node.file(vm)}.0`);
    await writeFile(node.file(vm), 'first of the new file\n');
    await expectLines(vm, ['one', 'two', 'a', 'last of the old file', 'first of the new file']);
  });

  test('goes on after a restart of the daemon without repeating or losing anything', async () => {
    const first = await aNode('hv1');
    const vm = await define('hv1');
    await writeFile(first.file(vm), 'before\n');
    await expectLines(vm, ['before']);
    await first.stop();
    await appendFile(first.file(vm), 'meanwhile\n');
    const second = await aNode('hv1', first.folder);
    await expectLines(vm, ['before', 'meanwhile']);
    await appendFile(second.file(vm), 'after\n');
    await expectLines(vm, ['before', 'meanwhile', 'after']);
  });

  test('of a VM that has moved here is added to the lines of its old node', async () => {
    const [source, target] = [await aNode('hv1'), await aNode('hv2')];
    const vm = await define('hv1');
    await writeFile(source.file(vm), 'at the source\n');
    await expectLines(vm, ['at the source']);
    await writeFile(target.file(vm), 'at the target\n');
    await operator.update(`/status/vm/${vm}`, aStatus({ owner: nodeName.parse('hv2'), phase: { kind: 'running' } }), 0);
    await expectLines(vm, ['at the source', 'at the target']);
    await appendFile(source.file(vm), 'a ghost\n');
    await appendFile(target.file(vm), 'still there\n');
    await expectLines(vm, ['at the source', 'at the target', 'still there']);
  });

  test('of a VM that is gone is removed, with those that were rotated', async () => {
    const node = await aNode('hv1');
    const vm = await define('hv1');
    await writeFile(`${node.file(vm)}.0`, 'old\n');
    await writeFile(node.file(vm), 'new\n');
    await until(async () => (await linesOf(vm)) !== undefined, LIMIT_MS);
    await operator.remove(`/status/vm/${vm}`, 0);
    await operator.remove(`/spec/vm/${vm}`, 0);
    await until(async () => (await readdir(node.folder)).length === 0, LIMIT_MS, 'files removed');
  });

  test('of more than the document holds is cut at its beginning', async () => {
    const node = await aNode('hv1');
    const vm = await define('hv1');
    const line = 'x'.repeat(1_000);
    await writeFile(node.file(vm), `first\n${`${line}\n`.repeat(3_000)}last\n`);
    await until(async () => (await linesOf(vm))?.at(-1) === 'last', LIMIT_MS);
    const lines = (await linesOf(vm)) ?? [];
    expect(lines.length).toBeLessThan(210);
    expect(JSON.stringify(lines).length).toBeLessThanOrEqual(200 * 1024 + 2);
  });
});

test('a guest that prints all the time is written a few times, and one that is silent never', async () => {
  const node = await aNode('hv1');
  const [chatty, silent] = [await define('hv1'), await define('hv1')];
  await writeFile(node.file(silent), 'quiet\n');
  await expectLines(silent, ['quiet']);
  const versionOf = async (vm: VmId): Promise<number> => (await operator.read(`/status/vm-console/${vm}`))?.version ?? -1;
  const before = await versionOf(silent);
  const startedMs = systemClock.monotonicMs();
  for (let count = 0; count < 400; count += 1) await appendFile(node.file(chatty), `${count}\n`);
  await until(async () => (await linesOf(chatty))?.length === 400, LIMIT_MS);
  const windows = (systemClock.monotonicMs() - startedMs) / INTERVAL_MS;
  expect(await versionOf(chatty)).toBeLessThanOrEqual(windows + 2);
  expect(await versionOf(silent)).toBe(before);
});
