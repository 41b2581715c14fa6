import { z } from 'zod';
import { networkOf, parseAddress, type IpAddress } from './addressing.ts';

/** What a rule may do with a packet, as nft's JSON names it (libnftables-json(5)). Each ends at most its own chain or drops the packet. */
const VERDICTS = ['accept', 'drop', 'reject', 'return', 'continue'] as const;
const STATEMENTS = ['match', 'counter', 'limit', 'quota', 'log', 'ct count', 'vmap', ...VERDICTS] as const;
/** What can be matched on by itself. */
const LEAVES = ['payload', 'meta', 'ct', 'fib', 'rt', 'exthdr', 'tcp option', 'ip option', 'sctp chunk'];
/** What is made of other expressions. */
const COMPOUNDS = ['set', 'range', 'concat', 'elem', '&', '|', '^', '<<', '>>'];
/** A user, a group and a control group are those of a process on the host; a forwarded packet has none. */
const META_REFUSED = ['skuid', 'skgid', 'cgroup'];

/** Words that begin another command, or place the rule elsewhere, where a rule is expected. */
const FIRST_WORDS_REFUSED = ['include', 'define', 'redefine', 'undefine', 'index', 'position', 'handle', 'comment'];

/**
 * Why a rule's text cannot be one statement list, before nft sees it; undefined when it may be. What ends a command, opens another,
 * or stands for another text has no place in a rule, so no text can reach past its own line.
 */
