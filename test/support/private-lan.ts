import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Command, type Run } from '../../common/process.ts';

const LIMIT_MS = 10_000;

/** Why the tests in network namespaces cannot run here; undefined when they can. */
export function missingForLan(programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  return ['/usr/bin/unshare', '/usr/bin/nsenter', '/usr/bin/ip', ...programs].find((file) => !existsSync(file));
}

/** A network namespace that ends with this process: its holder reads our end of a pipe. */
export class Namespace {
  readonly #holder: ChildProcess;

  constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async make(): Promise<Namespace> {
    const holder = spawn('/usr/bin/unshare', ['--net', '--', '/bin/sh', '-c', 'echo ready; read -r _'], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (holder.stdout === null) throw new Error('no output');
    await once(holder.stdout, 'data');
    const made = new Namespace(holder);
    if (readlinkSync(made.path) === readlinkSync('/proc/self/ns/net')) throw new Error("refused: this is the machine's own network namespace");
    await made.ip('link set lo up');
    return made;
  }

  get path(): string {
    return `/proc/${String(this.#holder.pid)}/ns/net`;
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  readonly wrap = (command: Command): Command => ['/usr/bin/nsenter', `--net=${this.path}`, '--', ...command];

  readonly run: Run = (command, options) => run(this.wrap(command), options);

  /** One line for `ip`. */
  async ip(line: string): Promise<string> {
    return (await this.run(['/usr/bin/ip', ...line.split(' ')] as unknown as Command, { timeoutMs: LIMIT_MS })).stdout;
  }

  async sysctl(...settings: readonly string[]): Promise<void> {
    await this.run(['sysctl', '-qw', ...settings], { timeoutMs: LIMIT_MS });
  }

  async end(): Promise<void> {
    this.#holder.kill('SIGKILL');
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) await once(this.#holder, 'exit');
  }
}

/** A host with bridges, guests plugged into them, and a folder; all of it goes with `end`. */
export class PrivateLan {
  readonly host: Namespace;
  readonly folder: string;
  readonly #guests: Namespace[] = [];

  constructor(host: Namespace, folder: string) {
    this.host = host;
    this.folder = folder;
  }

  static async make(): Promise<PrivateLan> {
    const folder = await mkdtemp(join(tmpdir(), 'pvc-lan-'));
    // Servers work as users of their own.
    await chmod(folder, 0o711);
    return new PrivateLan(await Namespace.make(), folder);
  }

  /** Addresses with their prefix lengths. */
  async addBridge(name: string, addresses: readonly string[]): Promise<void> {
    await this.host.ip(`link add ${name} type bridge forward_delay 0 mcast_snooping 0`);
    await this.host.sysctl(`net.ipv6.conf.${name}.accept_dad=0`);
    await this.host.ip(`link set ${name} up`);
    for (const address of addresses) await this.host.ip(`address add ${address} dev ${name}`);
  }

  /** A guest whose eth0 is plugged into the bridge. */
  async addGuest(bridge: string, mac: string): Promise<Namespace> {
    const guest = await Namespace.make();
    this.#guests.push(guest);
    const port = `p${this.#guests.length}`;
    await this.host.ip(`link add ${port} type veth peer name eth0 address ${mac} netns ${guest.pid}`);
    await guest.sysctl('net.ipv6.conf.eth0.accept_dad=0', 'net.ipv6.conf.eth0.accept_ra=2');
    await this.host.ip(`link set ${port} master ${bridge} up`);
    await guest.ip('link set eth0 up');
    return guest;
  }

  async file(name: string, text: string, mode = 0o644): Promise<string> {
    const file = join(this.folder, name);
    await writeFile(file, text, { mode });
    return file;
  }

  async end(): Promise<void> {
    for (const one of [...this.#guests, this.host]) await one.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}
