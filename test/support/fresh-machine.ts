import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { run } from '../../common/process.ts';
import { openScreen, type Screen } from './pvc-command.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MMDEBSTRAP = '/usr/bin/mmdebstrap';
/** Where the checkout is there. */
const CHECKOUT = '/root/pvc';
const SIZE = '12g';
/** It installs through this machine's network, so it trusts whom this machine trusts. */
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const MADE = 'the machine is there';

/** Debian releases: 12 has too old a Node of its own. */
export type Suite = 'bookworm' | 'trixie';

const NODE_FROM: Record<Suite, 'here' | 'debian'> = { bookworm: 'here', trixie: 'debian' };

/** A smallest Debian in memory, with Node, npm and this checkout and nothing else, as process 1 of a namespace: all of it ends with that process. */
const MAKE = `
set -eu
mount -t tmpfs -o mode=755,size=${SIZE} tmpfs /mnt
mmdebstrap --quiet --mode=root --variant=minbase "$@" /mnt
cp /etc/resolv.conf /mnt/etc/resolv.conf
cp ${AUTHORITIES} /mnt${AUTHORITIES}
mount -t proc proc /mnt/proc
mount --rbind /sys /mnt/sys
mount --rbind /dev /mnt/dev
mount -t tmpfs -o mode=755 tmpfs /mnt/run
mkdir /mnt${CHECKOUT}
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory=/mnt${CHECKOUT}
if [ -n "$node" ]; then tar --create --directory="$node" bin/node bin/npm bin/npx include/node lib/node_modules/npm | tar --extract --directory=/mnt/usr/local; fi
cd /mnt
mkdir before
pivot_root . before
umount --lazy before
rmdir before
echo '${MADE}'
exec bash -c 'while :; do sleep infinity & wait; done'
`;

/** Why there can be none here; undefined when there can. */
export function freshMachineMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  return existsSync(MMDEBSTRAP) ? undefined : `${MMDEBSTRAP} is missing: apt install mmdebstrap`;
}

/**
 * A Debian on which nothing of ours was ever installed. It has files, processes and mounts of its own, and shares the kernel and the network of
 * this machine, from which it installs.
 */
export class FreshMachine {
  readonly #holder: ChildProcess;
  readonly #entered: readonly string[];

  private constructor(holder: ChildProcess, pid: number) {
    this.#holder = holder;
    const env = ['env', '-i', 'HOME=/root', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm', 'LANG=C.UTF-8', `NODE_EXTRA_CA_CERTS=${AUTHORITIES}`];
    this.#entered = ['nsenter', '--target', String(pid), '--mount', '--pid', '--ipc', `--wdns=${CHECKOUT}`, '--', ...env];
  }

  static async make(suite: Suite): Promise<FreshMachine> {
    const own = NODE_FROM[suite] === 'debian';
    const include = ['ca-certificates', ...(own ? ['nodejs', 'npm'] : [])].join(',');
    const command = ['--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child=KILL', '--', 'bash', '-c', MAKE, 'make', `--include=${include}`, suite];
    const holder = spawn('setpriv', command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, node: own ? '' : dirname(dirname(process.execPath)) } });
    for await (const line of createInterface({ input: holder.stdout })) {
      if (line !== MADE) continue;
      const children = await readFile(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8');
      return new FreshMachine(holder, Number(children.trim()));
    }
    throw new Error(`the machine could not be made: status ${holder.exitCode}`);
  }

  /** @returns standard output. */
  async run(command: readonly string[], timeoutMs: number): Promise<string> {
    return (await run([...this.#entered, ...command] as [string, ...string[]], { timeoutMs })).stdout;
  }

  /** A shell in the checkout, on a terminal. */
  openShell(env: Record<string, string>, limitMs: number): Screen {
    const words = [...this.#entered, ...Object.entries(env).map(([name, value]) => `${name}='${value}'`), 'bash', '--norc', '--noprofile', '-i'];
    return openScreen(words.join(' '), { PATH: process.env['PATH'], TERM: 'xterm' }, limitMs).screen;
  }

  /** Ends every process of it; its files were in memory. */
  async stop(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const ended = once(this.#holder, 'exit');
    this.#holder.kill('SIGKILL');
    await ended;
  }
}
