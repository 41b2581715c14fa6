import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import type { Logger } from '../../common/log.ts';
import type { Command, Run } from '../../common/process.ts';
import { makePassage, readOptional, unlinkOptional, writeAtomically } from './atomic-file.ts';
import { textDigest } from './text-digest.ts';
import { serviceAccount, type ServiceAccount } from './service-account.ts';
import { endServices, ServiceProcesses, type MarkOf, type RunningService } from './service-process.ts';

/** Debian's package makes the first; the second is everywhere. */
const USERS = ['unbound', 'nobody'];

const PROGRAM = 'unbound';

/** unbound answers in milliseconds; it takes a second or so for ten thousand new records. */
const CONTROL_TIMEOUT_MS = 30_000;

/** The one server's key among its processes. */
const KEY = 'dns';

/** Where the server works, and as whom. */
export interface DnsServerPlace {
  readonly directory: string;
  readonly user: string;
}

/** What the server answers for. */
export interface DnsContents {
  /** With a dot at the end. */
  readonly zones: ReadonlySet<string>;
  /** By name with a dot at the end: lines `name TTL IN TYPE DATA` with tabs between. */
  readonly records: ReadonlyMap<string, ReadonlySet<string>>;
}

export interface DnsChange {
  readonly zonesAdded: readonly string[];
  readonly zonesRemoved: readonly string[];
  /** All records of the name go, before anything else changes. */
  readonly namesRemoved: readonly string[];
  readonly recordsAdded: readonly string[];
}

/** The host's DNS server. It outlives the daemon. Each call may be repeated. */
export interface DnsServer {
  /** Finds what runs. Safe to call twice. */
  start(signal: AbortSignal): Promise<void>;
  /** Does not end the server. */
  stop(): Promise<void>;
  /** Told that the server has ended by itself, or was found. */
  listen(listener: () => void): () => void;
  place(): DnsServerPlace;
  /** Digest of the running server's configuration; undefined when none runs, or none that can be trusted. */
  configDigest(): Promise<string | undefined>;
  /**
   * Starts a server with this configuration and these contents, and ends the one before it once the new one answers.
   * @throws AppError 'component' with unbound's message when it cannot start; then the one before goes on.
   */
  launch(texts: { config: string; contents: string }, signal?: AbortSignal): Promise<void>;
  end(): Promise<void>;
  /** What the running server holds, without what it has by itself. */
  contents(signal?: AbortSignal): Promise<DnsContents>;
  change(change: DnsChange, signal?: AbortSignal): Promise<void>;
}

/** What a process held before it was told anything: unbound has zones of its own, such as localhost. */
const baseline = z.strictObject({ pid: z.int(), startTicks: z.int(), zones: z.array(z.string()), records: z.array(z.string()) });
type Baseline = z.infer<typeof baseline>;

function directoryOf(runDirectory: string): string {
  return join(runDirectory, 'dns');
}

/** The configuration's file stands in the command line with its digest: `-c DIRECTORY/unbound-DIGEST.conf`. */
function markOfServer(directory: string, argv: readonly string[]): { key: string; digest: string } | undefined {
  const [program = '', option, file = ''] = argv;
  if (argv.length !== 3 || basename(program) !== PROGRAM || option !== '-c' || !file.startsWith(`${directory}/`)) return undefined;
  const digest = /^unbound-([0-9a-f]+)\.conf$/u.exec(file.slice(directory.length + 1))?.[1];
  return digest === undefined ? undefined : { key: KEY, digest };
}

/** Ends the DNS server that a daemon with this run directory has left, also one that was killed. @returns how many there were. */
export async function releaseDnsServer(runDirectory: string, deps: { clock: Clock; log: Logger }): Promise<number> {
  return endServices((argv) => markOfServer(directoryOf(runDirectory), argv), deps);
}

