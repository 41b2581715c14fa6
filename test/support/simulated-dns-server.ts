import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import { parseContents, type DnsChange, type DnsContents, type DnsServer, type DnsServerFiles } from '../../node-daemon/drivers/dns-server.ts';
import { AppError } from '../../common/errors.ts';

/** The DNS server of one simulated host: it goes on when the daemon ends, and knows what it was told. */
export class SimulatedDnsHost {
  running: { digest: string; zones: Set<string>; records: Map<string, Set<string>> } | undefined;
  readonly listeners = new Set<() => void>();

  kill(): void {
    if (this.running === undefined) return;
    this.running = undefined;
    for (const listener of this.listeners) listener();
  }
}

/** The driver of one daemon on such a host. */
export class SimulatedDnsServer implements DnsServer {
  readonly #host: SimulatedDnsHost;

  constructor(host: SimulatedDnsHost) {
    this.#host = host;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    this.#host.listeners.clear();
  }

  listen(listener: () => void): () => void {
    this.#host.listeners.add(listener);
    return () => this.#host.listeners.delete(listener);
  }

  files(): DnsServerFiles {
    const directory = '/run/pvc/dns';
    return { directory, pid: `${directory}/pid`, control: `${directory}/control`, contents: `${directory}/contents.conf`, user: 'unbound' };
  }

  async configDigest(): Promise<string | undefined> {
    return this.#host.running?.digest;
  }

  async launch(texts: { config: string; contents: string }, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#host.kill();
    const zones = [...texts.contents.matchAll(/^local-zone: "([^"]+)" static$/gmu)].map((match) => `${match[1]} static`);
    const records = [...texts.contents.matchAll(/^local-data: "(\S+) (\S+) (\S+) (\S+) ([^"]+)"$/gmu)].map((match) => match.slice(1).join('\t'));
    const { zones: names, records: data } = parseContents(zones, records);
    this.#host.running = { digest: textDigest(texts.config), zones: new Set(names), records: new Map([...data].map(([name, lines]) => [name, new Set(lines)])) };
  }

  async end(): Promise<void> {
    this.#host.kill();
  }

  async contents(): Promise<DnsContents> {
    const { zones, records } = this.#running();
    return { zones: new Set(zones), records: new Map([...records].map(([name, lines]) => [name, new Set(lines)])) };
  }

  /** In unbound's order; a zone takes its records along. */
  async change({ zonesAdded, zonesRemoved, namesRemoved, recordsAdded }: DnsChange): Promise<void> {
    const { zones, records } = this.#running();
    for (const name of namesRemoved) records.delete(name);
    for (const zone of zonesRemoved) {
      for (const name of [...records.keys()]) if (innermost(zones, name) === zone) records.delete(name);
      zones.delete(zone);
    }
    for (const zone of zonesAdded) zones.add(zone);
    for (const line of recordsAdded) {
      const name = line.slice(0, line.indexOf('\t'));
      records.set(name, (records.get(name) ?? new Set()).add(line));
    }
  }

  #running(): NonNullable<SimulatedDnsHost['running']> {
    if (this.#host.running === undefined) throw new AppError('component', 'the DNS server does not run');
    return this.#host.running;
  }
}

function innermost(zones: ReadonlySet<string>, name: string): string | undefined {
  return [...zones].filter((zone) => name === zone || name.endsWith(`.${zone}`)).toSorted((a, b) => b.length - a.length)[0];
}
