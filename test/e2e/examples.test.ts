import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Connection } from '../../client/connection.ts';
import { batchCreate } from '../../client/examples/batch-create.ts';
import { restoreFromImage } from '../../client/examples/restore-from-image.ts';
import { snapshotAndDownload } from '../../client/examples/snapshot-and-download.ts';
import { twoVmsAndANetwork } from '../../client/examples/two-vms-and-a-network.ts';
import { StorageClient } from '../../client/storage-client.ts';
import { VmClient } from '../../client/vm-client.ts';
import { BLOCK_BYTES, DiskWriter, FIRST_BLOCK, WRITTEN_DISK_MIB, wrongBlocksIn } from '../support/disk-writer.ts';
import { GuestShell } from '../support/guest-shell.ts';
import { BOOT_LIMIT_MS, LabVm } from '../support/lab-vm.ts';
import { startLab, type Lab } from '../support/lab.ts';

const RUN_EXAMPLE = resolve(import.meta.dirname, '../../dist/client-package/client/examples/run-example.js');

let lab: Lab;
let connection: Connection;
let writer: DiskWriter;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pvc-e2e-image-'));
  lab = await startLab({ nodes: 3, storage: true });
  connection = new Connection(lab.url, lab.token);
  await new StorageClient(connection).createVolume({ pool: 'vms', volume: 'web1_root', size: `${WRITTEN_DISK_MIB}M` });
  const web1 = new GuestShell(lab, 'web1');
  await web1.define({}, lab.guestXml('web1', { disks: ['vms/web1_root'] }));
  await web1.boot(() => web1.post('/state', { state: 'start' }));
  writer = new DiskWriter(web1);
  await writer.start();
  await writer.goesOn(3);
});

afterAll(async () => {
  connection?.close();
  await lab?.stop();
  rmSync(folder, { recursive: true });
});

test('the volume of a guest that writes is snapshotted and downloaded, and a VM restored from the image has every block', async () => {
  const file = join(folder, 'web1.raw');
  const [before, saved, after] = [await writer.written(), await snapshotAndDownload(connection, { vm: 'web1', snapshot: 'nightly', file }), await writer.written()];
  expect(saved).toEqual({ pool: 'vms', volume: 'web1_root', sizeBytes: WRITTEN_DISK_MIB * 2 ** 20 });
  expect(after).toBeGreaterThan(before);
  // What was flushed before the snapshot is in it, whatever has come since.
  expect(await wrongBlocksIn(file, before)).toEqual([]);
  const definition = (name: string): string => lab.guestXml(name, { disks: ['vms/web2_root'] });
  const restored = await restoreFromImage(connection, { name: 'web2', pool: 'vms', volume: 'web2_root', file }, { definition, limitMs: BOOT_LIMIT_MS });
  expect(restored).toMatchObject({ name: 'web2', state: 'start' });
  const web2 = new GuestShell(lab, 'web2');
  await web2.countsBeyond(0);
  await web2.listens();
  // Before the blocks both guests count.
  const [seen] = (await web2.out(`dd if=/dev/vda bs=${BLOCK_BYTES} skip=${FIRST_BLOCK} 2>/dev/null | sha256sum`)).split(' ');
  expect(seen).toBe(createHash('sha256').update(readFileSync(file).subarray(FIRST_BLOCK * BLOCK_BYTES)).digest('hex'));
  // It is a disk like any other.
  expect((await web2.sh(`yes restored | head -c ${BLOCK_BYTES} | dd of=/dev/vda bs=${BLOCK_BYTES} conv=notrunc,fsync`)).status).toBe(0);
});

test('many VMs are made at once, and those that fail do not stop the rest', async () => {
  const good = ['batch1', 'batch2', 'batch3'];
  const broken = { name: 'broken', xml: lab.guestXml('broken').replace(/<emulator>[^<]*/u, '<emulator>/nonexistent') };
  const diskless = { name: 'diskless', xml: lab.guestXml('diskless', { disks: ['vms/absent'] }) };
  const wanted = [broken, diskless, ...good.map((name) => ({ name, xml: lab.guestXml(name) }))];
  const created = await batchCreate(new VmClient(connection), wanted, BOOT_LIMIT_MS);
  expect(created.map((one) => [one.name, 'vm' in one ? one.vm.state : one.error])).toEqual([
    ['broken', 'the VM failed'], ['diskless', expect.stringContaining('vms/absent')], ...good.map((name) => [name, 'start']),
  ]);
  for (const name of good) await new LabVm(lab, name).countsBeyond(0);
});

test('two VMs in a network of their own find each other by name', async () => {
  const network = { vni: 2_077, description: 'private', ip4Network: '10.98.0.0/24', ip4Gateway: '10.98.0.1', dhcp4: ['10.98.0.100', '10.98.0.199'] as const };
  const definition = (name: string): string => lab.guestXml(name, { networks: [2_077] });
  const vms = await twoVmsAndANetwork(connection, network, { names: ['left', 'right'], definition, limitMs: BOOT_LIMIT_MS });
  expect(vms.map(({ state }) => state)).toEqual(['start', 'start']);
  const [left, right] = [new GuestShell(lab, 'left'), new GuestShell(lab, 'right')];
  expect([await left.address(4), await right.address(4)]).toEqual([expect.stringMatching(/^10\.98\.0\.1\d\d$/u), expect.stringMatching(/^10\.98\.0\.1\d\d$/u)]);
  expect([await left.reaches('right.private.local'), await right.reaches('left.private.local')]).toEqual([true, true]);
});

test('the examples run as programs, too', async () => {
  const file = join(folder, 'again.raw');
  const run = (...given: string[]): string => execFileSync(process.execPath, [RUN_EXAMPLE, lab.url, ...given], { encoding: 'utf8', stdio: 'pipe', env: { PVC_TOKEN: lab.token, PVC_DOMAIN_TYPE: 'qemu' }, timeout: BOOT_LIMIT_MS });
  expect(run('snapshot', 'web1', 'again', file)).toBe(`vms/web1_root is in ${file}: ${WRITTEN_DISK_MIB * 2 ** 20} bytes\n`);
  expect(() => run('snapshot', 'web1', 'again', file)).toThrow(/exist/u);
  expect(await new StorageClient(connection).listSnapshots({ pool: 'vms', volume: 'web1_root' })).toEqual([]);
  expect(run('restore', 'vms', 'again_root', file, 'again')).toMatch(/^again runs on hv\d\n$/u);
  expect(run('batch', 'small1', 'small2')).toMatch(/^small1 runs on hv\d\nsmall2 runs on hv\d\n$/u);
  expect(run('network', '2078', 'east', 'west')).toMatch(/^east runs on hv\d\nwest runs on hv\d\n$/u);
  expect(() => run('batch', 'small3', 'small1')).toThrow(expect.objectContaining({ status: 1, stdout: expect.stringMatching(/^small3 runs on hv\d\nsmall1: /u) }));
});

test('a volume that a guest has is not written over, and its guest goes on', async () => {
  const image = { sizeBytes: 9, bytes: nothing() };
  await expect(new StorageClient(connection).uploadVolume('vms', 'web1_root', image)).rejects.toMatchObject({ status: 510, message: expect.stringMatching(/^VMs that run have this volume as a disk.*web1/u) });
  await writer.goesOn(3);
});

// eslint-disable-next-line require-yield -- nobody asks for it
async function* nothing(): AsyncGenerator<Uint8Array> {
  throw new Error('an image was asked for that has no place to go');
}
