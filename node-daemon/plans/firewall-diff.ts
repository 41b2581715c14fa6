import { FIREWALL_TABLE } from '../../common/domain/network.ts';
import type { FirewallFamily, ObservedFirewall, ObservedTable } from '../drivers/firewall.ts';
import type { DesiredChain, DesiredElement, FirewallPart } from './firewall.ts';

/** One transaction. */
export interface FirewallChange {
  /** The network that it is for; undefined for what all have in common, and for what is left over. */
  readonly vni: number | undefined;
  /** Lines in nft's language. */
  readonly lines: readonly string[];
}

const FAMILIES: readonly FirewallFamily[] = ['inet', 'bridge'];

/** These lines may stand at the head of every document: what exists already is left as it is. */
export const TABLES: readonly string[] = FAMILIES.map((family) => `add table ${family} ${FIREWALL_TABLE}`);

/** Both tables go, to be made anew in the same document. */
export const RESET: readonly string[] = [...TABLES, ...FAMILIES.map((family) => `delete table ${family} ${FIREWALL_TABLE}`)];

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
export function chainLines(chain: DesiredChain): string[] {
  const at = `${chain.family} ${FIREWALL_TABLE} ${chain.name}`;
  const hook = chain.hook === undefined ? '' : ` { ${chain.hook} }`;
  return [`add chain ${at}${hook}`, `flush chain ${at}`, `add rule ${at} counter comment "${chain.mark}"`, ...chain.rules.map((rule) => `add rule ${at} ${rule}`)];
}

/** What the kernel holds when all parts are in force. */
export function inForceAfter(parts: readonly FirewallPart[]): ObservedFirewall {
  const wanted = wantedNames(parts);
  const chains = parts.flatMap((part) => part.chains);
  const tableOf = (family: FirewallFamily): ObservedTable => ({
    chains: new Map(chains.filter((chain) => chain.family === family).map((chain) => [chain.name, { mark: chain.mark, ruleCount: chain.rules.length + 1 }])),
    sets: wanted.elements.get(family) ?? new Map(),
  });
  return new Map(FAMILIES.map((family) => [family, tableOf(family)]));
}

function additionsOf(part: FirewallPart, observed: ObservedFirewall): string[] {
  const sets = part.sets.filter(({ family, name }) => observed.get(family)?.sets.has(name) !== true);
  const chains = part.chains.filter((chain) => !isInForce(chain, observed));
  const elements = part.elements.filter((element) => observed.get(element.family)?.sets.get(element.set)?.has(elementKey(element)) !== true);
  return [
    ...sets.map(({ family, name, kind, declaration }) => `add ${kind} ${family} ${FIREWALL_TABLE} ${name} { ${declaration} }`),
    ...chains.flatMap(chainLines),
    ...elements.map(({ family, set, text }) => `add element ${family} ${FIREWALL_TABLE} ${set} { ${text} }`),
  ];
}

function isInForce(chain: DesiredChain, observed: ObservedFirewall): boolean {
  const held = observed.get(chain.family)?.chains.get(chain.name);
  return held?.mark === chain.mark && held.ruleCount === chain.rules.length + 1;
}

/** Elements go before the chains that they lead to. */
function leftoversOf(parts: readonly FirewallPart[], observed: ObservedFirewall): string[] {
  const wanted = wantedNames(parts);
  const elements: string[] = [];
  const others: string[] = [];
  for (const [family, { chains, sets }] of observed) {
    const at = `${family} ${FIREWALL_TABLE}`;
    const names = wanted.chains.get(family);
    const known = wanted.elements.get(family);
    const chainsGone = [...chains.keys()].filter((name) => names?.has(name) !== true);
    others.push(...chainsGone.map((name) => `flush chain ${at} ${name}`), ...chainsGone.map((name) => `delete chain ${at} ${name}`));
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
export function elementKey({ text }: Pick<DesiredElement, 'text'>): string {
  return text.replaceAll('"', '');
}

/** Interface names must be quoted; addresses must not. */
function quoted(key: string): string {
  return key.replace(/^(vmbr\d+|tap[0-9a-f]{12})\b/u, '"$1"');
}
