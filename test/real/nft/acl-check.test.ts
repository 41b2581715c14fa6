import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NftCheck } from '../../../api/nft-check.ts';
import { systemClock } from '../../../common/clock.ts';
import { isAppError } from '../../../common/errors.ts';
import { converse } from '../../../common/process.ts';
import { until } from '../../support/until.ts';

const parts = { converse, clock: systemClock, privileged: true };
const check = new NftCheck(parts);
const NOBODY = 65_534;

afterAll(() => check.close());

/** What the check says: 'permitted', or why not. */
async function verdict(rule: string, by: NftCheck = check): Promise<string> {
  try {
    await by.check(rule);
    return 'permitted';
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    const { rule: why, characters } = error.details as { rule: string; characters?: string };
    return `${why} at ${characters ?? 'no place'}`;
  }
}

describe('what people write is permitted', () => {
  test.each([
    ['tcp dport 22 ct state new accept'],
    ['tcp dport { 22, 80-90, https } counter accept'],
    ['ip saddr 10.0.0.0/8 ip daddr != 10.1.0.0/16 drop'],
    ['ip saddr 10.0.0.77/8 drop'],
    ['ip saddr { 10.0.0.1, 10.0.0.3-10.0.0.9, 10.2.0.0/16 } drop'],
    ['ip6 saddr 2001:DB8::/32 ip6 daddr { fd00::1, fd00::2-fd00::5 } accept'],
    ['ip saddr . tcp dport { 10.0.0.1 . 22, 10.0.0.2 . 23-25 } accept'],
    ['ip saddr & 255.255.0.0 == 10.1.0.0 drop'],
    ['tcp dport vmap { 22 : accept, 23 : drop, 24 : return }'],
    ['ip saddr vmap { 10.0.0.1 : accept, 10.0.0.2 : drop }'],
    ['ct state vmap { established : accept, related : accept, invalid : drop }'],
    ['icmp type echo-request limit rate 5/second accept'],
    ['icmpv6 type { nd-neighbor-solicit, nd-router-advert } accept'],
    ['meta l4proto { tcp, udp } th dport 53 accept'],
    ['ether saddr 52:54:00:aa:bb:01 accept'],
    ['iifname "vmbr5*" oifname != vmbr6 drop'],
    ['tcp flags & (syn|ack) == syn ct count over 20 reject with tcp reset'],
    ['tcp option maxseg size 1-500 drop'],
    ['ct state new limit rate 5/minute burst 10 packets log prefix "new: " level info flags all'],
    ['limit rate over 10 mbytes/second drop'],
    ['quota over 500 mbytes drop'],
    ['@th,16,16 22 accept'],
    ['udp dport 53 reject with icmpx type admin-prohibited'],
    ['fib saddr type local drop'],
    ['meta mark 0x5 accept'],
    ['counter'],
    ['drop'],
  ])('%s', async (rule) => expect(await verdict(rule)).toBe('permitted'));
});

describe('what is no rule is refused with the words of nft and the place', () => {
  test.each([
    ['tcp dport 22 acept', /^syntax error, unexpected \S+ at 1[49]-/u],
    ['tcp dprt 22 accept', /^syntax error, unexpected string.* at 5-8$/u],
    ['tcp dport 70000 accept', / at 11-15$/u],
    ['accept drop', /at \d/u],
    ['tcp dport { 22', /^syntax error/u],
    ['ip saddr 10.0.0.1 ip6 saddr fd00::1 accept', /^conflicting/u],
    ['iif absent0 accept', /^Interface does not exist at 5-11$/u],
  ])('%s', async (rule, expected) => expect(await verdict(rule)).toMatch(expected));
});

