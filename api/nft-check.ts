import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../common/clock.ts';
import { aclRuleFault, aclTextFault } from '../common/domain/network-acl.ts';
import { AppError, isAppError } from '../common/errors.ts';
import { Gathered } from '../common/gathered.ts';
import { NftSession } from '../common/nft-session.ts';
import type { Converse } from '../common/process.ts';

/** Tells whether a text can be an access rule. */
export interface AclCheck {
  /** @throws AppError 'invalid' that says why it cannot, and where; 'component', 'timeout' when that could not be found out. */
  check(rule: string): Promise<void>;
}

/** A check takes some 5 ms, the first, which starts nft, 50; a machine under load a hundred times that. */
const LIMIT = { timeoutMs: 5_000 };
/** Rules of one run of nft: their echo stays below 1 MiB. */
const RULES_MAX = 64;

const TABLE = 'inet acl_check';
const chainOf = (index: number): string => `checked-${index}`;
const rulePrefix = (index: number): string => `add rule ${TABLE} ${chainOf(index)} `;
/** In the script for one rule, from 1. */
const RULE_LINE = 4;

/** What is wrong with a rule; undefined when nothing is. */
type Verdict = AppError | undefined;

/**
 * Has nft itself read a rule and load it into the kernel: by itself, into a chain that is reached from a forward hook as those of networks
 * are, in a network namespace that nothing else is in. nft's echo then says what became of it: exactly one rule in exactly that chain.
 * (Only a rule that is really loaded is echoed; `--check` prints nothing.)
 * Rules that come while nft runs are then loaded together, each into a chain of its own; when anything is wrong with the whole, they are taken apart.
 * Works without privileges, in a user namespace of its own then.
 */
export class NftCheck implements AclCheck {
  readonly #session: NftSession;
  readonly #checks = new Gathered<string, Verdict>((rules) => this.#verdicts(rules));

  constructor({ converse, clock, privileged }: { converse: Converse; clock: Clock; privileged: boolean }) {
    const namespace = privileged ? ['--net'] : ['--user', '--map-root-user', '--net'];
    this.#session = new NftSession({ converse, clock, command: ['unshare', ...namespace, '--', 'nft', '--json', '--echo', '--numeric'] });
  }

  /** Ends nft. */
  close(): void {
    this.#session.close();
  }

  async check(rule: string): Promise<void> {
    const fault = aclTextFault(rule);
    if (fault !== undefined) throw refused(fault);
    const verdict = await this.#checks.ask(rule);
    if (verdict !== undefined) throw verdict;
  }

  async #verdicts(rules: readonly string[]): Promise<Verdict[]> {
    const verdicts: Verdict[] = [];
    for (let from = 0; from < rules.length; from += RULES_MAX) verdicts.push(...(await this.#together(rules.slice(from, from + RULES_MAX))));
    return verdicts;
  }

  /** A bad rule among others is found by halves. */
  async #together(rules: readonly string[]): Promise<Verdict[]> {
    try {
      const expressions = onlyRules(await this.#echo(rules), rules.length);
      return rules.map((rule, index) => verdictOf(rule, expressions[index]));
    } catch (error) {
      if (!isAppError(error, 'invalid')) throw error;
      if (rules.length === 1) return [error];
      const half = Math.ceil(rules.length / 2);
      return [...(await this.#together(rules.slice(0, half))), ...(await this.#together(rules.slice(half)))];
    }
  }

  /** A script is a file, so that nft tells the place of a fault in it. */
  async #echo(rules: readonly string[]): Promise<string> {
    const folder = await privateFolder();
    const file = join(folder, 'rule.nft');
    try {
      await writeFile(file, scriptOf(rules), { mode: 0o600, flag: 'wx' });
      await this.#session.ask('flush ruleset', LIMIT);
      const { stdout, stderr } = await this.#session.ask(`include "${file}"`, LIMIT);
      if (stderr.includes('Error:')) throw ofNft(stderr, file);
      return stdout;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

async function privateFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), 'pvc-acl-'));
  } catch (cause) {
    throw new AppError('component', 'the rule could not be checked on this host', { why: String(cause) }, { cause });
  }
}

