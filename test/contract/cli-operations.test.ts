import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { Operation, Values } from '../../client/operation.ts';
import { CLUSTER } from '../../client/operations/cluster.ts';
import { IDENTITY } from '../../client/operations/identity.ts';
import { NETWORK } from '../../client/operations/network.ts';
import { NODE } from '../../client/operations/node.ts';
import { STORAGE } from '../../client/operations/storage.ts';
import { TASK } from '../../client/operations/task.ts';
import { VM } from '../../client/operations/vm.ts';
import { delay, systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import { aVmId } from '../support/builders.ts';
import { allVerbs, verbsWithout } from '../support/cli-verbs.ts';
import { pvc, type Ran } from '../support/memory-terminal.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, domainXml, putNode, putVm, startApi, TOKEN, type TestApi } from './api-support.ts';

type Any = Operation<z.ZodType<Values>, z.ZodType>;
const keyOf = ({ method, path }: Any): string => `${method} ${path}`;
const TABLES: Readonly<Record<string, Readonly<Record<string, Any>>>> = { IDENTITY, CLUSTER, NODE, VM, NETWORK, TASK, STORAGE };

/** Operations that need no command, and why. */
const WITHOUT: Readonly<Record<string, string>> = {
  'POST /auth/login': 'the command shows its token with each call',
  'POST /auth/logout': 'it has no session',
};

/** A command line for each verb, with every option that leads to another operation. What it is given need not exist. */
const LINES: readonly string[] = [
  'cluster status', 'cluster maintenance off', 'cluster primary', 'cluster events --count 1', 'cluster api',
  'node list x', 'node info x', 'node state x', 'node flush x', 'node ready x', 'node primary x', 'node secondary x', 'node log x -n 5', 'node wait x --daemon-state run',
  'vm list x', 'vm info x', 'vm state x', 'vm start x', 'vm shutdown x', 'vm stop x --yes', 'vm restart x', 'vm disable x', 'vm wait x start',
  'vm node x', 'vm migrate web1 --no-wait', 'vm unmigrate web1 --no-wait', 'vm move web1 --no-wait', 'vm abort x',
  'vm define FILE', 'vm create x --template y', 'vm dump x', 'vm modify x FILE', 'vm edit web1 --yes', 'vm rename x y', 'vm remove x --yes', 'vm delete x --yes',
  'vm meta web1 --profile none', 'vm tag list x', 'vm tag add x y', 'vm tag remove x y', 'vm console x --once', 'vm locks x',
  'network list x', 'network info x --long', 'network add 7 -d seven', 'network modify x --dhcp off', 'network remove x --yes',
  'network acl list x --in', 'network acl info x y', 'network acl add seven --in -d y -r drop', 'network acl modify x y -o 0', 'network acl remove x y --yes',
  'network dhcp list x', 'network dhcp add x 52:54:00:00:00:01 10.0.0.9', 'network dhcp remove x y --yes', 'network lease list x', 'network lease info x y',
  'storage status', 'storage util', 'storage osd list x', 'storage osd info 0', 'storage osd state 0', 'storage osd add x /dev/sdb', 'storage osd remove 0 --yes',
  'storage osd in 0', 'storage osd out 0', 'storage osd set noout', 'storage osd unset noout',
  'storage pool list x', 'storage pool info x', 'storage pool add x 8', 'storage pool set-pgs x 8', 'storage pool remove x --yes',
  'storage volume list x', 'storage volume info x y', 'storage volume add x y 1G', 'storage volume resize x y 2G', 'storage volume rename x y z', 'storage volume clone x y z',
  'storage volume upload x y FILE', 'storage volume download x y -', 'storage snapshot download x y z -',
  'storage volume scan x y', 'storage volume remove x y --yes', 'storage snapshot list x', 'storage snapshot info x y z', 'storage snapshot add x y z',
  'storage snapshot rename x y z new', 'storage snapshot rollback x y z --yes', 'storage snapshot remove x y z --yes',
  'task list', 'task info x', 'task wait x', 'task cancel x',
  'connection check', 'connection list', 'connection add x http://127.0.0.1:1 --unchecked --token-file FILE', 'connection use x', 'connection remove x',
  'completion bash', 'manual',
];

let api: TestApi;
let folder: string;
const requested: { method: string; path: string }[] = [];

function note(fields: Record<string, unknown>): void {
  if (typeof fields['method'] === 'string') requested.push({ method: fields['method'], path: String(fields['path']).replace('/api/v1', '') });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pvc-cli-operations-'));
  writeFileSync(join(folder, 'given.xml'), domainXml('other'));
  const log: Logger = { error: () => undefined, warn: () => undefined, debug: () => undefined, info: note, child: () => log };
  api = await startApi({ zookeeper: aZooKeeper(), log });
  await putNode(api, 'hv1');
  await putNode(api, 'hv2');
  await putVm(api, { uuid: aVmId(1), name: 'web1' });
});