/** Attempts to be more than one rule, or to reach what is not the rule's own. */
const ATTEMPTS = [
  'accept; add table inet other',
  'accept; flush ruleset',
  'accept\nflush ruleset',
  'accept\radd table inet x',
  'accept } table inet other { chain x {',
  'accept }; chain other {',
  '} chain other { accept',
  'include "/etc/passwd"',
  ' include "/etc/shadow"',
  'INCLUDE "/etc/passwd"',
  'define x = 5',
  'redefine x = 5',
  'undefine x',
  'tcp dport $x accept',
  'accept # what follows is nothing',
  'accept \\',
  'log prefix "open',
  'log prefix "a" accept comment "x"',
  'accept comment "x"',
  'comment "x"',
  'policy drop',
  'type filter hook input priority 0',
  'flags offload',
  'handle 1 accept',
  'index 0 accept',
  'position 1 accept',
  '-f /etc/passwd',
  '--help',
  '-i',
  'add rule inet acl_check checked accept',
  'insert accept',
  'delete table inet acl_check',
  'jump hooked',
  'goto checked',
  'jump absent',
  'tcp dport vmap { 22 : jump hooked }',
  'tcp dport vmap { 22 : goto checked }',
  'tcp dport vmap @absent',
  'tcp dport @absent accept',
  'ip saddr @absent drop',
  'counter name "absent" accept',
  'limit name "absent" accept',
  'quota name "absent" drop',
  'add @absent { ip saddr }',
  'meter m { ip saddr limit rate 5/second } accept',
  'queue',
  'queue num 0-3 bypass',
  'log',
  'log limit rate 1/second',
  'limit rate 1000/second log',
  'limit rate over 1/second log',
  'limit rate 1/second burst 5000 packets log',
  'limit rate 10 bytes/second log',
  'limit rate 1/second log group 5',
  'limit rate 1/second log level audit',
  'meta mark set 1',
  'ct mark set 1',
  'meta nftrace set 1',
  'meta priority set 1:1',
  'ip dscp set cs1',
  'ip daddr set 10.0.0.1',
  'dnat to 10.0.0.1',
  'snat to 10.0.0.1',
  'masquerade',
  'redirect to :80',
  'tproxy to :80',
  'notrack',
  'dup to 10.0.0.1',
  'fwd to "lo"',
  'synproxy mss 1460 wscale 7',
  'ct helper set "ftp"',
  'flow add @f',
  'meta skuid 0 accept',
  'socket transparent 1 accept',
  'osf name "Linux" drop',
  'ip saddr localhost accept',
  'ip6 saddr localhost accept',
  'ip saddr 127.0.0.1 ip daddr localhost accept',
  'ip saddr { 10.0.0.1, localhost } accept',
  'ip saddr vmap { localhost : drop }',
  'ip saddr 10.1 accept',
  'ip saddr absent.invalid accept',
  '',
  ' ',
  'é',
  'accept\u0000',
];

describe('what is more than a rule of a network is refused', () => {
  test.each(ATTEMPTS.map((rule) => [rule]))('%j', async (rule) => {
    const said = await verdict(rule);
    expect(said).not.toBe('permitted');
    expect(said).not.toMatch(/root:|acl_check/u);
  });

  test('no text of pieces of rules and of attempts is taken for anything but one rule, as the ruleset that has it shows', async () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom('tcp', 'dport', '22', 'accept', 'drop', 'ip', 'saddr', '10.0.0.1', '{', '}', ',', ':', '"', ';', '\n', '#', 'jump', 'checked', 'hooked', 'vmap', '@x', 'counter', 'log', 'limit', 'rate', '1/second', 'comment', 'add', 'rule', 'include', 'policy', '\\', '$a', '-', '(', ')', 'inet', 'acl_check', 'ct', 'state', 'new'),
        fc.string({ maxLength: 6 }),
      ),
      { minLength: 1, maxLength: 9 },
    );
    await fc.assert(
      fc.asyncProperty(pieces, fc.constantFrom(' ', ''), async (parts, between) => {
        const rule = parts.join(between);
        if ((await verdict(rule)) !== 'permitted') return;
        expect(rulesOf(rule)).toEqual([['other', 'drop'], ['rules', 'x'], ['hooked', 'jump']]);
      }),
      { numRuns: 150, interruptAfterTimeLimit: 20_000 },
    );
  });
});

