import { constants } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../../common/process.ts';
import { osdUuid } from '../../../common/schema/osd.ts';
import { LinuxBlockDevices, type DeviceFacts } from '../../../node-daemon/drivers/block-device.ts';
import { deviceFault } from '../../../node-daemon/plans/osd-device.ts';
import { ask, startApi, TOKEN, type Answer, type TestApi } from '../../contract/api-support.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { pvc } from '../../support/memory-terminal.ts';
import { startNetworkNamespace } from '../../support/network-namespace.ts';
import { OsdScene, type Marks } from '../../support/osd-scene.ts';
import { partitionTable } from '../../support/partition-table.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const LIMIT_MS = 60_000;
const never = new AbortController().signal;
/** Of no OSD. */
const UUID = osdUuid.parse('00000000-0000-4000-8000-000000000001');
const NEWER = { 'User-Agent': 'pvc-client-cli/0.9.100' };

describe.skipIf(cephMissing() !== undefined)('OSDs of a node, through the API', () => {
  let scene: OsdScene;
  tellOnFailure(() => scene?.cluster);
  let api: TestApi;
  let empty: Marks;

  beforeAll(async () => {
    scene = await OsdScene.start({ drainStallS: 6 });
    const { configFile, keyringFile } = scene.cluster;
    api = await startApi({ zookeeper: scene.zookeeper, ceph: { config_file: configFile, client: 'client.admin', keyring_file: keyringFile } });
    await api.api.mirror.caughtUp({ timeoutMs: 10_000 });
    empty = await scene.marks();
  });
  afterAll(async () => {
    await api.stop();
    await scene.stop();
  });

  const post = (given: Record<string, string>, headers = {}): Promise<Answer> =>
    ask(api.base, '/storage/ceph/osd', { form: { node: 'hv1', device: scene.device, weight: '0.004', ...given }, headers });
  const remove = (id: number, form: Record<string, string>, headers = {}): Promise<Answer> => ask(api.base, `/storage/ceph/osd/${id}`, { method: 'DELETE', form, headers });
  const osd = async (id: number): Promise<{ up: number; in: number } | undefined> =>
    ((await scene.json('osd dump')).osds as { osd: number; up: number; in: number }[]).find((one) => one.osd === id);
  const finished = async (answer: Answer): Promise<string> => {
    expect(answer.code, answer.text).toBe(202);
    const state = async (): Promise<string> => (await ask(api.base, `/tasks/${answer.body.task_id}`)).body.state;
    await until(async () => !['PENDING', 'RUNNING'].includes(await state()), LIMIT_MS, 'the end of the task');
    return state();
  };

  test('sixteen requests for one device make one OSD, which is up and in, holds data, and has the weight that was asked for', async () => {
    const answers = await Promise.all(Array.from({ length: 16 }, () => post({})));
    expect(answers.map(({ code }) => code).sort()).toEqual([200, ...Array<number>(15).fill(510)]);
    const id = scene.status?.id ?? -1;
    expect(scene.status).toMatchObject({ node: 'hv1', device: scene.device, phase: 'running', error: null });
    expect(await osd(id)).toMatchObject({ up: 1, in: 1 });
    const tree = (await scene.json('osd tree')).nodes as { id: number; name: string; crush_weight: number; children?: number[] }[];
    expect(tree.find((one) => one.id === id)?.crush_weight).toBeCloseTo(0.004, 4);
    expect(tree.find((one) => one.name === 'hv1')?.children).toEqual([id]);
    await scene.cluster.exec(['rbd', 'create', 'vms/disk', '--size', '64M']);
    await scene.cluster.exec(['rbd', 'bench', '--io-type', 'write', '--io-total', '16M', '--io-size', '1M', 'vms/disk']);
    await until(async () => (JSON.parse(await scene.cluster.exec(['ceph', 'pg', 'ls-by-osd', String(id), '-f', 'json'])) as { pg_stats?: unknown[] }).pg_stats?.at(0) !== undefined, LIMIT_MS, 'the OSD has placement groups');
    const listed = (await ask(api.base, '/storage/ceph/osd')).body as { id: string }[];
    expect(listed.map((one) => one.id)).toContain(String(id));
  });

  test('one that was ended is started again, also by a daemon that finds nothing of it but its device', async () => {
    const id = scene.status?.id ?? -1;
    const { service } = scene.node.host;
    await service.stopOsd(scene.status?.id ?? expect.fail(), never);
    await rm(scene.folder, { recursive: true });
    await until(async () => (await osd(id))?.up === 0, LIMIT_MS, 'the OSD is down');
    await scene.restart();
    await until(async () => (await osd(id))?.up === 1, LIMIT_MS, 'the OSD is up again');
    await until(() => scene.status?.phase === 'running', LIMIT_MS, 'its status says so');
  });

  test('a disk that it is on is not zapped by another node that has it in front of it', async () => {
    await scene.neighbour('hv2');
    const before = await scene.marks();
    const answer = await post({ node: 'hv2', zap: 'yes', yes_i_really_mean_it: 'yes' });
    expect(answer.code).toBe(510);
    expect(answer.body.message).toContain(`it holds OSD ${scene.status?.id ?? ''} of this cluster`);
    expect(await scene.marks()).toEqual(before);
  });

  test('a removal needs its word, and an OSD that exists', async () => {
    const id = scene.status?.id ?? -1;
    expect((await remove(id, {})).code).toBe(510);
    expect((await remove(999, { yes_i_really_mean_it: 'yes' })).body.message).toMatch(/no OSD of a node has this number/u);
    expect(await osd(id)).toMatchObject({ up: 1, in: 1 });
  });

  test('one that holds copies with no other place stays, and is in again', async () => {
    const id = scene.status?.id ?? -1;
    await scene.cluster.exec(['ceph', 'osd', 'pool', 'set', 'vms', 'size', '3']);
    await until(async () => /^(\d+) pgs: \1 active\+clean/u.test(await scene.cluster.exec(['ceph', 'pg', 'stat'])), LIMIT_MS, 'all is clean');
    const answer = await remove(id, { yes_i_really_mean_it: 'yes' });
    expect(answer.code).toBe(510);
    expect(answer.body.message).toMatch(/could not be removed.*\d+ placement groups are on it/u);
    expect(await osd(id)).toMatchObject({ up: 1, in: 1 });
    expect(scene.node.mirror.get('osd', scene.key)?.doc.removal).toBeNull();
    await until(() => scene.status?.phase === 'running', LIMIT_MS, 'it is as it was');
  });

  test('one is drained and removed, and its device is empty; the newer client follows the task', async () => {
    await scene.cluster.exec(['ceph', 'osd', 'pool', 'set', 'vms', 'size', '2']);
    await scene.cluster.exec(['ceph', 'osd', 'pool', 'set', 'vms', 'min_size', '1']);
    expect(await finished(await remove(scene.status?.id ?? -1, { 'yes-i-really-mean-it': 'yes' }, NEWER))).toBe('SUCCESS');
    expect(await scene.marks()).toEqual(empty);
    expect(await scene.cluster.exec(['rbd', 'bench', '--io-type', 'read', '--io-total', '16M', '--io-size', '1M', 'vms/disk'])).toContain('elapsed');
  });

  test('work goes on without the caller that has left', async () => {
    const leaving = new AbortController();
    const answer = ask(api.base, '/storage/ceph/osd', { form: { node: 'hv1', device: scene.device, weight: '0.004' }, signal: leaving.signal });
    await until(() => scene.status !== undefined, LIMIT_MS, 'the node has begun');
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await until(() => scene.status?.phase === 'running', LIMIT_MS, 'the OSD runs');
    expect(await osd(scene.status?.id ?? -1)).toMatchObject({ up: 1, in: 1 });
  });

  test('one that somebody has purged from Ceph by hand is removed from its node, and its device is empty', async () => {
    const id = scene.status?.id ?? expect.fail();
    const { service } = scene.node.host;
    // Its daemon would start it again.
    scene.node.abandon();
    const purged = async (): Promise<boolean> => {
      await service.stopOsd(id, never);
      for (const change of ['out', 'down']) await scene.cluster.exec(['ceph', 'osd', change, String(id)]);
      return scene.cluster.exec(['ceph', 'osd', 'purge', String(id), '--force', '--yes-i-really-mean-it']).then(() => true, () => false);
    };
    // A process that has just learned that it is down says that it is up, and Ceph would have an OSD of that number again.
    await scene.cluster.exec(['ceph', 'osd', 'set', 'noup']);
    await until(purged, LIMIT_MS, 'the OSD is purged, which has to be down');
    await scene.cluster.exec(['ceph', 'osd', 'unset', 'noup']);
    await scene.restart();
    const answer = await remove(id, { yes_i_really_mean_it: 'yes' });
    expect(answer.code, answer.text).toBe(200);
    expect(await scene.marks()).toEqual(empty);
  });

  test('one that pvc has added, with copies that have no other place, is removed by force', async () => {
    const added = await pvc({ PVC_API_URL: api.base, PVC_API_TOKEN: TOKEN }, 'storage', 'osd', 'add', 'hv1', scene.device, '--weight', '0.004');
    expect([added.code, added.stdout], added.stderr).toEqual([0, `${scene.device} of node hv1 is an OSD\n`]);
    expect(added.stderr).toMatch(/✔ check(.|\n)*✔ join/u);
    await scene.cluster.exec(['ceph', 'osd', 'pool', 'set', 'vms', 'size', '3']);
    const answer = await remove(scene.status?.id ?? -1, { yes_i_really_mean_it: 'yes', force: 'yes' });
    expect(answer.code, answer.text).toBe(200);
    expect(await scene.marks()).toEqual(empty);
    await scene.cluster.exec(['ceph', 'osd', 'pool', 'set', 'vms', 'size', '2']);
  });

  describe('a device is refused, and nothing is changed,', () => {
    const refused = async (device: string, message: RegExp): Promise<void> => {
      const before = await scene.marks();
      const answer = await post({ device });
      expect(answer.code).toBe(510);
      expect(answer.body.message).toMatch(message);
      expect(await scene.marks()).toEqual(before);
    };

    test('that does not exist, is no device, or has no path of one', async () => {
      await refused('/dev/pvc-nothing', /no such device/u);
      await refused('/dev/null', /not a block device/u);
      await refused('/dev/../etc/passwd', /must be the path of a device/u);
      await refused('--all', /must be the path of a device/u);
    });

    test('that is too small', async () => {
      const device = await scene.loops.make(64 * MIB);
      await refused(device, new RegExp(`too small: ${64 * MIB} bytes of at least.*hv1:${path.basename(device)}`, 'u'));
    });

    test('that somebody uses', async () => {
      const handle = await open(scene.device, constants.O_RDONLY | constants.O_EXCL);
      try {
        await refused(scene.device, /in use/u);
      } finally {
        await handle.close();
      }
    });

    test('that has a partition table, or a file system', async () => {
      await writeFile(scene.device, partitionTable(), { flag: 'r+' });
      await refused(scene.device, /not empty: dos/u);
      await run(['wipefs', '--all', '--force', scene.device], { timeoutMs: 20_000 });
      await run(['mkfs.ext4', '-q', scene.device], { timeoutMs: 60_000 });
      await refused(scene.device, /not empty: ext4/u);
    });

    test('that is mounted', async () => {
      const namespace = await startNetworkNamespace();
      try {
        await namespace.commands(`mount -t ext4 -o ro ${scene.device} /mnt`);
        const facts = await new LinuxBlockDevices({ run: namespace.run }).facts(scene.device, never);
        expect(deviceFault(facts, UUID)).toBe('it is mounted: /mnt');
        await expect(scene.node.host.devices.wipe(scene.device, UUID, never)).rejects.toThrow(/does not hold/u);
      } finally {
        await namespace.stop();
      }
      await run(['wipefs', '--all', scene.device], { timeoutMs: 20_000 });
    });

    test('of a node that does not exist', async () => {
      expect((await post({ node: 'hv9' })).body.message).toMatch(/no node has this name/u);
    });
  });

  test('a disk that was used before is zapped and becomes one, when that is really meant', async () => {
    await run(['mkfs.ext4', '-q', scene.device], { timeoutMs: 60_000 });
    const refusal = await post({ zap: 'yes' });
    expect([refusal.code, refusal.body.message]).toEqual([510, expect.stringContaining('yes_i_really_mean_it')]);
    expect(await scene.signatures()).toEqual(['ext4']);
    const answer = await post({ zap: 'yes', 'yes-i-really-mean-it': 'yes' });
    expect(answer.code, answer.text).toBe(200);
    expect(await osd(scene.status?.id ?? -1)).toMatchObject({ up: 1, in: 1 });
    expect((await remove(scene.status?.id ?? -1, { yes_i_really_mean_it: 'yes' })).code).toBe(200);
    expect(await scene.marks()).toEqual(empty);
  });

  test('zapping takes partitions away, and nothing that is in use or has changed', async () => {
    const { devices } = scene.node.host;
    const device = await scene.loops.make(2 * GIB, { partitions: true });
    await writeFile(device, partitionTable(), { flag: 'r+' });
    // A kernel that reads such tables has found it by itself.
    const found = async (): Promise<DeviceFacts> => devices.facts(device, never);
    if (!(await found().then((facts) => facts.kind === 'device' && facts.partitions.length > 0))) await run(['addpart', device, '1', '2048', '65536'], { timeoutMs: 10_000 });
    const partition = `${device}p1`;
    await run(['mkfs.ext4', '-q', partition], { timeoutMs: 60_000 });
    expect(await found()).toMatchObject({ partitions: [partition], users: [], mounts: [], signatures: ['dos'], busy: false });
    expect((await post({ device })).body.message).toContain(`it has partitions: ${partition}; only zap`);
    const handle = await open(partition, constants.O_RDONLY | constants.O_EXCL);
    try {
      await expect(devices.zap(device, null, never)).rejects.toThrow(/in use/u);
    } finally {
      await handle.close();
    }
    await expect(devices.zap(device, UUID, never)).rejects.toThrow(/has changed meanwhile/u);
    expect(await found()).toMatchObject({ partitions: [partition], signatures: ['dos'] });
    await devices.zap(device, null, never);
    expect(await found()).toMatchObject({ partitions: [], signatures: [], busy: false });
  });
});
