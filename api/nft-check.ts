import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { aclRuleFault, aclTextFault } from '../common/domain/network-acl.ts';
import { AppError, isAppError } from '../common/errors.ts';
import type { Command, Run } from '../common/process.ts';

/** Tells whether a text can be an access rule. */
export interface AclCheck {
  /** @throws AppError 'invalid' that says why it cannot, and where; 'component', 'timeout' when that could not be found out. */
  check(rule: string, signal?: AbortSignal): Promise<void>;
}

/** A check takes some 10 ms; a machine under load a hundred times that. */
const CHECK_LIMIT_MS = 5_000;
/** Checks at once: each is two processes and a network namespace. */
const CHECKS_MAX = 4;

const TABLE = 'inet acl_check';
const RULE_PREFIX = `add rule ${TABLE} checked `;
const RULE_LINE = 4;

/**
 * Has nft itself read a rule and load it into the kernel: by itself, into a chain that is reached from a forward hook as those of networks
 * are, in a network namespace that ends with the command. nft's echo then says what became of it: exactly one rule in exactly that chain.
 * (Only a rule that is really loaded is echoed; `--check` prints nothing.)
 * Works without privileges, in a user namespace of its own then.
 */
export class NftCheck implements AclCheck {
  readonly #run: Run;
  readonly #namespace: readonly string[];
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(deps: { run: Run; privileged: boolean }) {
    this.#run = deps.run;
    this.#namespace = deps.privileged ? ['--net'] : ['--user', '--map-root-user', '--net'];
  }

  async check(rule: string, signal?: AbortSignal): Promise<void> {
    const fault = aclTextFault(rule);
    if (fault !== undefined) throw refused(fault);
    const echo = await this.#inTurn(() => this.#echo(rule, signal));
    const meaning = aclRuleFault(rule, onlyRule(echo));
    if (meaning !== undefined) throw refused(meaning);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= CHECKS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  /** nft cannot read a script from the sockets that Node gives to children as standard input. */
  async #echo(rule: string, signal: AbortSignal | undefined): Promise<string> {
    const folder = await privateFolder();
    const file = join(folder, 'rule.nft');
    const command: Command = ['unshare', ...this.#namespace, '--', 'nft', '--json', '--echo', '--numeric', '--file', file];
    try {
      await writeFile(file, scriptOf(rule), { mode: 0o600, flag: 'wx' });
      return (await this.#run(command, { timeoutMs: CHECK_LIMIT_MS, signal })).stdout;
    } catch (error) {
      throw ofNft(error, file) ?? error;
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

function scriptOf(rule: string): string {
  const lines = [
    `add table ${TABLE}`,
    `add chain ${TABLE} checked`,
    `add chain ${TABLE} hooked { type filter hook forward priority 0; policy accept; }`,
    `${RULE_PREFIX}${rule}`,
    `add rule ${TABLE} hooked jump checked`,
  ];
  return `${lines.join('\n')}\n`;
}

function refused(why: string, where: Record<string, unknown> = {}): AppError {
  return new AppError('invalid', 'the rule is not one that a network can have', { rule: why, ...where });
}

/** nft's words about the rule, with the place in it; undefined when it failed for another reason. */
function ofNft(error: unknown, file: string): AppError | undefined {
  if (!isAppError(error, 'component')) return undefined;
  const { stderr } = error.details;
  const lines = typeof stderr === 'string' ? stderr.split('\n') : [];
  const [, line, from, to, message] = lines.map((one) => /:(\d+):(\d+)-(\d+): Error: (.*)$/u.exec(one)).find((match) => match !== null) ?? [];
  if (message === undefined) return new AppError('component', 'the rule could not be checked on this host', { why: lines[0]?.replaceAll(file, 'rule') }, { cause: error });
  if (Number(line) !== RULE_LINE) return refused(message);
  const place = (column: string | undefined): number => Math.max(1, Number(column) - RULE_PREFIX.length);
  return refused(message, { characters: `${place(from)}-${place(to)}` });
}

const inTable = { family: z.literal('inet'), table: z.literal('acl_check') };
const added = <K extends string>(name: K, what: z.ZodType): z.ZodType => z.strictObject({ add: z.strictObject({ [name]: what }) });

/** What nft adds for the script, and nothing else. */
const echoed = z.strictObject({
  nftables: z.tuple([
    added('table', z.object({ family: z.literal('inet'), name: z.literal('acl_check') })),
    added('chain', z.object({ ...inTable, name: z.literal('checked') })),
    added('chain', z.object({ ...inTable, name: z.literal('hooked'), hook: z.literal('forward'), policy: z.literal('accept') })),
    z.strictObject({ add: z.strictObject({ rule: z.strictObject({ ...inTable, chain: z.literal('checked'), handle: z.int(), index: z.int().optional(), expr: z.unknown() }) }) }),
    added('rule', z.object({ ...inTable, chain: z.literal('hooked'), expr: z.tuple([z.strictObject({ jump: z.strictObject({ target: z.literal('checked') }) })]) })),
  ]),
});

/** @throws AppError 'invalid' when more, less or something else came of the script than one rule in the chain. */
function onlyRule(echo: string): unknown {
  const parsed = echoed.safeParse(parseJson(echo));
  if (!parsed.success) throw refused('must be exactly one rule, without a comment');
  return parsed.data.nftables[3].add.rule.expr;
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (cause) {
    throw new AppError('component', "nft's answer is not JSON", { answer: text.slice(0, 200) }, { cause });
  }
}