/** A rule that was permitted, in a table with more in it, in the other notation: the chains of the rules that come of it. */
function rulesOf(rule: string): string[][] {
  const script = `table inet pvc {\n chain other {\n  drop\n }\n chain rules {\n  ${rule}\n }\n chain hooked {\n  type filter hook forward priority 0\n  jump rules\n }\n}\n`;
  const folder = mkdtempSync(join(tmpdir(), 'pvc-test-acl-'));
  try {
    const file = join(folder, 'all.nft');
    execFileSync('tee', [file], { input: script });
    const listing = JSON.parse(execFileSync('unshare', ['--net', 'sh', '-c', 'nft -f "$1" && nft -j list ruleset', 'sh', file]).toString()) as { nftables: { rule?: { chain: string; expr: object[] } }[] };
    return listing.nftables.flatMap(({ rule: one }) => (one === undefined ? [] : [[one.chain, one.chain === 'rules' ? 'x' : String(Object.keys(one.expr[0] ?? {})[0])]]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('rules that are checked together', () => {
  const GOOD = ['tcp dport 22 accept', 'ip saddr 10.0.0.0/8 drop', 'tcp dport vmap { 22 : accept, 23 : drop }'];
  /** Pieces that are whole only when they are put together, and what reaches for the rule of another. */
  const ACROSS = ['tcp dport { 22,', '23 } accept', 'jump checked-0', 'goto checked-2', 'log prefix "a', 'b" accept', 'tcp dport 22 accept comment "', '"'];

  test('are judged as each by itself', async () => {
    const rules = [...GOOD, ...ATTEMPTS, ...ACROSS, ...GOOD];
    const together = await Promise.all(rules.map((rule) => verdict(rule)));
    const alone: string[] = [];
    for (const rule of rules) alone.push(await verdict(rule));
    expect(together).toEqual(alone);
    expect(together.filter((said) => said === 'permitted')).toHaveLength(2 * GOOD.length);
  });

  test('cost as much as a few', async () => {
    const said: string[] = [];
    const counting = new NftCheck({
      ...parts,
      converse: (command, options) => {
        const conversation = converse(command, options);
        return { ...conversation, say: (text) => (said.push(text), conversation.say(text)) };
      },
    });
    await Promise.all(Array.from({ length: 40 }, (_, index) => counting.check(`tcp dport ${index + 1} accept`)));
    expect(said.filter((text) => text.startsWith('include'))).toHaveLength(1);
    counting.close();
  });

  test('leave nothing to those that come later', async () => {
    expect(await verdict('tcp dport 22 accept')).toBe('permitted');
    // Had the last one's chain a second rule, the echo would not be of one rule.
    for (const rule of ['jump checked-1', 'tcp dport 22 acept', 'tcp dport 22 accept']) await verdict(rule);
    expect(await verdict('tcp dport 22 accept')).toBe('permitted');
  });
});

describe('without privileges', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'pvc-test-nobody-'));
    chmodSync(folder, 0o755);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('a rule is checked in a user namespace', async () => {
    const copied = (text: string): string =>
      text.replace(/^include "(.*)"$/mu, (_, file: string) => {
        const copy = join(folder, 'rule.nft');
        execFileSync('install', ['-m', '0600', '-o', String(NOBODY), file, copy]);
        return `include "${copy}"`;
      });
    const unprivileged = new NftCheck({
      ...parts,
      privileged: false,
      converse: (command, options) => {
        const conversation = converse(['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...command], options);
        return { ...conversation, say: (text) => conversation.say(copied(text)) };
      },
    });
    expect(await verdict('tcp dport 22 accept', unprivileged)).toBe('permitted');
    expect(await verdict('tcp dport 22 acept', unprivileged)).toMatch(/^syntax error/u);
    unprivileged.close();
  });

  test('where there are no namespaces the failure says so, and is not the rule\'s', async () => {
    const failing = new NftCheck({ ...parts, converse: (_, options) => converse(['unshare', '--no-such-option'], options) });
    await expect(failing.check('accept')).rejects.toMatchObject({ code: 'component' });
  });
});

test('a check leaves no file, and 40 at once all end', async () => {
  const own = new NftCheck(parts);
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith('pvc-acl-'));
  const said = await Promise.all(Array.from({ length: 40 }, (_, index) => verdict(index % 2 === 0 ? `tcp dport ${index + 1} accept` : 'nonsense', own)));
  expect(said.filter((one) => one === 'permitted')).toHaveLength(20);
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith('pvc-acl-') && !before.includes(name));
  expect(after.length).toBeLessThan(20);
  await until(() => after.every((name) => !existsSync(join(tmpdir(), name))), 10_000, "the end of others' checks");
  own.close();
});
