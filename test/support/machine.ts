import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cachedMachine, guestImage } from '../../lab/guest-image.ts';
import { JOB_TAG, ROOT_TAG } from '../../lab/machine-init.ts';
import { labPlace } from '../../lab/state.ts';
import { systemClock, withTimeout } from '../../common/clock.ts';

const QEMU = '/usr/bin/qemu-system-x86_64';
const BUSYBOX = '/bin/busybox';

/** The kernel ends QEMU when the test process is gone, however it ended. */
const WITH_PARENT = ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] as const;

/** 15 s on an idle machine; with much else on the two cores it took 40. */
const BOOT_LIMIT_MS = 300_000;
const COMMAND_LIMIT_MS = 180_000;
const CONSOLE_SHOWN_CHARS = 4_000;

/** The guest's address in QEMU's user network, which reaches it by forwards only. */
export const MACHINE_ADDRESS = '10.0.2.15';

/** Page table isolation empties the emulated TLB at each system call: without it everything takes half the time. */
const KERNEL_LINE = 'console=ttyS0 quiet tsc=reliable no_timer_check panic=-1 mitigations=off audit=0 systemd.show_status=1';

/** Units that want devices, terminals or time, none of which matters here; each would cost the emulated machine a second. */
const MASKED = [
  'systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service systemd-random-seed.service',
  'systemd-logind.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-pcrphase.service systemd-pcrphase-sysinit.service',
  'systemd-update-utmp.service systemd-tmpfiles-clean.timer dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount getty.target',
  'apparmor.service networking.service lvm2-monitor.service e2scrub_reap.service procps.service keyboard-setup.service console-setup.service',
].join(' ');

/** Answers commands on the second serial port: a line "ID BASE64", answered by "ID STATUS BASE64". */
const AGENT = `#!/bin/bash
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 3>/dev/ttyS1
echo "ready" >&3
while read -r id command; do
  ( output=$(base64 -d <<<"$command" | bash 2>&1); status=$?; echo "$id $status $(base64 -w0 <<<"$output")" >&3 ) &
done
`;

