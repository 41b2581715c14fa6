import { watch, type FSWatcher } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock, Timer } from '../../common/clock.ts';
import { describeError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Command, Run } from '../../common/process.ts';
import { makePassage, readOptional, unlinkOptional, writeAtomically } from './atomic-file.ts';
import { hasErrno } from './errno.ts';
import { serviceAccount, type ServiceAccount } from './service-account.ts';
import { endServices, ServiceProcesses, type MarkOf, type RunningService } from './service-process.ts';
import { textDigest } from './text-digest.ts';

/** Debian's package dnsmasq-base makes the first; the second is everywhere. */
const USERS = ['dnsmasq', 'nobody'];

const PROGRAM = 'dnsmasq';

/** dnsmasq empties its lease file and writes it anew, within a millisecond or so; many leases may come at once. */
const SETTLE_MS = 100;

/** Files of one server. Its user may pass through the folder and read the reservations; all else is root's. */
export interface DhcpServerFiles {
  readonly pid: string;
  readonly leases: string;
  readonly hosts: string;
  readonly account: Pick<ServiceAccount, 'user' | 'group'>;
}

export interface DhcpServerState {
  /** Of the configuration with which it runs. */
  readonly configDigest: string;
  /** Of the reservations that it has read; undefined: nobody knows. */
  readonly hostsDigest: string | undefined;
}

/** What the lease file held when it was last compared with ZooKeeper. */
export interface LeaseText {
  readonly text: string;
  /** The mark given to `markLeases`, or undefined. */
  readonly mark: string | undefined;
}

export interface DhcpServerListener {
  /** The server of this network has ended by itself, or one was found. */
  changed(vni: number): void;
  /** Its lease file has changed, and was left alone for a moment since. */
  leases(vni: number): void;
}

/** The DHCP servers of this host, one for each network. They outlive the daemon. Each call may be repeated. */
export interface DhcpServers {
  /** Finds what runs. Safe to call twice. */
  start(signal: AbortSignal): Promise<void>;
  /** Ends no server. */
  stop(): Promise<void>;
  listen(listener: DhcpServerListener): () => void;
  /** Networks with a server or its files here. */
  list(): readonly number[];
  files(vni: number): DhcpServerFiles;
  /** The running server; undefined for none. */
  state(vni: number): Promise<DhcpServerState | undefined>;
  /**
   * Ends the network's server if there is one, and starts it with these texts; `leases` replaces the lease file if given.
   * @throws AppError 'component' with dnsmasq's message when it cannot start.
   */
  launch(vni: number, texts: { config: string; hosts: string; leases?: { text: string; mark: string } | undefined }, signal?: AbortSignal): Promise<void>;
  /** Has the running server read other reservations. Nothing happens without one. */
  reloadHosts(vni: number, hosts: string): Promise<void>;
  end(vni: number): Promise<void>;
  /** Ends the server and removes its files, the leases among them. */
  remove(vni: number): Promise<void>;
  /** @returns undefined without a file. */
  readLeases(vni: number): Promise<LeaseText | undefined>;
  /** Notes beside the lease file what it was compared with, until the file is replaced. */
  markLeases(vni: number, mark: string): Promise<void>;
}

/** Folder of all servers in the daemon's run directory. */
function directoryOf(runDirectory: string): string {
  return join(runDirectory, 'dhcp');
}

/** The configuration's file stands in the command line, with network and digest: `--conf-file=DIRECTORY/VNI/dnsmasq-DIGEST.conf`. */
function markOfServer(directory: string, argv: readonly string[]): { key: string; digest: string } | undefined {
  const prefix = `--conf-file=${directory}/`;
  const [program = '', file = ''] = argv;
  if (argv.length !== 2 || basename(program) !== PROGRAM || !file.startsWith(prefix)) return undefined;
  const { vni, digest } = /^(?<vni>\d+)\/dnsmasq-(?<digest>[0-9a-f]+)\.conf$/u.exec(file.slice(prefix.length))?.groups ?? {};
  return vni === undefined || digest === undefined ? undefined : { key: vni, digest };
}

