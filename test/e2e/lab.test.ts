import { spawn } from 'node:child_process';
import { access, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namespacePids } from '../../lab/network.ts';
import { hostNamespace } from '../../lab/state.ts';
import { run } from '../../common/process.ts';
import { freePort, labEnv, startLab, type Lab } from '../support/lab.ts';
import { LAB_MAIN, labCommand as lab, NOTHING, remainsOf } from '../support/lab-command.ts';
import { until } from '../support/until.ts';

const GUEST_TIMEOUT_MS = 60_000;

const links = async (): Promise<string[]> => (await readdir('/sys/class/net')).sort();

const exists = (file: string): Promise<boolean> => access(file).then(() => true, () => false);

describe('a lab of three hosts', () => {
  let cluster: Lab;
  let linksBefore: string[];

  beforeAll(async () => {
    linksBefore = await links();
    cluster = await startLab({ nodes: 3, bare: true });
  });

  afterAll(async () => {
    await cluster.stop();
  });

  const counts = async (host: string, log: string): Promise<number[]> => {
    const text = await cluster.exec(host, ['cat', log]).catch(() => '');
    return [...text.matchAll(/GUEST: count (\d+)/gu)].map((match) => Number(match[1]));
  };

  test('each host has its own name, addresses and libvirt, and all of them one ZooKeeper ensemble', async () => {
    for (const [index, host] of ['hv1', 'hv2', 'hv3'].entries()) {
      expect(await cluster.exec(host, ['hostname'])).toBe(host);
      expect((await cluster.exec(host, ['hostname', '-I'])).trim()).toBe(`10.77.0.1${index + 1} 10.78.0.1${index + 1}`);
      expect((await cluster.exec(host, ['virsh', '-c', 'qemu:///system', 'hostname'])).trim()).toBe(host);
    }
    const modes = await Promise.all(['hv1', 'hv2', 'hv3'].map((host) => cluster.zookeeperMode(host)));
    expect(modes.sort()).toEqual(['follower', 'follower', 'leader']);
  });

  test('the machine gets no new network device, and libvirt listens on no TCP port', async () => {
    expect(await links()).toEqual(linksBefore);
    const listening = await cluster.exec('hv1', ['ss', '-Hltnp']);
    expect(listening).not.toMatch(/libvirtd|qemu/u);
  });

  test('the test guest boots, counts on its serial console and obeys the power button', async () => {
    const xml = cluster.guestXml('g1');
    const log = `/var/log/libvirt/pvc/${/<uuid>(.*)<\/uuid>/u.exec(xml)?.[1] ?? ''}.log`;
    const file = path.join(cluster.place.directory, 'g1.xml');
    await writeFile(file, xml);
    await cluster.exec('hv1', ['virsh', '-c', 'qemu:///system', 'create', file]);
    await until(async () => (await counts('hv1', log)).length >= 2, GUEST_TIMEOUT_MS, 'the guest counts');
    await cluster.exec('hv1', ['virsh', '-c', 'qemu:///system', 'shutdown', '--mode', 'acpi', 'g1']);
    await until(async () => (await cluster.exec('hv1', ['virsh', '-c', 'qemu:///system', 'list', '--name'])).trim() === '', GUEST_TIMEOUT_MS, 'the guest ends');
    expect(await cluster.exec('hv1', ['cat', log])).toContain('GUEST: power button');
  });

  test('a host that was cut off is alone until it is healed', async () => {
    await cluster.cut('hv3');
    await expect(cluster.exec('hv3', ['ping', '-c', '1', '-W', '1', '10.77.0.11'])).rejects.toMatchObject({ code: 'component' });
    await until(async () => (await cluster.zookeeperMode('hv3')) === undefined, 20_000, 'the minority stops serving');
    await until(async () => (await cluster.zookeeperMode('hv1')) !== undefined, 20_000, 'the majority serves');
    expect((await cluster.status()).hosts.map((host) => host.link)).toEqual(['plugged', 'plugged', 'cut']);
    await cluster.heal('hv3');
    await until(async () => (await cluster.zookeeperMode('hv3')) !== undefined, 20_000, 'hv3 joins again');
  });

  test('peers of a host that loses power hear no farewell, and what it had written is there when it returns', async () => {
    const toHv2 = (): Promise<string> => cluster.exec('hv1', ['ss', '-Htn', 'state', 'established', 'dst', '10.77.0.12']);
    await until(async () => (await toHv2()) !== '', 10_000, 'hv1 talks to hv2');
    await cluster.exec('hv2', ['sh', '-c', 'echo kept >/var/lib/libvirt/note']);
    await cluster.power('hv2', 'off');
    expect(await toHv2()).not.toBe('');
    expect(await namespacePids(hostNamespace(cluster.place, 'hv2')).catch(() => 'no such namespace')).toBe('no such namespace');
    await expect(cluster.exec('hv2', ['true'])).rejects.toMatchObject({ code: 'state' });
    await cluster.power('hv2', 'on');
    expect(await cluster.exec('hv2', ['cat', '/var/lib/libvirt/note'])).toBe('kept');
    expect(await exists('/var/lib/libvirt/note')).toBe(false);
    await until(async () => (await cluster.zookeeperMode('hv2')) !== undefined, 30_000, 'hv2 votes again');
  });

  test('a service that crashes is started again, and one that is stopped stays so', async () => {
    await cluster.signalService('hv1', 'libvirtd', 'SIGKILL');
    const libvirtd = async (): Promise<string> => cluster.exec('hv1', ['labctl', 'status', 'libvirtd']).catch(() => '');
    await until(async () => /active \d+ restarts=1 ready=true/u.test(await libvirtd()), 20_000, 'libvirtd is back');
    await cluster.exec('hv1', ['labctl', 'stop', 'libvirtd']);
    await expect(cluster.exec('hv1', ['labctl', 'status', 'libvirtd'])).rejects.toMatchObject({ details: { exitCode: 3 } });
    await cluster.exec('hv1', ['labctl', 'start', 'libvirtd']);
    await until(async () => (await libvirtd()).includes('ready=true'), 20_000, 'libvirtd answers');
  });

  test("the API's port on the machine leads to whichever host has the floating address", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'pvc-door-'));
    const serve = 'ip addr add 10.77.0.10/24 dev eth0 && hostname >"$1/$(hostname)" && busybox httpd -p 10.77.0.10:7370 -h "$1"';
    const release = 'kill $(cat /proc/[0-9]*/stat | sed -n "s/^\\([0-9]*\\) (busybox).*/\\1/p"); ip addr del 10.77.0.10/24 dev eth0';
    const announce = ['arping', '-q', '-U', '-c', '1', '-I', 'eth0', '10.77.0.10'];
    const answer = (name: string): Promise<string> => fetch(`${cluster.url}/${name}`).then((reply) => reply.text(), () => '');
    try {
      await cluster.exec('hv1', ['sh', '-c', serve, 'sh', folder]);
      await until(async () => (await answer('hv1')).trim() === 'hv1', 10_000, 'hv1 answers');
      await cluster.exec('hv1', ['sh', '-c', release]);
      await cluster.exec('hv2', ['sh', '-c', serve, 'sh', folder]);
      await cluster.exec('hv2', announce);
      await until(async () => (await answer('hv2')).trim() === 'hv2', 10_000, 'hv2 answers');
      await cluster.exec('hv2', ['sh', '-c', release]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('a second call finds it running, with the same token, and refuses to be another one', async () => {
    const { directory } = cluster.place;
    expect(await lab(directory, 'up')).toContain(cluster.token);
    await expect(lab(directory, 'up', '--nodes', '5')).rejects.toMatchObject({ code: 'component' });
    expect(await lab(directory, 'env')).toBe(`PVC_API_URL=${cluster.url}\nPVC_API_TOKEN=${cluster.token}`);
  });

  test('going down leaves nothing on the machine', async () => {
    const { directory } = cluster.place;
    await cluster.stop();
    expect(await remainsOf(directory)).toEqual(NOTHING);
    expect(await exists(directory)).toBe(false);
    expect(await links()).toEqual(linksBefore);
  });
});

describe('a lab of one host with Ceph', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'pvc-lab-'));
    await lab(directory, 'up', '--bare', '--nodes', '1', '--port', String(await freePort()));
  });

  afterAll(async () => {
    await lab(directory, 'down');
    await rm(directory, { recursive: true, force: true });
  });

  test('that was taken down with --keep boots again from the disk of its host', async () => {
    await lab(directory, 'exec', 'hv1', '--', 'sh', '-c', 'echo kept >/var/lib/libvirt/note');
    await lab(directory, 'exec', 'hv1', '--', 'rados', '--pool', 'vms', 'put', 'note', '/etc/hostname');
    await lab(directory, 'down', '--keep');
    expect(await remainsOf(directory)).toEqual(NOTHING);
    await lab(directory, 'up');
    expect(await lab(directory, 'exec', 'hv1', '--', 'cat', '/var/lib/libvirt/note')).toBe('kept');
    expect(await lab(directory, 'exec', 'hv1', '--', 'rados', '--pool', 'vms', 'get', 'note', '-')).toBe('hv1');
    expect(await lab(directory, 'status')).toContain('Ceph HEALTH_OK, monitors hv1, 1 of 1 OSDs up');
  });

  test('goes down after a crash, even when all records are lost, and down is content with nothing', async () => {
    await lab(directory, 'exec', 'hv1', '--', 'truncate', '--size', '1M', '/var/lib/libvirt/device');
    const device = (await lab(directory, 'exec', 'hv1', '--', 'losetup', '--find', '--show', '/var/lib/libvirt/device')).trim();
    await rm(path.join(directory, 'lab.json'));
    await rm(path.join(directory, 'proxy.json'));
    await rm(path.join(directory, 'hosts/hv1/power.json'));
    expect((await remainsOf(directory)).namespaces).toHaveLength(2);
    await lab(directory, 'down');
    expect(await remainsOf(directory)).toEqual(NOTHING);
    await expect(run(['losetup', device], { timeoutMs: 10_000 })).rejects.toThrow('command failed');
    await lab(directory, 'down');
  });
});

test('a lab held by a process goes down when that process is killed', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'pvc-lab-'));
  const hold = [LAB_MAIN, 'hold', '--bare', '--no-storage', '--nodes', '1', '--port', String(await freePort())];
  // Holds as startLab does, in a process that can be killed.
  const script = `require('node:child_process').spawn(process.execPath, ${JSON.stringify(hold)}, { detached: true, stdio: ['pipe', 'inherit', 'inherit'] })`;
  const caller = spawn(process.execPath, ['-e', script], { stdio: 'ignore', env: { ...process.env, ...labEnv(directory) } });
  try {
    await until(async () => (await remainsOf(directory)).namespaces.length === 2, 60_000, 'the lab is coming up');
    caller.kill('SIGKILL');
    await until(async () => !(await exists(directory)), 60_000, 'the lab has gone');
    expect(await remainsOf(directory)).toEqual(NOTHING);
  } finally {
    caller.kill('SIGKILL');
    await lab(directory, 'down');
    await rm(directory, { recursive: true, force: true });
  }
});
