import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ShownValue } from '../../../api/openapi.ts';
import type { Route } from '../../../api/route.ts';
import type { Logger } from '../../../common/log.ts';
import { Rados } from '../../../common/rados/rados.ts';
import { isRefused, nasty, triesOf, tryRoute, type Try } from '../../support/bad-input.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { startScene, type StorageScene } from './storage-support.ts';

/** Tries of each route; more with PVC_FUZZ_RUNS. */
const RUNS = Number(process.env['PVC_FUZZ_RUNS'] ?? 25);
/** On a busy machine there are fewer tries, not a longer test. */
const ROUTE_MS = 5_000;
const LIMIT_MS = 300_000;

const POOLS = ['vms', 'fast'];

/** What is nearly right, and what would be something else to a command line or a path. */
const VALUES: Record<string, readonly string[]> = {
  pool: ['vms', 'fast', 'absent', 'new', 'vms/a', '--cluster=x', 'device_health_metrics', '.mgr', 'vms\n'],
  volume: ['a', 'b', 'absent', 'new', 'a@s', 'vms/a', '--pool=fast', '-', 'a b', 'rbd_directory'],
  new_volume: ['new', 'a', 'b', 'a@s', '../a', '-x'],
  name: ['new', 'a', 's', 's2', 'a/b', '-x'],
  snapshot: ['s', 's2', 'absent', 'new', '@', 's@s', '-x'],
  size: ['8M', '16M', '4194304', '0', '-1', '1.5M', '1e3', '1G --force', '9P', 'G', '1024Z'],
  // More would make the machine work for minutes.
  pgs: ['1', '2', '0', '65537', '1.5', '-1', 'x'],
  replcfg: ['copies=2,mincopies=1', 'copies=1,mincopies=1', 'copies=1,mincopies=2', 'copies=9', 'copies=', 'size=2', 'copies=2;mincopies=1'],
  tier: ['default', 'nvme', 'hdd', 'tape'],
  // Not those that stop all input and output.
  option: ['noout', 'noscrub', 'nothing', 'noout ', '--yes-i-really-mean-it'],
  osd: ['1', '9', '-1', 'osd.1', 'all', '1 --force'],
  image_format: ['raw', 'qcow2', 'RAW', 'raw --force'],
  file_size: ['1', '80', '0', '-1', '9007199254740993', '1K'],
  limit: ['a', '^s', '(', '.*'],
  yes_i_really_mean_it: ['', 'true', 'no', 'perhaps'],
};

function rightValue({ name, doc }: ShownValue): fc.Arbitrary<string> {
  const known = VALUES[name];
  if (known !== undefined) return fc.constantFrom(...known);
  const choices = doc.json['enum'];
  return Array.isArray(choices) ? fc.constantFrom(...choices.map(String)) : nasty;
}

describe.skipIf(cephMissing() !== undefined)('bad input about storage', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);
  let rados: Rados;
  /** What the API itself took for a fault of its own. */
  const errors: object[] = [];
  const log: Logger = { error: (fields) => void errors.push(fields), warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => log };

  beforeAll(async () => {
    scene = await startScene({ osds: 2, pools: POOLS, log });
    rados = await Rados.connect({ configFile: scene.ceph.configFile, keyringFile: scene.ceph.keyringFile });
  });

  afterAll(async () => {
    await rados.close();
    await scene.stop();
  });

  /** What the tries are about, whatever an earlier one did to it. */
  async function population(): Promise<void> {
    await rados.waitForLatestMap();
    const there = await rados.pools.list();
    for (const pool of POOLS) if (!there.includes(pool)) await scene.command('/pool', { query: { pool, pgs: '8' } });
    await rados.waitForLatestMap();
    const volumes = await rados.rbd('vms').list();
    for (const volume of ['a', 'b']) if (!volumes.includes(volume)) await rados.rbd('vms').create(volume, 8 * 2 ** 20);
    const snapshots = (await rados.rbd('vms').snapshots.list('a')).map(({ name }) => name);
    for (const name of ['s', 's2']) if (!snapshots.includes(name)) await rados.rbd('vms').snapshots.create('a', name);
    for (const osd of ['0', '1']) if ((await scene.ask(`/osd/${osd}/state`)).body.in === 0) await scene.command(`/osd/${osd}/state`, { query: { state: 'in' } });
  }

  /** Everything that a request could change, as text that can be compared. */
  async function everything(): Promise<string> {
    const dump = JSON.parse((await rados.monCommand({ prefix: 'osd dump', format: 'json' }, { isRead: true })).output.toString()) as Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- as Ceph prints it
    const pools = dump['pools'].map((one: Record<string, unknown>) => ['pool_name', 'size', 'min_size', 'pg_num_target', 'crush_rule', 'application_metadata'].map((key) => one[key]));
    const images = [];
    for (const { pool_name: pool } of dump['pools'] as { pool_name: string }[]) {
      for (const { name, id, sizeBytes, snapshots } of await rados.rbd(pool).listInfo()) images.push([pool, name, id, sizeBytes, snapshots]);
    }
    return JSON.stringify([pools, dump['flags_set'], dump['osds'].map((one: Record<string, unknown>) => [one['osd'], one['in']]), images]);
  }

  /** As the last try has left it; undefined after one that may have changed something. */
  let known: string | undefined;

  async function begin(): Promise<string> {
    if (known === undefined) await population();
    known ??= await everything();
    return known;
  }

  async function check(one: Route, given: Try): Promise<void> {
    const before = await begin();
    known = undefined;
    const mayChange = !(await isRefused(scene.api.base, one, given)) && one.method !== 'GET';
    if (mayChange) return;
    expect(await everything()).toBe(before);
    known = before;
  }

  test('no value of any route brings an unknown code, a reply that is not JSON, or a change with a refusal', async () => {
    const routes = scene.api.api.routes.filter(({ path, summary }) => path.startsWith('/storage/') && !/(add|remove) an OSD/iu.test(summary));
    expect(routes.length).toBeGreaterThan(20);
    for (const one of routes) {
      await begin();
      await tryRoute(one, triesOf(one, rightValue), { runs: RUNS, limitMs: ROUTE_MS }, check);
    }
    expect(errors).toEqual([]);
  }, LIMIT_MS);

  test('after all that the storage can still be read and changed', async () => {
    await population();
    await scene.command('/volume', { query: { pool: 'vms', volume: 'sound', size: '1M' } });
    expect((await scene.ask('/volume/vms/sound')).code).toBe(200);
  });
});