afterAll(async () => {
  await api.stop();
  rmSync(folder, { recursive: true });
});

test('every operation of the client has a command', async () => {
  const env = { PVC_API_URL: api.base, PVC_API_TOKEN: TOKEN, XDG_CONFIG_HOME: folder, EDITOR: 'sed -i s/front/back/' };
  for (const line of LINES.filter((one) => !one.startsWith('cluster events'))) {
    const ran = await pvc(env, ...line.split(' ').map((word) => (word === 'FILE' ? join(folder, 'given.xml') : word)));
    expect([0, 1], `${line}: ${ran.stderr}`).toContain(ran.code);
    expect(ran.stderr, line).not.toMatch(/fault of the command/u);
  }
  expect(await firstEvent(env)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^vm web\d+ stop on hv1\n$/u) });
  const wanted = Object.values(TABLES).flatMap((table) => Object.values(table));
  const missed = wanted.filter((one) => WITHOUT[keyOf(one)] === undefined && !requested.some(({ method, path }) => method === one.method && matches(one.path, path)));
  expect(missed.map(keyOf)).toEqual([]);
});

/** Events that come before the stream is open are not told, so they come until one is. */
async function firstEvent(env: Record<string, string>): Promise<Ran | undefined> {
  let ended: Ran | undefined;
  void pvc(env, 'cluster', 'events', '--kind', 'vm', '--count', '1').then((ran) => (ended = ran));
  for (let number = 2; ended === undefined && number < 100; number += 1) {
    await putVm(api, { uuid: aVmId(number), name: `web${number}` });
    await delay(systemClock, 50);
  }
  await until(() => ended !== undefined, 5_000);
  return ended;
}

function matches(template: string, path: string): boolean {
  return new RegExp(`^${template.replaceAll(/:\w+/gu, '[^/]+')}$`, 'u').test(path);
}

describe('every command', () => {
  test('is among the lines that are tried', async () => {
    expect(await verbsWithout(LINES)).toEqual([]);
  });

  test('has examples of itself', async () => {
    const faults = (await allVerbs()).flatMap(({ path, verb }) => {
      const lines = verb.examples.map(({ line }) => line);
      return lines.some((line) => line.includes(`pvc ${path}`)) ? [] : [path];
    });
    expect(faults).toEqual([]);
  });

  test('has a help that names its options and its examples', async () => {
    for (const { path, verb } of await allVerbs()) {
      const { code, stdout } = await pvc({}, ...path.split(' '), '--help');
      expect([code, stdout.includes('Examples:')], path).toEqual([0, true]);
      for (const { flags } of Object.values(verb.options)) expect(stdout, path).toContain(flags);
    }
  });
});

describe('the words that options know are those of the API', () => {
  test.each([
    ['node list', 'daemonState', NODE.list.values.shape.daemon_state],
    ['node list', 'coordinatorState', NODE.list.values.shape.coordinator_state],
    ['node list', 'domainState', NODE.list.values.shape.domain_state],
    ['vm list', 'state', VM.list.values.shape.state],
    ['vm define', 'selector', VM.define.values.shape.selector],
    ['vm define', 'method', VM.define.values.shape.migration_method],
    ['storage pool add', 'tier', STORAGE.createPool.values.shape.tier],
  ] as const)('%s: %s', async (path, option, schema) => {
    const words = (await allVerbs()).find((one) => one.path === path)?.verb.options[option]?.words ?? [];
    expect([...words].sort()).toEqual([...schema.unwrap().options].sort());
  });
});