/**
 * Ends every DHCP server that a daemon with this run directory has left, also one that was killed; its leases stay on the disk.
 * @returns how many networks had one.
 */
export async function releaseDhcpServers(runDirectory: string, deps: { clock: Clock; log: Logger }): Promise<number> {
  return endServices((argv) => markOfServer(directoryOf(runDirectory), argv), deps);
}

export interface DnsmasqServersDeps {
  runDirectory: string;
  run: Run;
  clock: Clock;
  log: Logger;
  /** Starts dnsmasq elsewhere, such as in a network namespace. */
  wrap?: (command: Command) => Command;
}

/** DHCP by dnsmasq. */
export class DnsmasqServers implements DhcpServers {
  readonly #deps: DnsmasqServersDeps;
  readonly #directory: string;
  readonly #processes: ServiceProcesses;
  readonly #listeners = new Set<DhcpServerListener>();
  readonly #watchers = new Map<number, FSWatcher>();
  readonly #settling = new Map<number, Timer>();
  /** Networks with a folder here. */
  readonly #folders = new Set<number>();
  #account: ServiceAccount | undefined;
  #unlisten: (() => void) | undefined;

  constructor(deps: DnsmasqServersDeps) {
    this.#deps = deps;
    this.#directory = directoryOf(deps.runDirectory);
    const { clock, log, wrap } = deps;
    const markOf: MarkOf = (argv, uid) => (uid === 0 || uid === this.#account?.uid ? markOfServer(this.#directory, argv) : undefined);
    this.#processes = new ServiceProcesses({ clock, log, wrap, markOf });
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#unlisten !== undefined) return;
    this.#account = await serviceAccount(this.#deps.run, USERS, signal);
    // dnsmasq reads reservations anew as its own user.
    await makePassage(this.#directory);
    this.#unlisten = this.#processes.listen((key) => this.#tell('changed', Number(key)));
    await this.#processes.start(signal);
    for (const name of await readdir(this.#directory)) if (/^[1-9]\d*$/u.test(name)) this.#folders.add(Number(name));
    for (const key of this.#processes.keys()) this.#watch(Number(key));
  }

  async stop(): Promise<void> {
    this.#unlisten?.();
    this.#unlisten = undefined;
    for (const vni of [...this.#watchers.keys()]) this.#unwatch(vni);
    await this.#processes.stop();
  }

  listen(listener: DhcpServerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list(): readonly number[] {
    return [...new Set([...this.#folders, ...this.#processes.keys().map(Number)])];
  }

  files(vni: number): DhcpServerFiles {
    const { user, group } = this.#account ?? { user: 'nobody', group: 'nogroup' };
    return { pid: this.#file(vni, 'pid'), leases: this.#file(vni, 'leases'), hosts: this.#file(vni, 'hosts'), account: { user, group } };
  }

  async state(vni: number): Promise<DhcpServerState | undefined> {
    const service = await this.#only(vni);
    if (service === undefined) return undefined;
    return { configDigest: service.digest, hostsDigest: await this.#readHostsDigest(vni, service) };
  }

  async launch(vni: number, texts: { config: string; hosts: string; leases?: { text: string; mark: string } | undefined }, signal?: AbortSignal): Promise<void> {
    await this.#processes.end(String(vni));
    const folder = join(this.#directory, String(vni));
    await makePassage(folder);
    this.#folders.add(vni);
    const digest = textDigest(texts.config);
    const config = this.#file(vni, `dnsmasq-${digest}.conf`);
    await this.#removeConfigs(vni);
    await writeAtomically(config, texts.config, { mode: 0o600 });
    await this.#writeHosts(vni, texts.hosts);
    if (texts.leases !== undefined) {
      await unlinkOptional(this.#file(vni, 'leases-mark'));
      await writeAtomically(this.#file(vni, 'leases'), texts.leases.text, { mode: 0o600 });
      await this.markLeases(vni, texts.leases.mark);
    }
    this.#unwatch(vni);
    this.#watch(vni);
    const options = { mark: { key: String(vni), digest }, command: [PROGRAM, `--conf-file=${config}`] as const, pidFile: this.files(vni).pid, stderrFile: this.#file(vni, 'stderr') };
    const service = await this.#processes.launch(options, signal);
    await this.#noteHosts(vni, service, texts.hosts);
  }

  async reloadHosts(vni: number, hosts: string): Promise<void> {
    const service = await this.#only(vni);
    if (service === undefined) return;
    await this.#writeHosts(vni, hosts);
    await this.#processes.hangUp(service);
    await this.#noteHosts(vni, service, hosts);
  }

  async end(vni: number): Promise<void> {
    await this.#processes.end(String(vni));
    this.#unwatch(vni);
  }

  async remove(vni: number): Promise<void> {
    await this.end(vni);
    await rm(join(this.#directory, String(vni)), { recursive: true, force: true });
    this.#folders.delete(vni);
  }

  async readLeases(vni: number): Promise<LeaseText | undefined> {
    const text = await readOptional(this.#file(vni, 'leases'));
    return text === undefined ? undefined : { text, mark: await readOptional(this.#file(vni, 'leases-mark')) };
  }

  async markLeases(vni: number, mark: string): Promise<void> {
    await writeAtomically(this.#file(vni, 'leases-mark'), mark, { mode: 0o600 });
  }

  #file(vni: number, name: string): string {
    return join(this.#directory, String(vni), name);
  }

  /** Two of one network are the trace of a daemon that was killed in the middle of a start: neither is trusted. */
  async #only(vni: number): Promise<RunningService | undefined> {
    const running = await this.#processes.running(String(vni));
    if (running.length > 1) await this.#processes.end(String(vni));
    return running.length === 1 ? running[0] : undefined;
  }

  async #removeConfigs(vni: number): Promise<void> {
    for (const name of await readdir(join(this.#directory, String(vni)))) {
      if (/^dnsmasq-.*\.conf/u.test(name)) await unlinkOptional(this.#file(vni, name));
    }
  }

  async #writeHosts(vni: number, hosts: string): Promise<void> {
    const gid = this.#account?.gid;
    await unlinkOptional(this.#file(vni, 'hosts-read'));
    await writeAtomically(this.#file(vni, 'hosts'), hosts, { mode: 0o640, ...(gid === undefined ? {} : { gid }) });
  }

  /** Which process has read which reservations: written after it was told, so that one that was not told is told again. */
  async #noteHosts(vni: number, service: RunningService, hosts: string): Promise<void> {
    await writeAtomically(this.#file(vni, 'hosts-read'), `${service.pid} ${service.startTicks} ${textDigest(hosts)}`, { mode: 0o600 });
  }

  async #readHostsDigest(vni: number, service: RunningService): Promise<string | undefined> {
    const [pid, ticks, digest] = ((await readOptional(this.#file(vni, 'hosts-read'))) ?? '').split(' ');
    return pid === String(service.pid) && ticks === String(service.startTicks) ? digest : undefined;
  }

  #watch(vni: number): void {
    if (this.#watchers.has(vni)) return;
    const folder = join(this.#directory, String(vni));
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => (name === 'leases' ? this.#leasesChanged(vni) : undefined));
      watcher.on('error', (error) => this.#deps.log.warn({ folder, why: describeError(error) }, 'leases are followed by the sweep only'));
      this.#watchers.set(vni, watcher);
    } catch (error) {
      // An adopted server whose files somebody removed: it is started anew by the reconciler, and its folder with it.
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
  }

  #unwatch(vni: number): void {
    this.#watchers.get(vni)?.close();
    this.#watchers.delete(vni);
    this.#settling.get(vni)?.cancel();
    this.#settling.delete(vni);
  }

  /** A bounded time after the first of some changes, so that a stream of them holds nothing up. */
  #leasesChanged(vni: number): void {
    if (this.#settling.has(vni)) return;
    const timer = this.#deps.clock.after(SETTLE_MS, () => {
      this.#settling.delete(vni);
      this.#tell('leases', vni);
    });
    this.#settling.set(vni, timer);
  }

  #tell(event: keyof DhcpServerListener, vni: number): void {
    for (const listener of this.#listeners) listener[event](vni);
  }
}
