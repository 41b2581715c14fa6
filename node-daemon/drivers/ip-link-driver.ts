import { delay, type Clock } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import { Gathered } from '../../common/gathered.ts';
import type { Logger } from '../../common/log.ts';
import type { Follow, Run } from '../../common/process.ts';
import { batchFailures, bridgeLine, ipLines, linkOfEvent, parseFdb, parseLinks } from './ip-link-text.ts';
import { isForwarding, LINK_GROUP, type FdbEntry, type HostLinks, type LinkChange, type LinkDriver, type LinkFailure, type LinkListener } from './link.ts';

/** Netlink answers in milliseconds; with thousands of lines, and the kernel's lock held by somebody who removes links, in seconds. */
const IP_TIMEOUT_MS = 60_000;

/** A monitor that ended is started again after this. */
const MONITOR_REST_MS = 1_000;

/** Forwarding tables asked for one by one; beyond it one listing of all is quicker. */
const TABLES_ALONE_MAX = 3;

/** Links that are about to be removed: the kernel removes a group in half the time that its members take one by one. */
const DOOMED_GROUP = LINK_GROUP + 1;

/** The kernel's lock is held for the removal of a whole group, about 15 ms for each link: nobody else's change should wait much longer. */
const REMOVED_AT_ONCE_MAX = 32;

const FILTER_SETTINGS = ['iptables', 'ip6tables', 'arptables'].map((table) => `net.bridge.bridge-nf-call-${table}`);

/** Links by iproute2: `ip` and `bridge` in batches, and `ip monitor` for the events. */
export class IpLinkDriver implements LinkDriver {
  readonly #run: Run;
  readonly #follow: Follow;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listeners = new Set<LinkListener>();
  readonly #listings: Gathered<readonly string[], HostLinks>;
  readonly #changes: Gathered<readonly LinkChange[], readonly LinkFailure[]>;
  #ending: AbortController | undefined;
  #monitor: Promise<void> | undefined;

