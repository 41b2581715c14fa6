import type { Clock } from '../../common/clock.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import { parseContents, type DnsChange, type DnsContents, type DnsServer, type DnsServerPlace } from '../../node-daemon/drivers/dns-server.ts';
import { AppError } from '../../common/errors.ts';

/** What a call of unbound-control takes, and unbound from its start until it answers. */
const CALL_MS = 2;
const START_MS = 20;

/** The DNS server of one simulated host: it goes on when the daemon ends, and knows what it was told. */
export class SimulatedDnsHost {
  running: { digest: string; zones: Set<string>; records: Map<string, Set<string>> } | undefined;
  readonly listeners = new Set<() => void>();
  onChange: (what: 'started' | 'ended') => void = () => undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(server: NonNullable<SimulatedDnsHost['running']>): void {
    this.running = server;
    this.onChange('started');
  }

  /** The driver, or the release, ends it. */
  end(): void {
    if (this.running === undefined) return;
    this.running = undefined;
    this.onChange('ended');
  }

  /** It dies by itself. */
  kill(): void {
    if (this.running === undefined) return;
    this.end();
    this.#clock.after(CALL_MS, () => {
      for (const listener of [...this.listeners]) listener();
    });
  }
}

/** The driver of one daemon on such a host. With the clock of its daemon it ends in the middle of what it does. */
export class SimulatedDnsServer implements DnsServer {
  readonly #host: SimulatedDnsHost;
  readonly #clock: Clock;
  readonly #own = new Set<() => void>();

  constructor(host: SimulatedDnsHost, clock: Clock) {
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

  listen(listener: () => void): () => void {
    this.#host.listeners.add(listener);
    this.#own.add(listener);
    return () => this.#host.listeners.delete(listener);
  }

  place(): DnsServerPlace {
    return { directory: '/run/pvc/dns', user: 'unbound' };
  }

  async configDigest(): Promise<string | undefined> {
    await this.#after(CALL_MS);
    return this.#host.running?.digest;
  }

  async launch(texts: { config: string; contents: string }, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const zones = [...texts.contents.matchAll(/^local-zone: "([^"]+)" static$/gmu)].map((match) => `${match[1]} static`);
    const records = [...texts.contents.matchAll(/^local-data: "(\S+) (\S+) (\S+) (\S+) ([^"]+)"$/gmu)].map((match) => match.slice(1).join('\t'));
    const { zones: names, records: data } = parseContents(zones, records);
    await this.#after(START_MS);
    signal?.throwIfAborted();
    // The one before has answered until now.
    this.#host.start({ digest: textDigest(texts.config), zones: new Set(names), records: new Map([...data].map(([name, lines]) => [name, new Set(lines)])) });
  }

  async end(): Promise<void> {
    await this.#after(CALL_MS);
    this.#host.end();
  }

  async contents(): Promise<DnsContents> {
    await this.#after(CALL_MS);
    const { zones, records } = this.#running();
    return { zones: new Set(zones), records: new Map([...records].map(([name, lines]) => [name, new Set(lines)])) };
  }

  /** In unbound's order; a zone takes its records along. */
  async change({ zonesAdded, zonesRemoved, namesRemoved, recordsAdded }: DnsChange): Promise<void> {
    await this.#after(CALL_MS);
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

  #after(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(durationMs, resolve));
  }

  #running(): NonNullable<SimulatedDnsHost['running']> {
    if (this.#host.running === undefined) throw new AppError('component', 'the DNS server does not run');
    return this.#host.running;
  }
}

function innermost(zones: ReadonlySet<string>, name: string): string | undefined {
  return [...zones].filter((zone) => name === zone || name.endsWith(`.${zone}`)).toSorted((a, b) => b.length - a.length)[0];
}