export function aclTextFault(rule: string): string | undefined {
  if (!/^[\x20-\x7e]+$/u.test(rule)) return 'must be printable ASCII on one line';
  const forbidden = /[;#$\\`]/u.exec(rule)?.[0];
  if (forbidden !== undefined) return `must not have the character ${forbidden}`;
  if ((rule.split('"').length - 1) % 2 === 1) return 'has a quote that is not closed';
  const first = /[a-z]+/iu.exec(rule.trim())?.[0]?.toLowerCase() ?? '';
  return FIRST_WORDS_REFUSED.includes(first) && rule.trim().toLowerCase().startsWith(first) ? `must not begin with ${first}` : undefined;
}

const statements = z.array(z.record(z.string(), z.unknown())).min(1);

/**
 * Why a rule that nft has understood is not permitted; undefined when it is.
 * @param text the rule as it was written.
 * @param expr nft's own reading of it: the `expr` of its JSON.
 */
export function aclRuleFault(text: string, expr: unknown): string | undefined {
  const parsed = statements.safeParse(expr);
  if (!parsed.success) return 'does nothing';
  const addresses: Leaf[] = [];
  let limited = false;
  for (const statement of parsed.data) {
    const [name = '', value] = Object.entries(statement)[0] ?? [];
    const fault = statementFault(name, value, { addresses, limited });
    if (fault !== undefined) return fault;
    limited ||= name === 'limit' && isSlow(value);
  }
  return isWritten(addresses, text) ? undefined : 'must have addresses, not host names: each host would look them up for itself';
}

interface Leaf {
  address: IpAddress;
  prefixLength: number;
}

function statementFault(name: string, value: unknown, seen: { addresses: Leaf[]; limited: boolean }): string | undefined {
  const known = STATEMENTS.find((one) => one === name);
  switch (known) {
    case undefined:
      return `must not use ${name}; permitted are ${STATEMENTS.join(', ')}`;
    case 'match':
      return matchFault(value, seen.addresses);
    case 'vmap':
      return vmapFault(value, seen.addresses);
    case 'log':
      return logFault(value, seen.limited);
    case 'counter':
    case 'limit':
    case 'quota':
      return typeof value === 'string' ? `must not name a ${name}` : undefined;
    case 'ct count':
    case 'accept':
    case 'drop':
    case 'reject':
    case 'return':
    case 'continue':
      return undefined;
  }
}

const matchStatement = z.object({ left: z.unknown(), right: z.unknown() });

function matchFault(value: unknown, addresses: Leaf[]): string | undefined {
  const match = matchStatement.safeParse(value);
  return match.success ? (expressionFault(match.data.left, addresses) ?? expressionFault(match.data.right, addresses)) : 'has a comparison that is not understood';
}

const vmapStatement = z.object({ key: z.unknown(), data: z.object({ set: z.array(z.tuple([z.unknown(), z.record(z.string(), z.unknown())])) }) });

function vmapFault(value: unknown, addresses: Leaf[]): string | undefined {
  const vmap = vmapStatement.safeParse(value);
  if (!vmap.success) return 'must not use a named verdict map';
  for (const [element, verdict] of vmap.data.data.set) {
    const name = Object.keys(verdict)[0] ?? '';
    if (!VERDICTS.some((one) => one === name)) return `must not use ${name}; permitted verdicts are ${VERDICTS.join(', ')}`;
    const fault = expressionFault(element, addresses);
    if (fault !== undefined) return fault;
  }
  return expressionFault(vmap.data.key, addresses);
}

/** Lines of the kernel's log that one rule may cause, per second. */
const LOG_RATE_MAX_PER_S = 10;
const LOG_BURST_MAX = 100;

const logStatement = z.union([z.null(), z.strictObject({ prefix: z.string().optional(), level: z.enum(['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug']).optional(), flags: z.unknown().optional() })]);

function logFault(value: unknown, limited: boolean): string | undefined {
  if (!logStatement.safeParse(value).success) return 'must log to the kernel log: with prefix, level and flags only';
  return limited ? undefined : `must have a limit before log, of at most ${LOG_RATE_MAX_PER_S}/second, such as: limit rate 5/second log`;
}

const SECONDS = { second: 1, minute: 60, hour: 3_600, day: 86_400, week: 604_800 } as const;
const packetLimit = z.strictObject({ rate: z.number(), burst: z.number().max(LOG_BURST_MAX).optional(), per: z.enum(['second', 'minute', 'hour', 'day', 'week']), inv: z.literal(false).optional() });

function isSlow(value: unknown): boolean {
  const limit = packetLimit.safeParse(value);
  return limit.success && limit.data.rate / SECONDS[limit.data.per] <= LOG_RATE_MAX_PER_S;
}

const prefixExpression = z.object({ prefix: z.object({ addr: z.string(), len: z.int().min(0).max(128) }) });
const metaExpression = z.object({ meta: z.object({ key: z.string() }) });
const expression = z.record(z.string(), z.unknown());

/** Bounded by the length that a rule's text may have. */
function expressionFault(value: unknown, addresses: Leaf[]): string | undefined {
  if (Array.isArray(value)) return firstFault(value, addresses);
  if (typeof value === 'string') {
    if (value.startsWith('@')) return 'must not use a named set';
    noteAddress(value, undefined, addresses);
    return undefined;
  }
  const prefix = prefixExpression.safeParse(value);
  if (prefix.success) {
    noteAddress(prefix.data.prefix.addr, prefix.data.prefix.len, addresses);
    return undefined;
  }
  const meta = metaExpression.safeParse(value);
  if (meta.success && META_REFUSED.includes(meta.data.meta.key)) return `must not use meta ${meta.data.meta.key}`;
  const parsed = expression.safeParse(value);
  return parsed.success ? compoundFault(parsed.data, addresses) : undefined;
}

function compoundFault(parts: Record<string, unknown>, addresses: Leaf[]): string | undefined {
  for (const [name, inner] of Object.entries(parts)) {
    if (LEAVES.includes(name)) continue;
    if (name === 'val') return expressionFault(inner, addresses);
    if (!COMPOUNDS.includes(name)) return `must not match by ${name}`;
    const fault = expressionFault(inner, addresses);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function firstFault(values: readonly unknown[], addresses: Leaf[]): string | undefined {
  for (const value of values) {
    const fault = expressionFault(value, addresses);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function noteAddress(text: string, prefixLength: number | undefined, addresses: Leaf[]): void {
  const address = parseAddress(text);
  if (address !== undefined) addresses.push({ address, prefixLength: prefixLength ?? (address.family === 4 ? 32 : 128) });
}

/** nft looks up what is no address: what it has understood must then stand in the text, and nothing twice that stands there once. */
function isWritten(understood: readonly Leaf[], text: string): boolean {
  const written = text.split(/[\s,{}()"/-]+/u).flatMap((word) => parseAddress(word) ?? []);
  const stands = ({ address, prefixLength }: Leaf): boolean =>
    written.some((one) => one.family === address.family && networkOf(one, prefixLength).first === address.value);
  return understood.length <= written.length && understood.every(stands);
}
