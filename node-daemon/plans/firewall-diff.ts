import { FIREWALL_MARKS, FIREWALL_TABLE } from '../../common/domain/network.ts';
import type { FirewallFamily, ObservedChain, ObservedFirewall, ObservedTable } from '../drivers/firewall.ts';
import type { DesiredChain, DesiredElement, FirewallPart } from './firewall.ts';

/** One transaction. */
export interface FirewallChange {
  /** The network that it is for; undefined for what all have in common, and for what is left over. */
  readonly vni: number | undefined;
  /** Lines in nft's language. */
  readonly lines: readonly string[];
}

const FAMILIES: readonly FirewallFamily[] = ['inet', 'bridge'];

const tables = (verb: 'add' | 'delete'): string[] => FAMILIES.map((family) => `${verb} table ${family} ${FIREWALL_TABLE}`);

/** These lines stand at the head of every document: what exists already is left as it is. */
export const TABLES: readonly string[] = [...tables('add'), ...FAMILIES.map((family) => `add set ${family} ${FIREWALL_TABLE} ${FIREWALL_MARKS} { type ifname; }`)];

/** Both tables go. */
export const RESET: readonly string[] = [...tables('add'), ...tables('delete')];

/**
 * What makes the kernel's tables equal to the parts: first what all have in common, then what is left over, then each network. Whatever
 * else our tables hold goes away.
 */
export function diffFirewall(parts: readonly FirewallPart[], observed: ObservedFirewall): FirewallChange[] {
  const additions = parts.map((part) => ({ vni: part.vni, lines: additionsOf(part, observed) }));
  const common = additions.filter(({ vni }) => vni === undefined);
  const networks = additions.filter(({ vni }) => vni !== undefined);
  return [...common, { vni: undefined, lines: leftoversOf(parts, observed) }, ...networks].filter(({ lines }) => lines.length > 0);
}

/** The chain from nothing, or in place of what it holds. */
function chainLines(chain: DesiredChain): string[] {
  const at = placeOf(chain);
  const hook = chain.hook === undefined ? '' : ` { ${chain.hook} }`;
  return [`add chain ${at}${hook}`, `flush chain ${at}`, ...chain.rules.map((rule) => `add rule ${at} ${rule}`), ...markLines(chain)];
}

/** Rules more at the end, or one more at its place; undefined when it is another change. So rules behind thousands cost as much as the first. */
function insertionLines(chain: DesiredChain, held: ObservedChain): string[] | undefined {
  if (held.rules === undefined || held.ruleCount !== held.rules.length || chain.rules.length <= held.rules.length) return undefined;
  const before = held.rules;
  const at = placeOf(chain);
  const found = chain.rules.findIndex((rule, index) => rule !== before[index]);
  const [rule, ...rest] = chain.rules.slice(found);
  if (found === before.length) return [rule, ...rest].map((one) => `add rule ${at} ${one}`).concat(markLines(chain));
  if (chain.rules.length !== before.length + 1 || rest.some((next, index) => next !== before[found + index])) return undefined;
  return [`insert rule ${at} index ${found} ${rule}`, ...markLines(chain)];
}

/** An element's comment cannot be changed; what is added twice stays as it was. */
function markLines({ family, name, mark }: DesiredChain): string[] {
  const set = `element ${family} ${FIREWALL_TABLE} ${FIREWALL_MARKS}`;
  return [`add ${set} { "${name}" }`, `delete ${set} { "${name}" }`, `add ${set} { "${name}" comment "${mark}" }`];
}

function placeOf({ family, name }: Pick<DesiredChain, 'family' | 'name'>): string {
  return `${family} ${FIREWALL_TABLE} ${name}`;
}

/** What the kernel holds when all parts are in force. */
export function inForceAfter(parts: readonly FirewallPart[]): ObservedFirewall {
  const wanted = wantedNames(parts);
  const tableOf = (family: FirewallFamily): ObservedTable => {
    const chains = parts.flatMap((part) => part.chains).filter((chain) => chain.family === family);
    return {
      chains: new Map(chains.map(({ name, mark, rules }) => [name, { mark, rules, ruleCount: rules.length }])),
      marks: new Map(chains.map(({ name, mark }) => [name, mark])),
      sets: wanted.elements.get(family) ?? new Map(),
    };
  };
  return new Map(FAMILIES.map((family) => [family, tableOf(family)]));
}

