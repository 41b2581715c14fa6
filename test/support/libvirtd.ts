import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile, cp, chmod, access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Duplex } from 'node:stream';
import { newVmId } from '../../common/ids.ts';
import { run } from '../../common/process.ts';
import { bootFloppy } from './boot-sector.ts';
import { until } from './until.ts';

const HOST_SCRIPT = path.join(import.meta.dirname, 'libvirt-host.sh');

const FOLDER_PREFIX = 'pvc-lv-';

const BOOT_LIMIT_MS = 60_000;

/** Two or more private hosts and what they share. */
export interface LibvirtLab {
  /** Seen by all hosts under this path. */
  folder: string;
  floppy: string;
  privateKeyFile: string;
  hosts: readonly LibvirtHost[];
  /** Connects the hosts by a link of their own; the addresses are 10.99.0.1 and up. */
  connectHosts(): Promise<void>;
  stop(): Promise<void>;
}

export interface LibvirtHost {
  name: string;
  /** The host's file system as this process sees it. */
  root: string;
  /** The base64 field of the public host key. */
  hostKey: string;
  exec(...command: [string, ...string[]]): Promise<string>;
  /** A stream to an sshd of the host, without a network. */
  ssh(): Duplex;
  /** The process of a guest's QEMU, as seen inside the host. */
  qemuPid(domainName: string): Promise<string>;
  libvirtd: { kill(): Promise<void>; start(): Promise<void> };
}

const PROGRAMS = ['/usr/sbin/libvirtd', '/usr/sbin/virtlogd', '/usr/bin/qemu-system-x86_64', '/usr/sbin/sshd', '/usr/bin/nsenter', '/usr/bin/virsh'];

/** Why this machine cannot run such hosts, undefined when it can. In CI nothing may be missing: there the tests run, and fail. */
export function libvirtMissing(): string | undefined {
  if (process.env['CI'] !== undefined) return undefined;
  return process.getuid?.() === 0 ? PROGRAMS.find((program) => !existsSync(program)) : 'root';
}

