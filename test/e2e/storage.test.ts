import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../common/clock.ts';
import { DiskWriter, WRITTEN_DISK_MIB, wrongBlocks } from '../support/disk-writer.ts';
import { GuestShell } from '../support/guest-shell.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually } from '../support/lab-vm.ts';

const VOLUME = 'vms/disk1';

/** Answers come from memory; the rest is for two busy processors. */
const READ_LIMIT_MS = 500;
const READS = 20;

/** A client that died is waited for 40 s; a guest that runs is not. */
const REFUSAL_LIMIT_MS = 20_000;

const SECTORS_PER_MIB = 2_048;

describe('a VM on Ceph, on a cluster of three nodes', () => {
  let lab: Lab;
  let vm: GuestShell;
  let writer: DiskWriter;

  beforeAll(async () => {
    lab = await startLab({ nodes: 3, storage: true });
    await lab.exec('hv1', ['rbd', '--name', 'client.pvc', 'create', VOLUME, '--size', `${WRITTEN_DISK_MIB}M`]);
    vm = new GuestShell(lab, 'disk1');
    writer = new DiskWriter(vm);
  });

  afterAll(async () => {
    await lab?.stop();
  });

  /** The longest of some reads, in milliseconds. */
  const slowestRead = async (): Promise<number> => {
    let slowestMs = 0;
    for (let count = 0; count < READS; count += 1) {
      const beganMs = systemClock.monotonicMs();
      for (const path of ['/api/v1/vm/disk1', '/api/v1/node', '/api/v1/status']) expect((await lab.call('GET', path)).status).toBe(200);
      slowestMs = Math.max(slowestMs, (systemClock.monotonicMs() - beganMs) / 3);
    }
    return slowestMs;
  };

  const health = async (): Promise<string> => lab.exec('hv1', ['ceph', '--connect-timeout', '20', 'health']);

  const healthy = (): Promise<void> => eventually(async () => (await health()).startsWith('HEALTH_OK'), 90_000, () => 'Ceph to be in order');

  test('starts from a definition that says neither who it is to Ceph nor where that is, and writes its disk', async () => {
    const xml = lab.guestXml('disk1', { disks: [VOLUME] }).replace(/<auth.*<\/auth>/u, '').replaceAll(/<host name=[^>]*>/gu, '');
    expect(xml).not.toMatch(/secret|3300/u);
    await vm.define({ node: 'hv1' }, xml);
    await vm.boot(() => vm.post('/state', { state: 'start' }));
    await vm.is('start', 'hv1');
    await writer.start();
    await writer.goesOn(3);
    expect((await lab.call('GET', '/api/v1/vm/disk1/dump')).body).not.toMatch(/secret/u);
  });

  test('a secret that was taken away comes back when libvirt does, and tells nobody its value', async () => {
    const virsh = (...args: string[]): Promise<string> => lab.exec('hv2', ['/usr/bin/virsh', '--quiet', ...args]);
    const [uuid = ''] = (await virsh('secret-list')).trim().split(/\s/u);
    await expect(virsh('secret-get-value', uuid)).rejects.toMatchObject({ details: { stderr: expect.stringContaining('private') } });
    await virsh('secret-undefine', uuid);
    expect((await virsh('secret-list')).trim()).toBe('');
    await lab.exec('hv2', ['labctl', 'restart', 'libvirtd']);
    await eventually(async () => (await virsh('secret-list')).includes(uuid), 30_000, () => 'the secret to be there again');
  });

  test('moves live twenty times while it writes, and no byte is wrong', async () => {
    const before = (await vm.counts()).at(-1)!;
    for (let move = 0; move < 20; move += 1) {
      const node = ['hv2', 'hv3', 'hv1'][move % 3]!;
      await vm.post('/node', { action: 'move', node });
      await vm.is('start', node);
    }
    await writer.goesOn(1);
    expect(await vm.boots()).toBe(1);
    await vm.countsBeyond(before + 2);
    const last = await writer.stop();
    expect(last).toBeGreaterThan(20);
    expect(await wrongBlocks(lab, VOLUME, last)).toEqual([]);
  });

  const resize = async (size: string): Promise<void> =>
    eventually(async () => (await lab.call('PUT', `/api/v1/storage/ceph/volume/${VOLUME}`, { size })).status === 200, 30_000, () => `${VOLUME} to have ${size}`);
  const guestSees = async (mib: number): Promise<void> =>
    eventually(async () => Number(await vm.out('cat /sys/block/vda/size')) === mib * SECTORS_PER_MIB, 60_000, () => `the guest to see ${mib} MiB`);

  test('a guest sees that its volume has grown, also when the daemon of its node was down, and goes on', async () => {
    const before = (await vm.counts()).at(-1)!;
    await resize('96M');
    await guestSees(96);
    const { node } = await vm.show();
    await lab.exec(node, ['labctl', 'stop', 'pvcd']);
    try {
      await resize('128M');
    } finally {
      await lab.exec(node, ['labctl', 'start', 'pvcd']);
    }
    await guestSees(128);
    await vm.out('dd if=/dev/zero of=/dev/vda bs=1M seek=127 count=1 conv=notrunc,fsync');
    expect((await vm.countsBeyond(before + 2)).filter((count) => count === 1)).toHaveLength(1);
  });

  test('volumes are created with a definition that gives their sizes, and a definition that is refused leaves none', async () => {
    const define = (name: string, disks: string[], sizes: string): ReturnType<Lab['call']> => lab.call('POST', '/api/v1/vm', { xml: lab.guestXml(name, { disks }), create_volumes: sizes });
    const volumes = async (): Promise<string[]> => (await lab.exec('hv1', ['rbd', 'ls', 'vms'])).trim().split('\n');
    const before = await volumes();
    expect((await define('disk4', ['vms/new1', 'vms/new2'], '16M,vdb:24M')).status).toBe(200);
    const sizeOf = async (name: string): Promise<number> => (JSON.parse(await lab.exec('hv1', ['rbd', 'info', `vms/${name}`, '--format', 'json'])) as { size: number }).size / 2 ** 20;
    expect([await sizeOf('new1'), await sizeOf('new2')]).toEqual([16, 24]);
    const refused = [await define('disk4', ['vms/new3'], '16M'), await define('disk5', ['vms/new3', 'absent/new4'], '16M'), await define('disk5', ['vms/new3', 'vms/new4'], 'vda:16M')];
    expect(refused.map(({ status }) => status)).toEqual([510, 510, 510]);
    expect(JSON.stringify(refused[2]?.body)).toContain('vms/new4');
    expect(await volumes()).toEqual([...before, 'new1', 'new2']);
    expect((await lab.call('DELETE', '/api/v1/vm/disk4', { delete_disks: 'true' })).status).toBe(200);
    expect(await volumes()).toEqual(before);
  });

  test('a definition on a volume that does not exist is refused, and the volume is named', async () => {
    const reply = await lab.call('POST', '/api/v1/vm', { xml: lab.guestXml('disk2', { disks: ['vms/absent'] }) });
    expect(reply.status).not.toBe(200);
    expect(JSON.stringify(reply.body)).toContain('vms/absent');
    expect((await lab.call('GET', '/api/v1/vm/disk2')).status).toBe(404);
  });

  test('a second VM on a volume that a guest has open is not started, and is told who has it', async () => {
    const second = new GuestShell(lab, 'disk2');
    await second.define({ node: 'hv2' }, lab.guestXml('disk2', { disks: [VOLUME] }));
    await second.post('/state', { state: 'start' });
    const { failed_reason: reason } = await second.is('fail', undefined, REFUSAL_LIMIT_MS);
    expect(reason).toContain(VOLUME);
    expect(reason).toContain('vms: disk1');
    expect(reason).toContain('10.77.0.13:');
    expect(await second.runsOn(['hv1', 'hv2', 'hv3'])).toEqual([]);
    expect((await lab.call('DELETE', '/api/v1/vm/disk2', { delete_disks: 'true' })).status).not.toBe(200);
    expect((await lab.call('DELETE', '/api/v1/vm/disk2')).status).toBe(200);
  });

  test('locks of clients that are gone are freed by a start, and on request; a removed VM takes its volume along', async () => {
    const locks = (): Promise<string> => lab.exec('hv1', ['rbd', 'lock', 'list', 'vms/disk3']);
    await lab.exec('hv1', ['rbd', 'create', 'vms/disk3', '--size', '16M']);
    const third = new GuestShell(lab, 'disk3');
    await third.define({ node: 'hv2' }, lab.guestXml('disk3', { disks: ['vms/disk3'] }));
    await lab.exec('hv1', ['rbd', 'lock', 'add', 'vms/disk3', 'left-1']);
    await third.post('/locks');
    expect((await locks()).trim()).toBe('');
    await lab.exec('hv1', ['rbd', 'lock', 'add', 'vms/disk3', 'left-2']);
    await third.boot(() => third.post('/state', { state: 'start' }));
    expect(await locks()).not.toContain('left-2');
    await eventually(async () => (await locks()).includes('auto '), 30_000, () => 'the guest to have the lock');
    await expect(third.post('/locks')).rejects.toThrow('only while it is off');
    expect((await lab.call('DELETE', '/api/v1/vm/disk3', { delete_disks: 'true' })).status).toBe(200);
    expect((await lab.exec('hv1', ['rbd', 'ls', 'vms'])).trim()).toBe('disk1');
  });

  test('an OSD that hangs delays no answer of the API, and the guest goes on once it is out of the way', async () => {
    await writer.start();
    await lab.signalService('hv3', 'ceph-osd', 'SIGSTOP');
    try {
      expect(await slowestRead()).toBeLessThan(READ_LIMIT_MS);
      await writer.goesOn(3, 90_000);
    } finally {
      await lab.signalService('hv3', 'ceph-osd', 'SIGCONT');
    }
    await healthy();
  });

  test('a monitor that hangs is not noticed: the guest writes, and moves', async () => {
    await lab.signalService('hv3', 'ceph-mon', 'SIGSTOP');
    try {
      expect(await slowestRead()).toBeLessThan(READ_LIMIT_MS);
      await writer.goesOn(3, 60_000);
      await vm.post('/node', { action: 'move', node: 'hv1' });
      await vm.is('start', 'hv1');
      await writer.goesOn(3, 60_000);
    } finally {
      await lab.signalService('hv3', 'ceph-mon', 'SIGCONT');
    }
    await healthy();
    expect(await wrongBlocks(lab, VOLUME, await writer.stop())).toEqual([]);
  });
});
