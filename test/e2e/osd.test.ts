import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskWriter, WRITTEN_DISK_MIB, wrongBlocks } from '../support/disk-writer.ts';
import { GuestShell } from '../support/guest-shell.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { LabOsds } from '../support/lab-osd.ts';
import { eventually } from '../support/lab-vm.ts';

const HOSTS = ['hv1', 'hv2', 'hv3'];
const VOLUME = 'vms/disk1';

describe('OSDs on devices of three nodes, while a guest writes', () => {
  const devices = new Map<string, string>();
  let lab: Lab;
  let osds: LabOsds;
  let writer: DiskWriter;

  const on = (host: string): string => devices.get(host) ?? expect.fail(`${host} has no device`);
  /** In the tree below each host, besides the lab's own. */
  const added = async (): Promise<Map<string, number>> => {
    const { nodes } = await osds.json<{ nodes: { type: string; name: string; children?: number[] }[] }>('osd', 'tree');
    const found = nodes.filter(({ type }) => type === 'host').flatMap(({ name, children = [] }) => children.filter((id) => id >= HOSTS.length).map((id) => [name, id] as const));
    return new Map(found);
  };
  const dumped = async (id: number): Promise<{ up: number; in: number } | undefined> => (await osds.json<{ osds: { osd: number; up: number; in: number }[] }>('osd', 'dump')).osds.find(({ osd }) => osd === id);
  const groups = async (id: number): Promise<number> => (await osds.json<{ pg_stats: unknown[] }>('pg', 'ls-by-osd', String(id))).pg_stats.length;
  const refusal = async (device: string): Promise<string> => {
    const { error } = await osds.over(await osds.add('hv2', device));
    return error ?? expect.fail('the device is not refused');
  };
  /** Whichever steps the task has passed by then. */
  const killAt = async (host: string, task: string, steps: readonly string[]): Promise<void> => {
    for (const step of steps) {
      await osds.reaches(task, step);
      await eventually(async () => lab.signalService(host, 'pvcd', 'SIGKILL').then(() => true), 30_000, () => `pvcd to run on ${host}`);
    }
  };

  const healthy = (): Promise<void> => eventually(async () => (await lab.exec('hv1', ['ceph', '--connect-timeout', '20', 'health'])).startsWith('HEALTH_OK'), 90_000, () => 'Ceph to be in order');

  beforeAll(async () => {
    lab = await startLab({ nodes: 3, storage: true });
    osds = new LabOsds(lab);
    for (const host of HOSTS) devices.set(host, await osds.device(host));
    await lab.exec('hv1', ['rbd', '--name', 'client.pvc', 'create', VOLUME, '--size', `${WRITTEN_DISK_MIB}M`]);
    const vm = new GuestShell(lab, 'disk1');
    await vm.define({ node: 'hv1' }, lab.guestXml('disk1', { disks: [VOLUME] }));
    await vm.boot(() => vm.post('/state', { state: 'start' }));
    writer = new DiskWriter(vm);
    await writer.start();
  });

  afterAll(async () => {
    for (const [host, device] of devices) await osds.detach(host, device);
    await lab?.stop();
  });

  test('a device that is missing, has a file system, is mounted or partitioned is refused by name', async () => {
    const device = on('hv2');
    const run = (...command: string[]): Promise<string> => lab.exec('hv2', command);
    expect(await refusal('/dev/pvc-nothing')).toMatch(/there is no such device/u);
    await run('mkfs.ext4', '-q', device);
    expect(await refusal(device)).toMatch(/not empty: ext4/u);
    await run('mount', device, '/mnt');
    try {
      expect(await refusal(device)).toMatch(/mounted: \/mnt/u);
    } finally {
      await run('umount', '/mnt');
    }
    await run('wipefs', '--quiet', '--all', device);
    await osds.partition(device);
    expect(await refusal(device)).toMatch(/not empty: dos/u);
    expect(await added()).toEqual(new Map());
  });

  test('are added on each node although its daemon is killed, one on a disk that is zapped for it, come up, and get data', async () => {
    const kills = { hv1: ['start'], hv2: ['zap', 'prepare', 'join'], hv3: ['register', 'place'] };
    const tasks = await Promise.all(Object.entries(kills).map(async ([host, steps]) => ({ host, steps, task: await osds.add(host, on(host), host === 'hv2' ? { zap: 'yes', yes_i_really_mean_it: 'yes' } : {}) })));
    await Promise.all(tasks.map(({ host, steps, task }) => killAt(host, task, steps)));
    for (const { task } of tasks) expect(await osds.over(task)).toMatchObject({ state: 'SUCCESS', error: null });
    const ids = await added();
    expect([...ids.keys()].toSorted()).toEqual(HOSTS);
    for (const id of ids.values()) {
      await eventually(async () => (await dumped(id))?.up === 1 && (await groups(id)) > 0, 60_000, () => `OSD ${id} to be up and to hold data`);
      expect(await dumped(id)).toMatchObject({ up: 1, in: 1 });
    }
    await writer.goesOn(2, 90_000);
    await healthy();
  });

  test('go out and in, and are removed although the daemons are killed; nothing is left of them and no byte is wrong', async () => {
    const ids = await added();
    const first = ids.get('hv1')!;
    for (const state of ['out', 'in'] as const) {
      expect((await lab.call('POST', `/api/v1/storage/ceph/osd/${first}/state`, { state })).status).toBe(200);
      expect((await dumped(first))?.in).toBe(state === 'in' ? 1 : 0);
    }
    const kills: Record<string, string[]> = { hv1: ['purge'], hv2: ['drain', 'wipe'], hv3: ['out', 'stop'] };
    const tasks = await Promise.all([...ids].map(async ([host, id]) => ({ host, id, task: await osds.remove(id) })));
    await Promise.all(tasks.map(({ host, task }) => killAt(host, task, kills[host] ?? [])));
    for (const { host, id, task } of tasks) {
      expect(await osds.over(task)).toMatchObject({ state: 'SUCCESS', error: null });
      expect(await dumped(id)).toBeUndefined();
      expect(await osds.signatures(host, on(host))).toEqual([]);
    }
    expect(await added()).toEqual(new Map());
    await healthy();
    expect(await wrongBlocks(lab, VOLUME, await writer.stop())).toEqual([]);
  });
});
