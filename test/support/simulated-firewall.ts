import { FIREWALL_MARKS, FIREWALL_TABLE } from '../../common/domain/network.ts';
import type { Firewall, FirewallFamily, FirewallFault, ObservedFirewall, ObservedTable } from '../../node-daemon/drivers/firewall.ts';

interface Table {
  readonly chains: Map<string, string[]>;
  readonly sets: Map<string, Set<string>>;
}

/** What a document does to the tables, by its first words. Everything is on one line each, as our plans write it. */
const LINE = /^(add|insert|delete|flush) (table|chain|rule|set|map|element) (inet|bridge) (\S+)(?: (\S+))?(?: (.*))?$/u;

/** A packet filter in memory: it understands the part of nft's language that our plans use, and refuses rules with the word `bogus`. */
export class SimulatedFirewall implements Firewall {
  #tables = new Map<FirewallFamily, Table>();
  readonly #listeners = new Set<() => void>();
  /** Transactions carried out. */
  applied = 0;

  async list(): Promise<ObservedFirewall> {
    await Promise.resolve();
    return new Map([...this.#tables].map(([family, table]) => [family, observe(table)]));
  }

  async apply(document: string): Promise<FirewallFault | undefined> {
    await Promise.resolve();
    const next = new Map([...this.#tables].map(([family, { chains, sets }]) => [family, copyOf(chains, sets)]));
    for (const [at, line] of document.trimEnd().split('\n').entries()) {
      const why = takeLine(next, line);
      if (why !== undefined) return { line: at + 1, message: why };
    }
    this.#tables = next;
    this.applied += 1;
    return undefined;
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** It has started nothing. */
  stop(): void {}

  /** As though a person had run nft. */
  async tamper(document: string): Promise<void> {
    const fault = await this.apply(document);
    if (fault !== undefined) throw new Error(fault.message);
    this.applied -= 1;
    for (const listener of this.#listeners) listener();
  }

  /** The host booted. */
  reset(): void {
    this.#tables = new Map();
  }

  chains(family: FirewallFamily): readonly string[] {
    return [...(this.#tables.get(family)?.chains.keys() ?? [])];
  }

  /** Rules of a chain; undefined when there is no such chain. */
  rulesOf(family: FirewallFamily, chain: string): readonly string[] | undefined {
    return this.#tables.get(family)?.chains.get(chain);
  }
}

function observe({ chains, sets }: Table): ObservedTable {
  const marks = new Map([...(sets.get(FIREWALL_MARKS) ?? [])].map((element) => element.split(' comment ') as [string, string]));
  return {
    chains: new Map([...chains].map(([name, rules]) => [name, { mark: marks.get(name), ruleCount: rules.length }])),
    marks,
    sets: new Map([...sets].filter(([name]) => name !== FIREWALL_MARKS).map(([name, held]) => [name, new Set(held)])),
  };
}

function copyOf(chains: Table['chains'], sets: Table['sets']): Table {
  return { chains: new Map([...chains].map(([name, rules]) => [name, [...rules]])), sets: new Map([...sets].map(([name, held]) => [name, new Set(held)])) };
}

/** @returns why it is refused. */
function takeLine(tables: Map<FirewallFamily, Table>, line: string): string | undefined {
  const [, verb, what, family, table, name, rest] = LINE.exec(line) ?? [];
  if ((family !== 'inet' && family !== 'bridge') || table !== FIREWALL_TABLE || /\bbogus\b/u.test(rest ?? '')) return 'syntax error';
  if (what === 'table') {
    if (verb === 'delete') return tables.delete(family) ? undefined : 'No such file or directory';
    if (!tables.has(family)) tables.set(family, { chains: new Map(), sets: new Map() });
    return undefined;
  }
  const into = tables.get(family);
  if (into === undefined || name === undefined) return 'No such file or directory';
  return what === 'chain' || what === 'rule' ? takeChain(into, `${verb ?? ''} ${what}`, name, rest) : takeSet(into, `${verb ?? ''} ${what ?? ''}`, name, rest);
}

function takeChain(table: Table, action: string, name: string, rest: string | undefined): string | undefined {
  const rules = table.chains.get(name);
  if (action === 'add chain') {
    table.chains.set(name, rules ?? []);
    return undefined;
  }
  if (rules === undefined) return 'No such file or directory';
  if (action === 'flush chain') rules.length = 0;
  else if (action === 'add rule') rules.push(rest ?? '');
  else if (action === 'insert rule') rules.splice(Number(/^index (\d+) /u.exec(rest ?? '')?.[1]), 0, (rest ?? '').replace(/^index \d+ /u, ''));
  else if ([...table.sets.values()].some((held) => [...held].some((key) => key.endsWith(` ${name}`)))) return 'Device or resource busy';
  else table.chains.delete(name);
  return undefined;
}

function takeSet(table: Table, action: string, name: string, rest: string | undefined): string | undefined {
  const held = table.sets.get(name);
  if (action === 'add set' || action === 'add map') {
    table.sets.set(name, held ?? new Set());
    return undefined;
  }
  if (held === undefined) return 'No such file or directory';
  if (action === 'delete set') return table.sets.delete(name) ? undefined : 'No such file or directory';
  const key = (rest ?? '').replaceAll(/[{}"]/gu, '').trim();
  // An element is one whatever its comment says.
  const same = [...held].find((one) => one.split(' comment ')[0] === key.split(' comment ')[0]);
  if (action === 'add element') held.add(same ?? key);
  else if (same === undefined || !held.delete(same)) return 'No such file or directory';
  return undefined;
}