const AGENT_UNIT = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash /etc/machine-agent
StandardOutput=null
`;

/** Makes the copy of this machine's root, which nobody but the guest sees, a host without a past. */
const PREPARE = `
ip() { $busybox ip "$@"; }
rm() { $busybox rm -rf "$@"; }
put() { $busybox mkdir -p "$($busybox dirname "/new$2")"; $busybox cp "/job/$1" "/new$2"; $busybox chmod "$3" "/new$2"; }
bind() { $busybox mkdir -p "/new$2"; $busybox mount -o bind "/new$1" "/new$2"; }
rm /new/etc/systemd/system /new/etc/libvirt/qemu /new/.dockerenv
$busybox mkdir -p /new/etc/systemd/system/sysinit.target.wants /new/etc/libvirt/qemu
: >/new/etc/fstab
echo 5f0c2b1e9a374d0e8a6b3f1d7c9e4b20 >/new/etc/machine-id
echo hv1 >/new/etc/hostname
for unit in ${MASKED}; do $busybox ln -s /dev/null /new/etc/systemd/system/$unit; done
put agent /etc/machine-agent 755
put agent.service /etc/systemd/system/machine-agent.service 644
$busybox ln -s ../machine-agent.service /new/etc/systemd/system/sysinit.target.wants/machine-agent.service
ip link set lo up
ip link set eth0 up
ip addr add ${MACHINE_ADDRESS}/24 dev eth0
`;

/** After everything that reads from the folders which are hidden here. */
const HIDE = `
for folder in /tmp /var/tmp /var/log; do $busybox mount -t tmpfs -o mode=1777 tmpfs /new$folder; done
$busybox chmod 755 /new/var/log
$busybox mkdir -p /new/var/log/journal /new/var/log/libvirt
`;

export interface MachineOptions {
  /** Shell: what else is to be done before systemd starts, with `put NAME TARGET MODE` for a file and `bind FROM TO` for a folder of this machine. */
  prepare: string;
  /** Files for `put`. */
  files: Readonly<Record<string, string>>;
  /** `hostfwd=…` of QEMU's user network; the guest finds this machine's loopback at 10.0.2.2. */
  forwards: readonly string[];
}

/** What this machine lacks, undefined when a machine can be started. */
export function machineMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root';
  return [QEMU, BUSYBOX, WITH_PARENT[0], '/lib/systemd/systemd'].find((file) => !existsSync(file));
}

/** A whole emulated machine with Debian's kernel, a systemd as process 1 and a throw-away copy of this machine's root. */
export class Machine {
  readonly #folder: string;
  readonly #qemu: ChildProcess;
  readonly #agents: Server;
  readonly #answers = new Map<string, (answer: { status: number; output: string }) => void>();
  readonly #ended: Promise<void>;
  #agent: Socket | undefined;
  #commands = 0;
  #ready: () => void = () => undefined;

  private constructor(folder: string, qemu: ChildProcess, agents: Server) {
    this.#folder = folder;
    this.#qemu = qemu;
    this.#agents = agents;
    this.#ended = once(qemu, 'exit').then(() => undefined);
  }

  /** Resolves when commands are obeyed, which is before systemd has started everything. */
  static async start(options: MachineOptions): Promise<Machine> {
    const { cache } = labPlace(process.env);
    await guestImage(cache, (text) => console.error(`-- ${text}`));
    const folder = await mkdtemp(join(tmpdir(), 'pvc-machine-'));
    await mkdir(join(folder, 'job'));
    const files = { ...options.files, agent: AGENT, 'agent.service': AGENT_UNIT, prepare: `${PREPARE}${options.prepare}${HIDE}` };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, 'job', name), text);
    const agents = createServer();
    agents.listen(join(folder, 'agent'));
    await once(agents, 'listening');
    const machine = new Machine(folder, startQemu(folder, cachedMachine(cache), options.forwards), agents);
    try {
      await machine.#booted();
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  }

  /** Resolves when the machine is off. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** All that was written to the console, without colours. */
  async console(): Promise<string> {
    // eslint-disable-next-line no-control-regex -- escape sequences begin with this character
    return (await readFile(join(this.#folder, 'console'), 'utf8')).replaceAll(/\u001b\[[0-9;]*m|\r/gu, '');
  }

  /** Runs shell text inside as root; standard output and error. @throws Error when it fails. */
  async exec(command: string, limitMs = COMMAND_LIMIT_MS): Promise<string> {
    const { status, output } = await this.#ask(command, limitMs);
    if (status !== 0) throw new Error(`${command}: ${status}: ${output}`);
    return output;
  }

  async stop(): Promise<void> {
    this.#qemu.kill('SIGKILL');
    await this.#ended;
    this.#agent?.destroy();
    this.#agents.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #booted(): Promise<void> {
    const ready = new Promise<void>((resolve) => (this.#ready = resolve));
    this.#agents.once('connection', (socket: Socket) => {
      this.#agent = socket;
      createInterface({ input: socket }).on('line', (line) => this.#heard(line));
    });
    const first = Promise.race([ready, this.#ended.then(() => Promise.reject(new Error('QEMU ended')))]);
    try {
      await withTimeout(systemClock, { timeoutMs: BOOT_LIMIT_MS, what: 'the machine to boot' }, () => first);
    } catch (error) {
      const said = await this.console().catch(() => '');
      throw new Error(`the machine did not boot: ${said.slice(-CONSOLE_SHOWN_CHARS)}${await readFile(join(this.#folder, 'qemu.log'), 'utf8')}`, { cause: error });
    }
  }

  #heard(line: string): void {
    if (line.startsWith('ready')) this.#ready();
    const [id = '', status = '', output = ''] = line.split(' ');
    this.#answers.get(id)?.({ status: Number(status), output: Buffer.from(output, 'base64').toString('utf8').trimEnd() });
    this.#answers.delete(id);
  }

  async #ask(command: string, limitMs: number): Promise<{ status: number; output: string }> {
    this.#commands += 1;
    const id = String(this.#commands);
    const answer = new Promise<{ status: number; output: string }>((resolve) => this.#answers.set(id, resolve));
    this.#agent?.write(`${id} ${Buffer.from(command).toString('base64')}\n`);
    const over = Promise.race([answer, this.#ended.then(() => Promise.reject(new Error('the machine is off')))]);
    return withTimeout(systemClock, { timeoutMs: limitMs, what: `the machine to run ${command}` }, () => over);
  }
}

function startQemu(folder: string, image: { kernel: string; initramfs: string }, forwards: readonly string[]): ChildProcess {
  const share = (path: string, tag: string): string[] => ['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`];
  const [setpriv, ...options] = WITH_PARENT;
  const args = [
    ...['-M', 'pc', '-accel', 'tcg,thread=multi', '-smp', '2', '-m', '1536', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-serial', `file:${join(folder, 'console')}`, '-chardev', `socket,id=agent,path=${join(folder, 'agent')}`, '-serial', 'chardev:agent'],
    ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', KERNEL_LINE],
    ...share('/', ROOT_TAG),
    ...share(join(folder, 'job'), JOB_TAG),
    ...['-netdev', ['user', 'id=net', ...forwards].join(','), '-device', 'virtio-net-pci,netdev=net', '-device', 'virtio-rng-pci'],
  ];
  const log = ['/bin/sh', '-c', 'exec "$@" >"$0" 2>&1', join(folder, 'qemu.log')];
  return spawn(setpriv, [...options, ...log, QEMU, ...args], { stdio: 'ignore' });
}
