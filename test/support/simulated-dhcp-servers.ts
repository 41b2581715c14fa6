import type { Clock } from '../../common/clock.ts';
import type { DhcpServerFiles, DhcpServerListener, DhcpServers, DhcpServerState, LeaseText } from '../../node-daemon/drivers/dhcp-server.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';

interface SimulatedServer {
  readonly config: string;
  readonly configDigest: string;
  /** What it has read. */
  hosts: string;
  /** Noted after it was told; nobody knows in between. */
  hostsDigest: string | undefined;
  /** Its own table, by address; read from the file at its start. */
  readonly leases: Map<string, string>;
}

interface SimulatedFolder {
  leases: string | undefined;
  mark: string | undefined;
}

/** What a file takes, the end of a process, and dnsmasq from its start until it serves. */
const FILE_MS = 1;
const END_MS = 1;
const START_MS = 15;

/** Between dnsmasq's emptying of its lease file and the end of its writing. */
const LEASES_WRITTEN_MS = 1;

/** As in the real driver: a file that is being written is left alone for a moment. */
const SETTLE_MS = 100;

/** What one host's disk and process table hold of DHCP servers, whatever happens to the daemon. */
export class SimulatedDhcpHost {
  readonly running = new Map<number, SimulatedServer>();
  readonly folders = new Map<number, SimulatedFolder>();
  readonly listeners = new Set<DhcpServerListener>();
  onChange: (vni: number, what: 'started' | 'reloaded' | 'ended') => void = () => undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(vni: number, server: SimulatedServer): void {
    this.running.set(vni, server);
    this.onChange(vni, 'started');
  }

  /** The driver, or the release, ends it. */
  end(vni: number): void {
    if (this.running.delete(vni)) this.onChange(vni, 'ended');
  }

  /** A server dies by itself. */
  kill(vni: number): void {
    if (!this.running.has(vni)) return;
    this.end(vni);
    this.#clock.after(FILE_MS, () => {
      for (const listener of [...this.listeners]) listener.changed(vni);
    });
  }

  /**
   * A guest gets an address, or renews it: dnsmasq empties its file and writes it anew.
   * @param line as in a lease file; one for the same address is replaced.
   * @returns false when nobody serves.
   */
  grant(vni: number, line: string): boolean {
    const [folder, server] = [this.folders.get(vni), this.running.get(vni)];
    if (folder === undefined || server === undefined) return false;
    server.leases.set(line.split(' ')[2] ?? '', line);
    folder.leases = '';
    this.#clock.after(LEASES_WRITTEN_MS, () => (folder.leases = [...server.leases.values()].map((one) => `${one}\n`).join('')));
    this.#clock.after(SETTLE_MS, () => {
      for (const listener of [...this.listeners]) listener.leases(vni);
    });
    return true;
  }

  /** The host booted: its run directory is empty. */
  reset(): void {
    for (const vni of [...this.running.keys()]) this.end(vni);
    this.folders.clear();
  }
}

/** The driver of one daemon on such a host. With the clock of its daemon it ends in the middle of what it does. */
export class SimulatedDhcpServers implements DhcpServers {
  readonly #host: SimulatedDhcpHost;
  readonly #clock: Clock;
  readonly #own = new Set<DhcpServerListener>();

  constructor(host: SimulatedDhcpHost, clock: Clock) {
    this.#host = host;
    this.#clock = clock;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    for (const listener of this.#own) this.#host.listeners.delete(listener);
    this.#own.clear();
  }

  listen(listener: DhcpServerListener): () => void {
    this.#host.listeners.add(listener);
    this.#own.add(listener);
    return () => this.#host.listeners.delete(listener);
  }

  list(): readonly number[] {
    return [...new Set([...this.#host.folders.keys(), ...this.#host.running.keys()])];
  }

  files(vni: number): DhcpServerFiles {
    const folder = `/run/pvc/dhcp/${vni}`;
    return { pid: `${folder}/pid`, leases: `${folder}/leases`, hosts: `${folder}/hosts`, account: { user: 'dnsmasq', group: 'nogroup' } };
  }

  async state(vni: number): Promise<DhcpServerState | undefined> {
    await this.#after(FILE_MS);
    const server = this.#host.running.get(vni);
    return server === undefined ? undefined : { configDigest: server.configDigest, hostsDigest: server.hostsDigest };
  }

  /** In the order of the real one, so that a daemon that dies on the way leaves the same. */
  async launch(vni: number, texts: { config: string; hosts: string; leases?: { text: string; mark: string } | undefined }, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.end(vni);
    await this.#after(FILE_MS);
    const folder = this.#host.folders.get(vni) ?? { leases: '', mark: undefined };
    this.#host.folders.set(vni, folder);
    if (texts.leases !== undefined) {
      folder.mark = undefined;
      folder.leases = texts.leases.text;
      await this.markLeases(vni, texts.leases.mark);
    }
    signal?.throwIfAborted();
    const server: SimulatedServer = { config: texts.config, configDigest: textDigest(texts.config), hosts: texts.hosts, hostsDigest: undefined, leases: tableOf(folder.leases ?? '') };
    this.#host.start(vni, server);
    await this.#after(START_MS);
    server.hostsDigest = textDigest(texts.hosts);
  }

  async reloadHosts(vni: number, hosts: string): Promise<void> {
    const server = this.#host.running.get(vni);
    if (server === undefined) return;
    server.hostsDigest = undefined;
    await this.#after(FILE_MS);
    server.hosts = hosts;
    this.#host.onChange(vni, 'reloaded');
    await this.#after(FILE_MS);
    server.hostsDigest = textDigest(hosts);
  }

  async end(vni: number): Promise<void> {
    await this.#after(END_MS);
    this.#host.end(vni);
  }

  async remove(vni: number): Promise<void> {
    await this.end(vni);
    await this.#after(FILE_MS);
    this.#host.folders.delete(vni);
  }

  async readLeases(vni: number): Promise<LeaseText | undefined> {
    await this.#after(FILE_MS);
    const folder = this.#host.folders.get(vni);
    return folder?.leases === undefined ? undefined : { text: folder.leases, mark: folder.mark };
  }

  async markLeases(vni: number, mark: string): Promise<void> {
    await this.#after(FILE_MS);
    const folder = this.#host.folders.get(vni);
    if (folder !== undefined) folder.mark = mark;
  }

  #after(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(durationMs, resolve));
  }
}

function tableOf(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.split(' ')[2] ?? line, line]));
}
