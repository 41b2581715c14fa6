import { FIREWALL_TABLE } from '../../common/domain/network.ts';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, type Clock } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { NftSession } from '../../common/nft-session.ts';
import type { Converse, Follow, Run } from '../../common/process.ts';
import type { Firewall, FirewallFamily, FirewallFault, ObservedFirewall } from './firewall.ts';
import { parseFault, parseTables } from './nft-json.ts';

/** A thousand rules take 40 ms; many networks at once, on a busy host, take longer. */
const NFT_TIMEOUT_MS = 30_000;

/** A monitor that ended is started again after this, in milliseconds. */
const MONITOR_RETRY_MS = 1_000;

const FAMILIES: readonly FirewallFamily[] = ['inet', 'bridge'];

export interface NftFirewallDeps {
  run: Run;
  follow: Follow;
  converse: Converse;
  clock: Clock;
  log: Logger;
  /** A folder of root's, on tmpfs: documents are given to nft as files, because it cannot read the socket that Node gives as standard input. */
  directory: string;
}

/** The firewall by `nft`. */
export class NftFirewall implements Firewall {
  readonly #deps: NftFirewallDeps;
  readonly #session: NftSession;
  readonly #listeners = new Set<() => void>();
  #monitoring: AbortController | undefined;
  /** Given to nft so far; each is a file of its own. */
  #documents = 0;
  /** Transactions of our own that the monitor has not told of yet. */
  #ownUntold = 0;
  /** The transaction that the monitor is telling of touches our tables. */
  #touchesOurs = false;

  constructor(deps: NftFirewallDeps) {
    this.#deps = deps;
    this.#session = new NftSession({ ...deps, command: ['nft'] });
  }

  async list(signal?: AbortSignal): Promise<ObservedFirewall> {
    const texts = await Promise.all(FAMILIES.map((family) => this.#listTable(family, signal)));
    return parseTables(texts.filter((text) => text !== undefined));
  }

  async apply(document: string, signal?: AbortSignal): Promise<FirewallFault | undefined> {
    this.#documents += 1;
    const file = join(this.#deps.directory, `firewall-${this.#documents}.nft`);
    this.#ownUntold += 1;
    try {
      await writeFile(file, document, { mode: 0o600 });
      const { stderr } = await this.#session.ask(`include "${file}"`, { timeoutMs: NFT_TIMEOUT_MS, signal });
      if (!stderr.includes('Error:')) return undefined;
      this.#takeBack();
      return parseFault(stderr);
    } catch (error) {
      this.#takeBack();
      throw error;
    } finally {
      await rm(file, { force: true });
    }
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#monitoring === undefined) {
      this.#monitoring = new AbortController();
      void this.#monitor(this.#monitoring.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#monitoring?.abort();
      this.#monitoring = undefined;
    };
  }

  stop(): void {
    this.#session.close();
  }

  /** What was not carried out is not told of. */
  #takeBack(): void {
    this.#ownUntold = Math.max(0, this.#ownUntold - 1);
  }

  /** Undefined when there is no such table. */
  async #listTable(family: FirewallFamily, signal: AbortSignal | undefined): Promise<string | undefined> {
    try {
      const { stdout } = await this.#deps.run(['nft', '--json', 'list', 'table', family, FIREWALL_TABLE], { timeoutMs: NFT_TIMEOUT_MS, signal });
      return stdout;
    } catch (error) {
      if (isAppError(error, 'component') && String(error.details['stderr']).includes('No such file or directory')) return undefined;
      throw error;
    }
  }

  /** Tells of the transactions of others; one of ours is told of once, and is taken off the count. What is missed, the sweep finds. */
  async #monitor(signal: AbortSignal): Promise<void> {
    const ours = new RegExp(` (inet|bridge) ${FIREWALL_TABLE}\\b`, 'u');
    while (!signal.aborted) {
      this.#ownUntold = 0;
      try {
        await this.#deps.follow(['nft', 'monitor'], { signal, onLine: (line) => this.#heard(line, ours) });
      } catch (error) {
        this.#deps.log.warn({ why: describeError(error) }, 'changes of the packet filter cannot be followed; the sweep finds them');
      }
      if (signal.aborted) return;
      for (const listener of this.#listeners) listener();
      await delay(this.#deps.clock, MONITOR_RETRY_MS, signal).catch(() => undefined);
    }
  }

  /** A transaction's changes come as lines, and then one that says that it is over. */
  #heard(line: string, ours: RegExp): void {
    if (ours.test(line)) this.#touchesOurs = true;
    if (!line.startsWith('# new generation') || !this.#touchesOurs) return;
    this.#touchesOurs = false;
    if (this.#ownUntold > 0) this.#ownUntold -= 1;
    else for (const listener of this.#listeners) listener();
  }
}