/** Contents by name, of lines as `list_local_zones` and `list_local_data` print them. */
export function parseContents(zoneLines: readonly string[], recordLines: readonly string[]): DnsContents {
  const records = new Map<string, Set<string>>();
  for (const line of recordLines) {
    const name = line.slice(0, Math.max(0, line.indexOf('\t')));
    if (name === '') continue;
    const own = records.get(name);
    if (own === undefined) records.set(name, new Set([line]));
    else own.add(line);
  }
  return { zones: new Set(zoneLines.flatMap((line) => line.split(' ')[0] ?? [])), records };
}

export interface UnboundServerDeps {
  runDirectory: string;
  run: Run;
  clock: Clock;
  log: Logger;
  /** Starts unbound elsewhere, such as in a network namespace. */
  wrap?: (command: Command) => Command;
}

/** DNS by unbound, told of changes over its control socket. */
export class UnboundServer implements DnsServer {
  readonly #deps: UnboundServerDeps;
  readonly #directory: string;
  readonly #processes: ServiceProcesses;
  readonly #listeners = new Set<() => void>();
  #account: ServiceAccount | undefined;
  #unlisten: (() => void) | undefined;

  constructor(deps: UnboundServerDeps) {
    this.#deps = deps;
    this.#directory = directoryOf(deps.runDirectory);
    const { clock, log, wrap } = deps;
    const markOf: MarkOf = (argv, uid) => (uid === 0 || uid === this.#account?.uid ? markOfServer(this.#directory, argv) : undefined);
    this.#processes = new ServiceProcesses({ clock, log, wrap, markOf });
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#unlisten !== undefined) return;
    this.#account = await serviceAccount(this.#deps.run, USERS, signal);
    await makePassage(this.#directory);
    this.#unlisten = this.#processes.listen(() => {
      for (const listener of this.#listeners) listener();
    });
    await this.#processes.start(signal);
  }

  async stop(): Promise<void> {
    this.#unlisten?.();
    this.#unlisten = undefined;
    await this.#processes.stop();
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  place(): DnsServerPlace {
    return { directory: this.#directory, user: this.#account?.user ?? 'nobody' };
  }

  async configDigest(): Promise<string | undefined> {
    const service = await this.#only();
    return service === undefined || (await this.#readBaseline(service)) === undefined ? undefined : service.digest;
  }

  /**
   * Both have the same ports for a moment (SO_REUSEPORT), and each question goes to one of them. What comes to the old one in the
   * millisecond between its last look and its end is lost: unbound closes its ports after it has put away everything else.
   */
  async launch(texts: { config: string; contents: string }, signal?: AbortSignal): Promise<void> {
    const digest = textDigest(texts.config);
    // With the same files there cannot be two.
    if ((await this.#processes.running(KEY)).some((service) => service.digest === digest)) await this.#processes.end(KEY);
    const file = (kind: string): string => this.#file(digest, kind);
    for (const kind of ['baseline', 'control']) await unlinkOptional(file(kind));
    await writeAtomically(file('conf'), `${texts.config}${this.#ownLines(digest)}`, { mode: 0o600 });
    await writeAtomically(file('contents'), texts.contents, { mode: 0o600 });
    const service = await this.#processes.launch({ mark: { key: KEY, digest }, command: [PROGRAM, '-c', file('conf')], pidFile: file('pid'), stderrFile: file('stderr') }, signal);
    // It answers this only once it answers questions.
    await this.#writeBaseline(service, texts.contents, signal);
    await this.#processes.end(KEY, service);
    await this.#removeOthers(digest);
  }

  async end(): Promise<void> {
    await this.#processes.end(KEY);
  }

  async contents(signal?: AbortSignal): Promise<DnsContents> {
    const service = await this.#only();
    const own = service === undefined ? undefined : await this.#readBaseline(service);
    if (service === undefined || own === undefined) throw new AppError('component', 'the DNS server does not run');
    const { zones, records } = await this.#list(service, signal);
    const [ownZones, ownRecords] = [new Set(own.zones), new Set(own.records)];
    return parseContents(
      zones.filter((line) => !ownZones.has(line)),
      records.filter((line) => !ownRecords.has(line)),
    );
  }

  /** A zone takes its records along, and a record outside of any zone would make one: hence this order. */
  async change({ zonesAdded, zonesRemoved, namesRemoved, recordsAdded }: DnsChange, signal?: AbortSignal): Promise<void> {
    const service = await this.#only();
    if (service === undefined) throw new AppError('component', 'the DNS server does not run');
    const tell = (command: string, lines: readonly string[]): Promise<string> => (lines.length === 0 ? Promise.resolve('') : this.#control(service, command, { input: lines, signal }));
    await tell('local_datas_remove', namesRemoved);
    await tell('local_zones_remove', zonesRemoved);
    await tell('local_zones', zonesAdded.map((zone) => `${zone} static`));
    await tell('local_datas', recordsAdded);
  }

  async #only(): Promise<RunningService | undefined> {
    const running = await this.#processes.running(KEY);
    if (running.length > 1) await this.#processes.end(KEY);
    return running.length === 1 ? running[0] : undefined;
  }

  async #list(service: RunningService, signal: AbortSignal | undefined): Promise<{ zones: string[]; records: string[] }> {
    const zones = linesOf(await this.#control(service, 'list_local_zones', { signal }));
    return { zones, records: linesOf(await this.#control(service, 'list_local_data', { signal })) };
  }

  async #control(service: RunningService, command: string, { input, signal }: { input?: readonly string[]; signal?: AbortSignal | undefined }): Promise<string> {
    const args = ['unbound-control', '-c', this.#file(service.digest, 'conf'), command] as const;
    const options = { timeoutMs: CONTROL_TIMEOUT_MS, signal, ...(input === undefined ? {} : { input: `${input.join('\n')}\n` }) };
    return (await this.#deps.run(args, options)).stdout;
  }

  #file(digest: string, kind: string): string {
    return join(this.#directory, `unbound-${digest}.${kind}`);
  }

  /** What each process has of its own; its configuration's digest is without it. */
  #ownLines(digest: string): string {
    const [pid, contents, control] = ['pid', 'contents', 'control'].map((kind) => this.#file(digest, kind));
    const server = ['server:', `  pidfile: "${pid}"`, `  include: "${contents}"`];
    const remote = ['remote-control:', '  control-enable: yes', `  control-interface: "${control}"`, '  control-use-cert: no'];
    return `${[...server, ...remote].join('\n')}\n`;
  }

  async #removeOthers(digest: string): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (name.startsWith('unbound-') && !name.startsWith(`unbound-${digest}.`)) await unlinkOptional(join(this.#directory, name));
    }
  }

  /** Without it nobody can tell unbound's own zones from ours, so a process that has none is not trusted. */
  async #writeBaseline({ pid, startTicks, ...mark }: RunningService, given: string, signal: AbortSignal | undefined): Promise<void> {
    const { zones, records } = await this.#list({ pid, startTicks, ...mark }, signal);
    const ours = new Set([...given.matchAll(/^local-zone: "([^"]+)" static$/gmu)].map((match) => `${match[1]} static`));
    const oursData = new Set([...given.matchAll(/^local-data: "([^"]+)"$/gmu)].map((match) => withTabs(match[1] ?? '')));
    const value: Baseline = { pid, startTicks, zones: zones.filter((line) => !ours.has(line)), records: records.filter((line) => !oursData.has(line)) };
    await writeAtomically(this.#file(mark.digest, 'baseline'), JSON.stringify(value), { mode: 0o600 });
  }

  async #readBaseline({ pid, startTicks, digest }: RunningService): Promise<Baseline | undefined> {
    const text = await readOptional(this.#file(digest, 'baseline'));
    if (text === undefined) return undefined;
    const read = baseline.safeParse(parseJson(text)).data;
    return read?.pid === pid && read.startTicks === startTicks ? read : undefined;
  }
}

/** The four separators of a record are tabs where unbound prints it. */
function withTabs(record: string): string {
  const [name, ttl, family, type, ...data] = record.split(' ');
  return [name, ttl, family, type, data.join(' ')].join('\t');
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
