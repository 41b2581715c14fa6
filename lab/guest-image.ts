import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile, copyFile, access, chmod } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { AppError, isAppError } from '../common/errors.ts';
import { run } from '../common/process.ts';
import { guestInit, POWER_BUTTON_SCRIPT, UDHCPC_SCRIPT } from './guest-init.ts';
import { machineInit } from './machine-init.ts';

/** The test guest: Debian's kernel, unpacked once so that it boots in half the time, and a small initramfs. */
export interface GuestImage {
  kernel: string;
  initramfs: string;
}

/** Raise when the recipe below changes, so that caches are renewed. */
const RECIPE = 4;

/** Roots of what the guest loads, in this order; dependencies come before them. */
const GUEST_MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'button', 'evdev'];

/** The same for a guest that has this machine's root, which holds no modules for this kernel. */
const MACHINE_MODULES = ['virtio_pci', 'virtio_net', 'virtio_rng', '9pnet_virtio', '9p', 'overlay', 'autofs4', 'bridge', 'tun', '8021q', 'veth', 'button', 'evdev'];

const DOWNLOAD_TIMEOUT_MS = 600_000;
const STEP_TIMEOUT_MS = 120_000;

const imageFolder = (cache: string): string => path.join(cache, `guest-${RECIPE}`);

/** The image in the cache; made and put there the first time, which downloads Debian's kernel package (70 MB). */
export async function guestImage(cache: string, say: (text: string) => void): Promise<GuestImage> {
  const folder = imageFolder(cache);
  const image = cachedImage(cache);
  if (await exists(folder)) return image;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(path.join(cache, 'making-'));
  try {
    await chmod(work, 0o755);
    say('downloading a kernel for the test guest (70 MB, once)');
    const version = await unpackKernelPackage(work);
    say(`making the test guest from kernel ${version}`);
    await mkdir(path.join(work, 'image'));
    await unpackKernel(path.join(work, 'root/boot', `vmlinuz-${version}`), path.join(work, 'image/vmlinux'));
    await buildGuest(work, version);
    await buildMachine(work, version);
    await rename(path.join(work, 'image'), folder).catch(async (error: unknown) => {
      // Another lab was faster.
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

/** Where the image is, or will be. */
export function cachedImage(cache: string): GuestImage {
  return { kernel: path.join(imageFolder(cache), 'vmlinux'), initramfs: path.join(imageFolder(cache), 'initramfs.gz') };
}

/** The same kernel with an initramfs that makes this machine's root the guest's: see machineInit. */
export function cachedMachine(cache: string): GuestImage {
  return { kernel: cachedImage(cache).kernel, initramfs: path.join(imageFolder(cache), 'machine.gz') };
}

/** Downloads the package that linux-image-amd64 stands for, unpacks it below `work`/root and returns the kernel's version. */
async function unpackKernelPackage(work: string): Promise<string> {
  const name = (await kernelPackage()) ?? (await updateLists().then(kernelPackage));
  if (name === undefined) throw new AppError('component', 'apt knows no package linux-image-amd64: is this Debian on amd64?');
  await run(['apt-get', '-o', 'APT::Sandbox::User=root', 'download', name], { timeoutMs: DOWNLOAD_TIMEOUT_MS, cwd: work });
  const file = (await readdir(work)).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new AppError('component', 'apt downloaded no kernel package', { name });
  await run(['dpkg-deb', '-x', path.join(work, file), path.join(work, 'root')], { timeoutMs: STEP_TIMEOUT_MS });
  return name.replace(/^linux-image-/u, '');
}

/** Name of the package that linux-image-amd64 stands for now, undefined when apt's lists do not have it. */
async function kernelPackage(): Promise<string | undefined> {
  try {
    const { stdout } = await run(['apt-cache', 'depends', 'linux-image-amd64'], { timeoutMs: STEP_TIMEOUT_MS });
    return /Depends: (linux-image-\S+)/u.exec(stdout)?.[1];
  } catch (error) {
    if (isAppError(error, 'component')) return undefined;
    throw error;
  }
}

async function updateLists(): Promise<void> {
  await run(['apt-get', 'update'], { timeoutMs: DOWNLOAD_TIMEOUT_MS });
}

/** Offsets in a bzImage: Documentation/arch/x86/boot.rst of the kernel, setup_sects, payload_offset, payload_length. */
const SETUP_SECTS = 0x1f1;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR_BYTES = 512;
/** Other payloads than gzip's have the unpacked length at their end (scripts/Makefile.lib of the kernel, size_append), which neither xz nor zstd takes. */
const UNPACKED_LENGTH_BYTES = 4;

/** Writes the ELF kernel that is inside a bzImage; QEMU starts it directly (PVH). */
async function unpackKernel(bzImage: string, target: string): Promise<void> {
  const bytes = await readFile(bzImage);
  const start = (bytes.readUInt8(SETUP_SECTS) + 1) * SECTOR_BYTES + bytes.readUInt32LE(PAYLOAD_OFFSET);
  const payload = bytes.subarray(start, start + bytes.readUInt32LE(PAYLOAD_LENGTH));
  if (payload.readUInt16BE(0) === 0x1f8b) {
    await writeFile(target, gunzipSync(payload));
    return;
  }
  const packed = `${target}.packed`;
  await writeFile(packed, payload.subarray(0, -UNPACKED_LENGTH_BYTES));
  await decompress(packed, payload.readUInt32BE(0), target);
  await rm(packed);
}

const ZSTD_MAGIC = 0x28b52ffd;

async function decompress(file: string, magic: number, target: string): Promise<void> {
  const tool = magic === ZSTD_MAGIC ? ['zstd', '-dcq'] : ['xz', '-dc'];
  await run(['sh', '-c', 'out=$1; shift; exec "$@" >"$out"', 'sh', target, ...tool, file], { timeoutMs: STEP_TIMEOUT_MS });
}

async function buildGuest(work: string, version: string): Promise<void> {
  const root = path.join(work, 'guest');
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'etc/acpi/PWRF', 'lib', 'run', 'tmp']) await mkdir(path.join(root, folder), { recursive: true });
  await copyFile('/bin/busybox', path.join(root, 'bin/busybox'));
  const { stdout } = await run(['/bin/busybox', '--list'], { timeoutMs: STEP_TIMEOUT_MS });
  for (const applet of stdout.split('\n').filter((name) => name !== 'busybox')) await symlink('busybox', path.join(root, 'bin', applet));
  const modules = await copyModules({ kernelRoot: path.join(work, 'root'), version, names: GUEST_MODULES }, path.join(root, 'lib'));
  await writeScript(path.join(root, 'init'), guestInit(modules));
  await writeScript(path.join(root, 'etc/udhcpc.script'), UDHCPC_SCRIPT);
  await writeScript(path.join(root, 'etc/acpi/PWRF/00000080'), POWER_BUTTON_SCRIPT);
  await packInitramfs(root, path.join(work, 'image/initramfs.gz'));
}

async function buildMachine(work: string, version: string): Promise<void> {
  const root = path.join(work, 'machine');
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'lib', 'lower', 'upper', 'job', 'new']) await mkdir(path.join(root, folder), { recursive: true });
  await copyFile('/bin/busybox', path.join(root, 'bin/busybox'));
  const modules = await copyModules({ kernelRoot: path.join(work, 'root'), version, names: MACHINE_MODULES }, path.join(root, 'lib'));
  await writeScript(path.join(root, 'init'), machineInit(modules));
  await packInitramfs(root, path.join(work, 'image/machine.gz'));
}

