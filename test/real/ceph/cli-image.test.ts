import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOKEN } from '../../contract/api-support.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { bundledPvc, type PvcCommand, type Result } from '../../support/pvc-command.ts';
import { startScene, type StorageScene } from './storage-support.ts';

const MIB = 2 ** 20;
const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

describe.skipIf(cephMissing() !== undefined)('pvc storage volume upload and download', () => {
  let scene: StorageScene;
  tellOnFailure(() => scene?.ceph);
  let command: PvcCommand;
  let folder: string;
  const image = Buffer.alloc(24 * MIB + 5);

  beforeAll(async () => {
    scene = await startScene({ osds: 1, pools: ['vms'] });
    command = bundledPvc({ PVC_API_URL: scene.api.base, PVC_API_TOKEN: TOKEN });
    folder = await mkdtemp(join(tmpdir(), 'pvc-cli-image-'));
    randomBytes(3 * MIB).copy(image, 9 * MIB);
    await writeFile(join(folder, 'disk.raw'), image);
  });

  afterAll(async () => {
    command.stop();
    await rm(folder, { recursive: true });
    await scene.stop();
  });

  const path = (name: string): string => join(folder, name);
  const run = (line: string, input = ''): Promise<Result> => command.run(['storage', ...line.split(' ').map((word) => word.replace(/^@/u, `${folder}/`))], { input });
  const isThere = (name: string): Promise<boolean> => stat(path(name)).then(() => true, () => false);

  test('a file makes a new volume, in a pipe with a line for each tenth', async () => {
    const { code, stdout, stderr } = await run('volume upload vms new @disk.raw --create');
    expect([code, stdout]).toEqual([0, `volume vms/new has the image of ${image.length} bytes\n`]);
    expect(stderr).toMatch(new RegExp(`^${path('disk.raw')} → vms/new 10% [\\d.]+ MiB of 24\\.0 MiB, [\\d.]+ [KM]iB/s, \\d+s left\\n(.*\\n){8}.* 100% 24\\.0 MiB of 24\\.0 MiB.*\\n$`, 'u'));
    await scene.ceph.exec(['rbd', 'export', '--no-progress', 'vms/new', path('exported.raw')]);
    expect(digest(await readFile(path('exported.raw')))).toBe(digest(image));
    expect(await run('volume upload vms new @disk.raw --create')).toMatchObject({ code: 1, stderr: expect.stringMatching(/a volume of this name exists/u) });
  });

  test('a volume and a snapshot make a file, with holes where they are zero', async () => {
    expect(await run('volume download vms new @down.raw')).toMatchObject({ code: 0, stdout: `volume vms/new is in ${path('down.raw')}, 24.0 MiB\n` });
    expect(digest(await readFile(path('down.raw')))).toBe(digest(image));
    const { size, blocks } = await stat(path('down.raw'));
    expect([size, blocks * 512 < 4 * MIB]).toEqual([image.length, true]);
    expect(await run('snapshot add vms new s1')).toMatchObject({ code: 0 });
    expect(await run('snapshot download vms new s1 @snapshot.raw')).toMatchObject({ code: 0, stdout: `snapshot vms/new@s1 is in ${path('snapshot.raw')}, 24.0 MiB\n` });
    expect(digest(await readFile(path('snapshot.raw')))).toBe(digest(image));
  });

  test('a file that is there stays as it is without --force, and one that was not written to its end is removed', async () => {
    await writeFile(path('mine'), 'mine');
    expect(await run('volume download vms new @mine')).toMatchObject({ code: 2, stderr: `pvc: ${path('mine')} is there already: --force writes over it - see pvc storage volume download --help\n` });
    expect(await readFile(path('mine'), 'utf8')).toBe('mine');
    expect(await run('volume download vms new @mine --force')).toMatchObject({ code: 0 });
    expect(digest(await readFile(path('mine')))).toBe(digest(image));
    expect(await run('volume download vms absent @absent.raw')).toMatchObject({ code: 1, stderr: 'pvc: there is no such volume (volume: vms/absent) - pvc storage volume list has the names\n' });
    expect(await isThere('absent.raw')).toBe(false);
  });

  test('pipes carry an image in and out', async () => {
    const { code, stdout, stderr } = await command.bash(`set -o pipefail; pvc storage volume download vms new - | tee ${path('piped.raw')} | pvc storage volume upload vms piped - --create --size ${image.length} && sha256sum < ${path('piped.raw')}`);
    expect([code, stdout], stderr).toEqual([0, `volume vms/piped has the image of ${image.length} bytes\n${digest(image)}  -\n`]);
    expect(await run('volume upload vms piped -', 'x')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^pvc: how large standard input is must be said with --size/u) });
    expect(await run('volume upload vms piped - --size 3', 'four')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^pvc: the image is larger than was said/u) });
  });

  test('an image of another format is refused, with what makes it raw', async () => {
    await writeFile(path('disk.qcow2'), Buffer.from('QFI\u00fb\0\0\0\u0003and so on', 'latin1'));
    const file = path('disk.qcow2');
    expect(await run('volume upload vms new @disk.qcow2')).toMatchObject({ code: 2, stderr: `pvc: ${file} is a qcow2 image, not a raw one: qemu-img convert -O raw ${file} ${file}.raw - see pvc storage volume upload --help\n` });
    await writeFile(path('empty'), '');
    expect(await run('volume upload vms new @empty')).toMatchObject({ code: 2 });
    expect(await run('volume upload vms new @nowhere')).toMatchObject({ code: 2 });
  });

  test('a terminal has a bar, and Ctrl-C leaves no file behind', async () => {
    const screen = command.open(`pvc storage volume upload vms new ${path('disk.raw')}`);
    await screen.see(/→ vms\/new [█░]+ \d+%/u);
    await screen.see(`volume vms/new has the image of ${image.length} bytes`);
    expect(await screen.ended()).toBe(0);
    await scene.ceph.exec(['rbd', 'create', '--size', '20G', 'vms/huge']);
    const long = command.open(`pvc storage volume download vms huge ${path('huge.raw')}`);
    await long.see(/→ .*huge\.raw [█░]+ \d+% [\d.]+ [MG]iB of 20\.0 GiB, [\d.]+ [MG]iB\/s, \w+ left/u);
    expect(await isThere('huge.raw')).toBe(true);
    long.type('\u0003');
    expect(await long.ended()).toBe(130);
    expect(await isThere('huge.raw')).toBe(false);
    const text = command.open('pvc storage volume download vms new -');
    await text.see('standard output is a terminal');
    expect(await text.ended()).toBe(2);
  });
});
