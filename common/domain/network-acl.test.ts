import { describe, expect, test } from 'vitest';
import { aclRuleFault, aclTextFault } from './network-acl.ts';

/** The comparison of an address with one value, as nft shows it. */
const address = (right: unknown, field = 'saddr'): object => ({ match: { op: '==', left: { payload: { protocol: 'ip', field } }, right } });
const accept = { accept: null };

describe('the text of a rule', () => {
  test.each([['accept'], ['log prefix "x y" accept'], ['tcp dport { 22, 80 } accept'], ['@th,16,16 22 accept'], ['indexed'], ['  accept']])('%s may be looked at by nft', (text) => {
    expect(aclTextFault(text)).toBeUndefined();
  });

  test.each([[''], ['a\nb'], ['a\tb'], ['a;b'], ['a # b'], ['$a'], ['a\\'], ['`a`'], ['a "b'], ['é'], ['include "x"'], [' INCLUDE "x"'], ['define a = 1'], ['index 0 accept'], ['handle 5 accept'], ['position 5 accept'], ['comment "x"']])('%j may not', (text) => {
    expect(aclTextFault(text)).toBeTypeOf('string');
  });
});

describe('what nft makes of a rule', () => {
  test.each<[string, object[]]>([
    ['accept', [accept]],
    ['ip saddr 10.0.0.77/24 accept', [address({ prefix: { addr: '10.0.0.0', len: 24 } }), accept]],
    ['ip saddr 10.0.0.1-10.0.0.9 accept', [address({ range: ['10.0.0.1', '10.0.0.9'] }), accept]],
    ['ip saddr { 10.0.0.0/25, 10.0.0.128/25 } accept', [address({ set: [{ prefix: { addr: '10.0.0.0', len: 24 } }] }), accept]],
    ['ip saddr vmap { 10.0.0.1 : drop }', [{ vmap: { key: { payload: { protocol: 'ip', field: 'saddr' } }, data: { set: [['10.0.0.1', { drop: null }]] } } }]],
    ['limit rate 5/second log', [{ limit: { rate: 5, burst: 5, per: 'second' } }, { log: null }]],
    ['limit rate 600/minute log', [{ limit: { rate: 600, burst: 5, per: 'minute' } }, { log: { prefix: 'x', level: 'info' } }]],
    ['ct count over 5 drop', [{ 'ct count': { val: 5, inv: true } }, { drop: null }]],
  ])('%s is permitted', (text, expr) => expect(aclRuleFault(text, expr)).toBeUndefined());

  test.each<[string, unknown, RegExp]>([
    ['', [], /does nothing/u],
    ['', 'accept', /does nothing/u],
    ['jump x', [{ jump: { target: 'x' } }], /must not use jump/u],
    ['vmap', [{ vmap: { key: {}, data: { set: [[1, { goto: { target: 'x' } }]] } } }], /must not use goto/u],
    ['vmap @x', [{ vmap: { key: {}, data: '@x' } }], /named verdict map/u],
    ['@x', [address('@x')], /named set/u],
    ['{ @x }', [address({ set: ['@x'] })], /named set/u],
    ['counter name x', [{ counter: 'x' }], /must not name a counter/u],
    ['an unknown statement', [{ 'tomorrow’s': {} }], /must not use tomorrow/u],
    ['an unknown expression', [address({ tomorrow: {} })], /must not match by tomorrow/u],
    ['socket', [{ match: { op: '==', left: { socket: { key: 'mark' } }, right: 1 } }], /must not match by socket/u],
    ['meta skuid', [{ match: { op: '==', left: { meta: { key: 'skuid' } }, right: 0 } }], /must not use meta skuid/u],
    ['log', [{ log: null }], /must have a limit before log/u],
    ['log, and a limit behind', [{ log: null }, { limit: { rate: 1, per: 'second' } }], /must have a limit before log/u],
    ['log above the limit', [{ limit: { rate: 1, per: 'second', inv: true } }, { log: null }], /must have a limit before log/u],
    ['a fast limit', [{ limit: { rate: 11, per: 'second' } }, { log: null }], /must have a limit before log/u],
    ['log group', [{ limit: { rate: 1, per: 'second' } }, { log: { group: 1 } }], /must log to the kernel log/u],
    ['ip saddr router accept', [address('10.0.0.1'), accept], /host names/u],
    ['ip saddr 10.0.0.1 ip daddr router', [address('10.0.0.1'), address('10.0.0.1', 'daddr')], /host names/u],
    ['ip saddr 10.0.0.1 ip daddr router', [address('10.0.0.1'), address('10.0.0.2', 'daddr')], /host names/u],
    ['ip saddr router/24 ip daddr 10.0.1.0', [address({ prefix: { addr: '10.0.0.0', len: 24 } })], /host names/u],
  ])('%s is refused', (text, expr, why) => expect(aclRuleFault(text, expr)).toMatch(why));
});