async function packInitramfs(root: string, target: string): Promise<void> {
  const archive = `${target}.cpio`;
  await run(['sh', '-c', 'find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet >"$1"', 'sh', archive], { timeoutMs: STEP_TIMEOUT_MS, cwd: root });
  await writeFile(target, gzipSync(await readFile(archive), { level: 9 }));
  await rm(archive);
}

async function writeScript(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o755 });
}

/** Copies modules by `names` and all they depend on, stripped, and returns their file names in the order of loading. */
async function copyModules(from: { kernelRoot: string; version: string; names: readonly string[] }, target: string): Promise<string[]> {
  const { kernelRoot, version, names } = from;
  const base = await firstExisting([path.join(kernelRoot, 'lib/modules', version), path.join(kernelRoot, 'usr/lib/modules', version)]);
  const files = new Map<string, string>();
  for (const file of await readdir(path.join(base, 'kernel'), { recursive: true })) {
    const name = /([^/]+)\.ko(\.xz|\.zst)?$/u.exec(file)?.[1];
    if (name !== undefined) files.set(name.replaceAll('-', '_'), path.join(base, 'kernel', file));
  }
  const ordered: string[] = [];
  const visit = async (name: string): Promise<void> => {
    const file = files.get(name);
    // A module that is not there is built in.
    if (file === undefined || ordered.includes(`${name}.ko`)) return;
    const plain = path.join(target, `${name}.ko`);
    await plainModule(file, plain);
    for (const dependency of await dependencies(plain)) await visit(dependency);
    await run(['strip', '--strip-debug', plain], { timeoutMs: STEP_TIMEOUT_MS });
    ordered.push(`${name}.ko`);
  };
  for (const name of names) await visit(name);
  return ordered;
}

async function plainModule(file: string, plain: string): Promise<void> {
  if (file.endsWith('.ko')) await copyFile(file, plain);
  else await decompress(file, file.endsWith('.zst') ? ZSTD_MAGIC : 0, plain);
}

async function dependencies(module: string): Promise<string[]> {
  const { stdout } = await run(['modinfo', '-F', 'depends', module], { timeoutMs: STEP_TIMEOUT_MS });
  return stdout.trim().split(',').filter((name) => name !== '').map((name) => name.replaceAll('-', '_'));
}

async function firstExisting(folders: readonly string[]): Promise<string> {
  for (const folder of folders) if (await exists(folder)) return folder;
  throw new AppError('component', 'the kernel package has no modules', { folders });
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
