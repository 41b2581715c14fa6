import { FIREWALL_MARKS, FIREWALL_TABLE } from '../../common/domain/network.ts';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { parseJson } from '../../common/json.ts';
import type { FirewallFamily, FirewallFault, ObservedChain, ObservedFirewall, ObservedTable } from './firewall.ts';

/** A part of an element: text, a prefix, or the parts of a concatenation (libnftables-json(5)). */
const scalar = z.union([z.string(), z.number().transform(String), z.looseObject({ prefix: z.object({ addr: z.string(), len: z.int() }) }).transform(({ prefix }) => `${prefix.addr}/${prefix.len}`)]);
const concatenation = z.looseObject({ concat: z.array(scalar) }).transform(({ concat }) => concat.join(' . '));
const key = z.union([scalar, concatenation, z.looseObject({ elem: z.looseObject({ val: z.union([scalar, concatenation]) }) }).transform(({ elem }) => elem.val)]);
/** `{"goto": {"target": "in-7"}}`, `{"drop": null}`. */
const verdict = z.record(z.string(), z.object({ target: z.string() }).nullable()).transform((told) => Object.entries(told).map(([kind, to]) => (to === null ? kind : `${kind} ${to.target}`)).join(' '));
const element = z.union([key, z.tuple([key, verdict]).transform(([from, to]) => `${from} : ${to}`)]);

const place = { family: z.string(), table: z.string() };
/** `timeout` in seconds: of a set that the kernel fills itself. */
const elements = z.looseObject({ ...place, name: z.string(), elem: z.array(z.unknown()).default([]), timeout: z.number().optional() });
const markElement = z.looseObject({ elem: z.looseObject({ val: z.string(), comment: z.string() }) });

const item = z.looseObject({
  table: z.looseObject({ family: z.string(), name: z.string() }).optional(),
  chain: z.looseObject({ ...place, name: z.string() }).optional(),
  rule: z.looseObject({ ...place, chain: z.string() }).optional(),
  set: elements.optional(),
  map: elements.optional(),
});

const listing = z.looseObject({ nftables: z.array(item) });

interface TableUnderWay extends ObservedTable {
  readonly chains: Map<string, ObservedChain>;
  readonly marks: Map<string, string>;
  readonly sets: Map<string, ReadonlySet<string>>;
}

/**
 * Our tables in listings of `nft --json list table`.
 * @throws AppError 'component' for anything else.
 */
export function parseTables(texts: readonly string[]): ObservedFirewall {
  const tables = new Map<FirewallFamily, TableUnderWay>();
  for (const found of texts.flatMap(parseListing)) take(tables, found);
  for (const { chains, marks } of tables.values()) {
    for (const [name, { ruleCount }] of chains) chains.set(name, { mark: marks.get(name), ruleCount });
  }
  return tables;
}

function parseListing(text: string): readonly z.infer<typeof item>[] {
  const parsed = listing.safeParse(parseJson(text));
  if (!parsed.success) throw new AppError('component', 'nft printed something unexpected', { text: text.slice(0, 200) }, { cause: parsed.error });
  return parsed.data.nftables;
}

function take(tables: Map<FirewallFamily, TableUnderWay>, { table, chain, rule, set, map }: z.infer<typeof item>): void {
  const named = chain ?? rule ?? set ?? map;
  const family = table?.family ?? named?.family;
  if ((family !== 'inet' && family !== 'bridge') || (table?.name ?? named?.table) !== FIREWALL_TABLE) return;
  const into: TableUnderWay = tables.get(family) ?? { chains: new Map(), marks: new Map(), sets: new Map() };
  tables.set(family, into);
  if (chain !== undefined) into.chains.set(chain.name, { mark: undefined, ruleCount: 0 });
  if (rule !== undefined) into.chains.set(rule.chain, { mark: undefined, ruleCount: (into.chains.get(rule.chain)?.ruleCount ?? 0) + 1 });
  const filled = set ?? map;
  if (filled?.name === FIREWALL_MARKS) for (const marked of filled.elem) takeMark(into.marks, marked);
  else if (filled !== undefined) into.sets.set(filled.name, new Set(filled.timeout === undefined ? z.array(element).parse(filled.elem) : []));
}

/** An element without a comment says nothing. */
function takeMark(marks: Map<string, string>, marked: unknown): void {
  const parsed = markElement.safeParse(marked);
  if (parsed.success) marks.set(parsed.data.elem.val, parsed.data.elem.comment);
}

/** The first thing that nft complains of, from its standard error: `FILE:LINE:COLUMN-COLUMN: Error: MESSAGE`, then the line and a pointer. */
export function parseFault(stderr: string): FirewallFault {
  const [, line, message] = /^\S*?:(\d+):\d+(?:-\d+)?: Error: (.*)$/mu.exec(stderr) ?? [];
  return line === undefined || message === undefined ? { line: undefined, message: stderr.trim().split('\n')[0] ?? '' } : { line: Number(line), message };
}