function additionsOf(part: FirewallPart, observed: ObservedFirewall): string[] {
  const sets = part.sets.filter(({ family, name }) => observed.get(family)?.sets.has(name) !== true);
  const chains = part.chains.filter((chain) => !isInForce(chain, observed));
  const elements = part.elements.filter((element) => observed.get(element.family)?.sets.get(element.set)?.has(elementKey(element)) !== true);
  return [
    ...sets.map(({ family, name, kind, declaration }) => `add ${kind} ${family} ${FIREWALL_TABLE} ${name} { ${declaration} }`),
    ...chains.flatMap((chain) => changeLines(chain, observed)),
    ...elements.map(({ family, set, text }) => `add element ${family} ${FIREWALL_TABLE} ${set} { ${text} }`),
  ];
}

function changeLines(chain: DesiredChain, observed: ObservedFirewall): string[] {
  const held = observed.get(chain.family)?.chains.get(chain.name);
  return (held === undefined ? undefined : insertionLines(chain, held)) ?? chainLines(chain);
}

function isInForce(chain: DesiredChain, observed: ObservedFirewall): boolean {
  const held = observed.get(chain.family)?.chains.get(chain.name);
  return held?.mark === chain.mark && held.ruleCount === chain.rules.length;
}

/** Elements go before the chains that they lead to. */
function leftoversOf(parts: readonly FirewallPart[], observed: ObservedFirewall): string[] {
  const wanted = wantedNames(parts);
  const elements: string[] = [];
  const others: string[] = [];
  for (const [family, { chains, marks, sets }] of observed) {
    const at = `${family} ${FIREWALL_TABLE}`;
    const names = wanted.chains.get(family);
    const known = wanted.elements.get(family);
    const chainsGone = [...chains.keys()].filter((name) => names?.has(name) !== true);
    others.push(...chainsGone.map((name) => `flush chain ${at} ${name}`), ...chainsGone.map((name) => `delete chain ${at} ${name}`));
    const marksGone = [...marks.keys()].filter((name) => names?.has(name) !== true);
    elements.push(...marksGone.map((name) => `delete element ${at} ${FIREWALL_MARKS} { "${name}" }`));
    for (const [set, held] of sets) {
      const keep = known?.get(set);
      if (keep === undefined) others.push(`delete set ${at} ${set}`);
      else elements.push(...[...held].filter((key) => !keep.has(key)).map((key) => `delete element ${at} ${set} { ${quoted(key)} }`));
    }
  }
  return [...elements, ...others];
}

interface WantedNames {
  readonly chains: ReadonlyMap<FirewallFamily, ReadonlySet<string>>;
  readonly elements: ReadonlyMap<FirewallFamily, ReadonlyMap<string, ReadonlySet<string>>>;
}

function wantedNames(parts: readonly FirewallPart[]): WantedNames {
  const chains = new Map(FAMILIES.map((family) => [family, new Set<string>()]));
  const elements = new Map(FAMILIES.map((family) => [family, new Map<string, Set<string>>()]));
  for (const part of parts) {
    for (const { family, name } of part.chains) chains.get(family)?.add(name);
    for (const { family, name } of part.sets) elements.get(family)?.set(name, new Set());
  }
  for (const element of parts.flatMap((part) => part.elements)) elements.get(element.family)?.get(element.set)?.add(elementKey(element));
  return { chains, elements };
}

/** An element as a listing has it. */
function elementKey({ text }: Pick<DesiredElement, 'text'>): string {
  return text.replaceAll('"', '');
}

/** Interface names must be quoted; addresses must not. */
function quoted(key: string): string {
  return key.replace(/^(vmbr\d+|tap[0-9a-f]{12})\b/u, '"$1"');
}