  constructor(deps: { run: Run; follow: Follow; clock: Clock; log: Logger }) {
    this.#run = deps.run;
    this.#follow = deps.follow;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#listings = new Gathered(async (requests) => {
      const listed = await this.#list([...new Set(requests.flat())]);
      return requests.map(() => listed);
    });
    this.#changes = new Gathered<readonly LinkChange[], readonly LinkFailure[]>(async (requests) => {
      const failures = await this.#apply(requests.flat());
      return requests.map((changes) => changes.flatMap((change) => failures.get(change) ?? []));
    });
  }

  async start(): Promise<void> {
    if (this.#ending !== undefined) return;
    this.#ending = new AbortController();
    this.#monitor = this.#watch(this.#ending.signal);
  }

  async stop(): Promise<void> {
    this.#ending?.abort();
    this.#ending = undefined;
    await this.#monitor;
    this.#monitor = undefined;
  }

  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list(devices: readonly string[]): Promise<HostLinks> {
    return this.#listings.ask(devices);
  }

  async apply(changes: readonly LinkChange[]): Promise<readonly LinkFailure[]> {
    return changes.length === 0 ? [] : this.#changes.ask(changes);
  }

  async remove(names: readonly string[]): Promise<void> {
    for (let from = 0; from < names.length; from += REMOVED_AT_ONCE_MAX) {
      const doomed = names.slice(from, from + REMOVED_AT_ONCE_MAX);
      await this.#batch('ip', doomed.map((name) => `link set dev ${name} group ${DOOMED_GROUP}`));
      const failures = await this.#batch('ip', [`link delete group ${DOOMED_GROUP}`]);
      const why = failures.get(1);
      // None of them was there any more.
      if (why !== undefined && !/cannot find device|no such device/iu.test(why)) throw new AppError('component', 'links could not be removed', { names: doomed, why });
    }
  }

  async keepBridgesOutOfFilter(): Promise<boolean> {
    const { stdout } = await this.#run(['sysctl', '-e', ...FILTER_SETTINGS], { timeoutMs: IP_TIMEOUT_MS });
    const wrong = stdout.split('\n').flatMap((line) => /^(net\.bridge\.\S+) = [^0]/u.exec(line)?.[1] ?? []);
    if (wrong.length === 0) return false;
    await this.#run(['sysctl', '-qw', ...wrong.map((name) => `${name}=0`)], { timeoutMs: IP_TIMEOUT_MS });
    return true;
  }

  async #list(devices: readonly string[]): Promise<HostLinks> {
    const { stdout } = await this.#run(['ip', '-json', '-details', 'link', 'show'], { timeoutMs: IP_TIMEOUT_MS });
    const found = parseLinks(stdout);
    const there = devices.filter((device) => found.links.get(device)?.vxlan !== undefined);
    return { ...found, fdb: await this.#tables(there) };
  }

  async #tables(devices: readonly string[]): Promise<ReadonlyMap<string, readonly FdbEntry[]>> {
    if (devices.length === 0) return new Map();
    if (devices.length <= TABLES_ALONE_MAX) return new Map((await Promise.all(devices.map((device) => this.#table(device)))).flatMap((one) => [...one]));
    const { stdout } = await this.#run(['bridge', '-json', 'fdb', 'show'], { timeoutMs: IP_TIMEOUT_MS });
    return parseFdb(stdout);
  }

  async #table(device: string): Promise<ReadonlyMap<string, readonly FdbEntry[]>> {
    try {
      const { stdout } = await this.#run(['bridge', '-json', 'fdb', 'show', 'dev', device], { timeoutMs: IP_TIMEOUT_MS });
      return parseFdb(stdout, device);
    } catch (error) {
      // It went between the two listings; whoever asked is told by its event.
      if (isAppError(error, 'component') && JSON.stringify(error.details).includes('Cannot find device')) return new Map();
      throw error;
    }
  }

  /** Made first, then shut to the host's own IPv6, then put together and up, so that the host never speaks there; forwarding at the end. */
  async #apply(changes: readonly LinkChange[]): Promise<ReadonlyMap<LinkChange, LinkFailure>> {
    const failures = new Map<LinkChange, LinkFailure>();
    const isMaking = ({ do: verb }: LinkChange): boolean => verb === 'remove' || verb.startsWith('add-');
    const links = changes.filter((change) => !isForwarding(change));
    await this.#lines('ip', links.filter(isMaking), failures);
    await this.#silence(links.flatMap((change) => (change.do === 'silence' ? [change.name] : [])));
    await this.#lines('ip', links.filter((change) => !isMaking(change)), failures);
    await this.#lines('bridge', changes.filter(isForwarding), failures);
    return failures;
  }

  async #lines(program: 'ip' | 'bridge', changes: readonly LinkChange[], failures: Map<LinkChange, LinkFailure>): Promise<void> {
    const lines = changes.flatMap((change) => (program === 'ip' ? ipLines(change) : [bridgeLine(change) ?? []].flat()).map((text) => ({ change, text })));
    const failed = await this.#batch(program, lines.map(({ text }) => text));
    for (const [number, why] of failed) {
      const change = lines[number - 1]?.change;
      if (change !== undefined) failures.set(change, { change, why });
    }
  }

  /** @returns what was said of the lines that failed, by number. */
  async #batch(program: 'ip' | 'bridge', lines: readonly string[]): Promise<ReadonlyMap<number, string>> {
    if (lines.length === 0) return new Map();
    try {
      await this.#run([program, '-force', '-batch', '-'], { timeoutMs: IP_TIMEOUT_MS, input: `${lines.join('\n')}\n` });
      return new Map();
    } catch (error) {
      const failures = isAppError(error, 'component') && typeof error.details['stderr'] === 'string' ? batchFailures(error.details['stderr']) : new Map<number, string>();
      if (failures.size === 0) throw error;
      return failures;
    }
  }

  /** What is missing, because the link is or because the kernel has no IPv6, needs no silence. */
  async #silence(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const settings = names.flatMap((name) => ['accept_ra=0', 'autoconf=0'].map((setting) => `net.ipv6.conf.${name}.${setting}`));
    await this.#run(['sysctl', '-eqw', ...settings], { timeoutMs: IP_TIMEOUT_MS });
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#follow(['ip', '-oneline', 'monitor', 'link', 'address'], { signal, onLine: (line) => this.#tell(line) });
        if (!signal.aborted) this.#log.warn({}, 'the monitor of links ended and is started again');
      } catch (error) {
        this.#log.warn({ why: describeError(error) }, 'the monitor of links failed and is started again');
      }
      await delay(this.#clock, MONITOR_REST_MS, signal).catch((error: unknown) => {
        if (!isAppError(error, 'cancelled')) throw error;
      });
      if (!signal.aborted) for (const listener of [...this.#listeners]) listener.missed?.();
    }
  }

  #tell(line: string): void {
    const name = linkOfEvent(line);
    if (name === undefined) return;
    for (const listener of [...this.#listeners]) listener.link?.(name);
  }
}