function scriptOf(rules: readonly string[]): string {
  const lines = [
    `add table ${TABLE}`,
    ...rules.map((_, index) => `add chain ${TABLE} ${chainOf(index)}`),
    `add chain ${TABLE} hooked { type filter hook forward priority 0; policy accept; }`,
    ...rules.map((rule, index) => `${rulePrefix(index)}${rule}`),
    ...rules.map((_, index) => `add rule ${TABLE} hooked jump ${chainOf(index)}`),
  ];
  return `${lines.join('\n')}\n`;
}

function verdictOf(rule: string, expr: unknown): Verdict {
  const fault = aclRuleFault(rule, expr);
  return fault === undefined ? undefined : refused(fault);
}

function refused(why: string, where: Record<string, unknown> = {}): AppError {
  return new AppError('invalid', 'the rule is not one that a network can have', { rule: why, ...where });
}

/** nft's words about the one rule of a script, with the place in it. */
function ofNft(stderr: string, file: string): AppError {
  const lines = stderr.split('\n');
  const [, line, from, to, message] = lines.map((one) => /:(\d+):(\d+)-(\d+): Error: (.*)$/u.exec(one)).find((match) => match !== null) ?? [];
  if (message === undefined) return new AppError('component', 'the rule could not be checked on this host', { why: lines[0]?.replaceAll(file, 'rule') });
  if (Number(line) !== RULE_LINE) return refused(message);
  const place = (column: string | undefined): number => Math.max(1, Number(column) - rulePrefix(0).length);
  return refused(message, { characters: `${place(from)}-${place(to)}` });
}

const inTable = { family: z.literal('inet'), table: z.literal('acl_check') };
const added = <K extends string>(name: K, what: z.ZodType): z.ZodType => z.strictObject({ add: z.strictObject({ [name]: what }) });

const addedTable = added('table', z.object({ family: z.literal('inet'), name: z.literal('acl_check') }));
const addedHook = added('chain', z.object({ ...inTable, name: z.literal('hooked'), hook: z.literal('forward'), policy: z.literal('accept') }));
const addedChain = (index: number): z.ZodType => added('chain', z.object({ ...inTable, name: z.literal(chainOf(index)) }));
const addedJump = (index: number): z.ZodType => added('rule', z.object({ ...inTable, chain: z.literal('hooked'), expr: z.tuple([z.strictObject({ jump: z.strictObject({ target: z.literal(chainOf(index)) }) })]) }));
const addedRule = z.strictObject({ add: z.strictObject({ rule: z.strictObject({ ...inTable, chain: z.string(), handle: z.int(), index: z.int().optional(), expr: z.unknown() }) }) });
const echoed = z.strictObject({ nftables: z.array(z.unknown()) });

/**
 * What nft has understood of each rule.
 * @throws AppError 'invalid' when more, less or something else came of the script than one rule in each chain.
 */
function onlyRules(echo: string, count: number): unknown[] {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const { data } = echoed.safeParse(parseJson(echo));
  const said = data?.nftables ?? [];
  const frame = [addedTable, ...numbers.map(addedChain), addedHook, ...numbers.map(() => z.unknown()), ...numbers.map(addedJump)];
  const rules = numbers.map((index) => addedRule.safeParse(said[count + 2 + index]).data?.add.rule);
  const isFramed = said.length === frame.length && frame.every((schema, index) => schema.safeParse(said[index]).success);
  if (!isFramed || rules.some((rule, index) => rule?.chain !== chainOf(index))) throw refused('must be exactly one rule, without a comment');
  return rules.map((rule) => rule?.expr);
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (cause) {
    throw new AppError('component', "nft's answer is not JSON", { answer: text.slice(0, 200) }, { cause });
  }
}