/** Starts a libvirtd for each name, each in namespaces and folders of its own. */
export async function startLibvirtLab(names: readonly string[]): Promise<LibvirtLab> {
  await sweepFolders();
  const folder = await mkdtemp(path.join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  await chmod(folder, 0o755);
  const floppy = path.join(folder, 'floppy.img');
  await writeFile(floppy, bootFloppy(), { mode: 0o644 });
  const privateKeyFile = path.join(folder, 'id_ed25519');
  await makeKey(privateKeyFile);
  const started: StartedHost[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((host) => host.powerOff()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const name of names) started.push(await powerOn(folder, name, privateKeyFile));
    await Promise.all(started.map((host) => host.booted()));
  } catch (error) {
    await stop();
    throw error;
  }
  const hosts = started.map((host) => host.host);
  return { folder, floppy, privateKeyFile, hosts, connectHosts: () => connectHosts(started), stop };
}

/** A guest of 64 MiB or more without disks; it obeys the power button and does nothing else. */
export function guestXml(lab: { floppy: string }, guest: { uuid: string; name: string; memoryMib?: number; extra?: string; os?: string }): string {
  return `<domain type='qemu'><name>${guest.name}</name><uuid>${guest.uuid}</uuid>
    <memory unit='MiB'>${guest.memoryMib ?? 64}</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type>${guest.os ?? ''}<boot dev='fd'/></os><features><acpi/></features>
    <on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>
    <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
      <disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='${lab.floppy}'/><target dev='fda' bus='fdc'/><readonly/></disk>
      <controller type='usb' model='none'/><memballoon model='none'/>${guest.extra ?? ''}</devices></domain>`;
}

/** Removes the folders of tests that were killed; their processes end by themselves. */
async function sweepFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`, 'u').exec(name)?.[1];
    if (owner === undefined) continue;
    const alive = await access(`/proc/${owner}`).then(() => true, () => false);
    if (!alive) await rm(path.join(tmpdir(), name), { recursive: true, force: true });
  }
}

interface StartedHost {
  host: LibvirtHost;
  pid: number;
  booted(): Promise<void>;
  powerOff(): Promise<void>;
}

async function powerOn(labFolder: string, name: string, privateKeyFile: string): Promise<StartedHost> {
  const folder = path.join(labFolder, name);
  await makeFolders(folder, name);
  const hostKey = await makeSshd(folder, privateKeyFile);
  const log = openSync(path.join(folder, 'host.log'), 'a');
  const outer = ['net', 'mnt', 'pid'].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
  const child = spawn(
    'unshare',
    ['-m', '-u', '-i', '-n', '-p', '-f', '--kill-child', '--mount-proc', '--propagation', 'private', HOST_SCRIPT, name, folder, ...outer],
    { stdio: ['pipe', log, log] },
  );
  closeSync(log);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = await firstChild(child, folder);
  const nsenter = ['nsenter', '-t', String(pid), '-m', '-u', '-i', '-n', '-p', '--'] as const;
  const exec = async (...command: [string, ...string[]]): Promise<string> => (await run([...nsenter, ...command], { timeoutMs: 30_000 })).stdout;
  const host: LibvirtHost = {
    name,
    root: `/proc/${pid}/root`,
    hostKey,
    exec,
    ssh: () => sshStream(nsenter, folder),
    qemuPid: async (domain) => (await exec('cat', `/run/libvirt/qemu/${domain}.pid`)).trim(),
    libvirtd: {
      kill: async () => {
        const libvirtd = (await exec('cat', '/run/libvirtd.pid')).trim();
        await exec('kill', '-9', libvirtd);
        await until(async () => !(await exists(exec, `/proc/${libvirtd}/exe`)), 10_000, 'libvirtd gone');
      },
      start: async () => void (await exec('libvirtd', '-d')),
    },
  };
  const powerOff = async (): Promise<void> => {
    child.stdin?.end();
    if (child.exitCode === null) process.kill(pid, 'SIGKILL');
    await ended;
  };
  return { host, pid, powerOff, booted: () => booted(folder, child) };
}

async function exists(exec: LibvirtHost['exec'], file: string): Promise<boolean> {
  return exec('readlink', file).then(() => true, () => false);
}

async function booted(folder: string, child: ChildProcess): Promise<void> {
  const flag = path.join(folder, 'booted');
  const done = (): Promise<boolean> => access(flag).then(() => true, () => child.exitCode !== null);
  await until(done, BOOT_LIMIT_MS, 'libvirt host started');
  if (child.exitCode !== null) throw new Error(`the libvirt host ended: ${await readFile(path.join(folder, 'host.log'), 'utf8')}`);
}

/** The host's process 1 as seen from outside: unshare forks it. */
async function firstChild(child: ChildProcess, folder: string): Promise<number> {
  let found = '';
  const look = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`unshare ended: ${await readFile(path.join(folder, 'host.log'), 'utf8')}`);
    const file = `/proc/${child.pid}/task/${child.pid}/children`;
    found = (await readFile(file, 'utf8')).trim();
    return found !== '';
  };
  await until(look, BOOT_LIMIT_MS, 'first process of the libvirt host');
  return Number(found);
}

async function makeFolders(folder: string, name: string): Promise<void> {
  for (const part of ['etc-libvirt', 'var-lib-libvirt', 'var-cache-libvirt', 'var-log-libvirt']) await mkdir(path.join(folder, part), { recursive: true, mode: 0o755 });
  await chmod(folder, 0o755);
  const etc = path.join(folder, 'etc-libvirt');
  for (const file of await readdir('/etc/libvirt')) await cp(path.join('/etc/libvirt', file), path.join(etc, file), { recursive: true });
  await rm(path.join(etc, 'qemu'), { recursive: true, force: true });
  // All hosts have the machine's DMI, and libvirt refuses to migrate from a host to itself.
  const perms = 'unix_sock_rw_perms = "0700"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n';
  await writeFile(path.join(etc, 'libvirtd.conf'), `listen_tls = 0\nkeepalive_interval = 1\nkeepalive_count = 2\n${perms}host_uuid = "${newVmId()}"\nlog_outputs = "2:file:${folder}/libvirtd.log"\n`);
  await writeFile(path.join(folder, 'hosts'), `127.0.0.1 localhost ${name}\n`);
  const address = name === 'alpha' ? '10.99.0.1' : '10.99.0.2';
  const qemu = `security_driver = "none"\nnamespaces = []\ncgroup_controllers = []\nremember_owner = 0\ndynamic_ownership = 0\nmigration_host = "${address}"\n`;
  await writeFile(path.join(etc, 'qemu.conf'), qemu);
}

async function makeKey(file: string): Promise<string> {
  await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', file], { timeoutMs: 10_000 });
  return (await readFile(`${file}.pub`, 'utf8')).split(' ')[1] ?? '';
}

async function makeSshd(folder: string, privateKeyFile: string): Promise<string> {
  const hostKey = await makeKey(path.join(folder, 'ssh_host_key'));
  const lines = [`HostKey ${folder}/ssh_host_key`, `AuthorizedKeysFile ${privateKeyFile}.pub`, 'PermitRootLogin prohibit-password', 'PasswordAuthentication no'];
  await writeFile(path.join(folder, 'sshd_config'), [...lines, 'UsePAM no', 'StrictModes no', ''].join('\n'));
  return hostKey;
}

function sshStream(nsenter: readonly ['nsenter', ...string[]], folder: string): Duplex {
  const log = openSync(path.join(folder, 'sshd.log'), 'a');
  const [program, ...args] = nsenter;
  const child = spawn(program, [...args, '/usr/sbin/sshd', '-i', '-e', '-f', path.join(folder, 'sshd_config')], { stdio: ['pipe', 'pipe', log] });
  closeSync(log);
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
  stream.on('close', () => child.kill());
  return stream;
}

async function connectHosts(hosts: readonly StartedHost[]): Promise<void> {
  const [one, two] = hosts;
  if (one === undefined || two === undefined) throw new Error('two hosts are needed');
  await one.host.exec('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  // Process ids mean something else inside, so the far end is moved from outside, by entering the network namespace alone.
  await run(['nsenter', '-t', String(one.pid), '-n', '--', 'ip', 'link', 'set', 'eth1', 'netns', String(two.pid)], { timeoutMs: 10_000 });
  for (const [host, device, address] of [[one, 'eth0', '10.99.0.1/24'], [two, 'eth1', '10.99.0.2/24']] as const) {
    await host.host.exec('ip', 'addr', 'add', address, 'dev', device);
    await host.host.exec('ip', 'link', 'set', device, 'up');
  }
}
