import type { DhcpServerFiles, DhcpServerListener, DhcpServers, DhcpServerState, LeaseText } from '../../node-daemon/drivers/dhcp-server.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';

interface SimulatedServer {
  configDigest: string;
  hostsDigest: string;
}

interface SimulatedFolder {
  leases: string | undefined;
  mark: string | undefined;
}

/** What one host's disk and process table hold of DHCP servers, whatever happens to the daemon. */
export class SimulatedDhcpHost {
  readonly running = new Map<number, SimulatedServer>();
  readonly folders = new Map<number, SimulatedFolder>();
  readonly listeners = new Set<DhcpServerListener>();

  /** A server dies by itself. */
  kill(vni: number): void {
    if (this.running.delete(vni)) for (const listener of this.listeners) listener.changed(vni);
  }

  /** A guest got an address, as dnsmasq writes it. */
  grant(vni: number, line: string): void {
    const folder = this.folders.get(vni);
    if (folder === undefined || !this.running.has(vni)) return;
    folder.leases = `${folder.leases ?? ''}${line}\n`;
    for (const listener of this.listeners) listener.leases(vni);
  }

  /** The host booted: its run directory is empty. */
  reset(): void {
    this.running.clear();
    this.folders.clear();
  }
}

/** The driver of one daemon on such a host. */
export class SimulatedDhcpServers implements DhcpServers {
  readonly #host: SimulatedDhcpHost;
  readonly #own = new Set<DhcpServerListener>();

  constructor(host: SimulatedDhcpHost) {
    this.#host = host;
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
    return this.#host.running.get(vni);
  }

  async launch(vni: number, texts: { config: string; hosts: string; leases?: { text: string; mark: string } | undefined }, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.end(vni);
    const before = this.#host.folders.get(vni);
    const { text, mark } = texts.leases ?? { text: before?.leases ?? '', mark: before?.mark };
    this.#host.folders.set(vni, { leases: text, mark });
    this.#host.running.set(vni, { configDigest: textDigest(texts.config), hostsDigest: textDigest(texts.hosts) });
  }

  async reloadHosts(vni: number, hosts: string): Promise<void> {
    const server = this.#host.running.get(vni);
    if (server !== undefined) server.hostsDigest = textDigest(hosts);
  }

  async end(vni: number): Promise<void> {
    this.#host.kill(vni);
  }

  async remove(vni: number): Promise<void> {
    await this.end(vni);
    this.#host.folders.delete(vni);
  }

  async readLeases(vni: number): Promise<LeaseText | undefined> {
    const folder = this.#host.folders.get(vni);
    return folder?.leases === undefined ? undefined : { text: folder.leases, mark: folder.mark };
  }

  async markLeases(vni: number, mark: string): Promise<void> {
    const folder = this.#host.folders.get(vni);
    if (folder !== undefined) folder.mark = mark;
  }
}
