import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf, canonicalCidr, contains, type IpNetwork, isHostAddress, macOfDuid, overlaps, parseAddress, parseMac, parseNetwork, unusableFor } from './addressing.ts';

function network(text: string): IpNetwork {
  const found = parseNetwork(text);
  if (found === undefined) throw new Error(`${text} is no network`);
  return found;
}

function holds(of: string, address: string, test: typeof contains): boolean {
  const found = parseAddress(address);
  return found !== undefined && test(network(of), found);
}

describe('addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8::0:1', '2001:db8::1'],
    ['::', '::'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ])('%s is %s', (given, text) => expect(parseAddress(given)?.text).toBe(text));

  test.each([[''], ['10.0.0'], ['10.1'], ['010.0.0.1'], ['10.0.0.256'], ['999.999.999.999'], ['0x0a000001'], ['167772161'], ['10.0.0.1 '], ['10.0.0.1/24'], ['fe80::1%eth0'], ['fe80::1%'], [':::'], ['1::2::3'], ['12345::'], ['a'], ['10.0.0.1\n']])('%j is no address', (given) => {
    expect(parseAddress(given)).toBeUndefined();
  });

  test('an address is the same after it was written and read', () => {
    const value = fc.constantFrom(4 as const, 6 as const).chain((family) => fc.tuple(fc.constant(family), fc.bigInt({ min: 0n, max: family === 4 ? 2n ** 32n - 1n : 2n ** 128n - 1n })));
    fc.assert(fc.property(value, ([family, bits]) => void expect(parseAddress(addressOf(family, bits).text)).toEqual(addressOf(family, bits))));
  });
});

describe('networks', () => {
  test.each([
    ['10.5.0.0/24', '10.5.0.0/24'],
    ['10.5.0.77/24', '10.5.0.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:DB8:5:0::/64', '2001:db8:5::/64'],
    ['2001:db8:5::1/64', '2001:db8:5::/64'],
  ])('%s is %s', (given, text) => expect(parseNetwork(given)?.text).toBe(text));

  test.each([['10.5.0.0'], ['10.5.0.0/33'], ['10.5.0.0/'], ['10.5.0.0/08'], ['10.5.0.0/-1'], ['10.5.0.0/255.255.255.0'], ['::/129'], ['/24'], ['10.5.0.0/24/24']])('%j is no network', (given) => {
    expect(parseNetwork(given)).toBeUndefined();
  });

  test.each([
    ['10.5.0.0/24', '10.5.0.0', true, false],
    ['10.5.0.0/24', '10.5.0.1', true, true],
    ['10.5.0.0/24', '10.5.0.254', true, true],
    ['10.5.0.0/24', '10.5.0.255', true, false],
    ['10.5.0.0/24', '10.5.1.0', false, false],
    ['10.5.0.0/24', '::a05:1', false, false],
    ['fd00::/64', 'fd00::', true, false],
    ['fd00::/64', 'fd00::ffff:ffff:ffff:ffff', true, true],
    ['fd00::/64', 'fd00:0:0:1::', false, false],
  ])('%s has %s: %s; for a host: %s', (of, address, inside, forHost) => {
    expect([holds(of, address, contains), holds(of, address, isHostAddress)]).toEqual([inside, forHost]);
  });

  test.each([
    ['10.5.0.0/24', '10.5.0.0/16', true],
    ['10.5.0.0/24', '10.5.1.0/24', false],
    ['10.5.0.128/25', '10.5.0.0/25', false],
    ['fd00::/64', 'fd00::8000/113', true],
    ['0.0.0.0/0', '::/0', false],
  ])('%s and %s overlap: %s', (one, other, expected) => {
    expect([overlaps(network(one), network(other)), overlaps(network(other), network(one))]).toEqual([expected, expected]);
  });

  test.each([
    ['10.0.0.0/8', undefined],
    ['127.0.1.0/24', '127.0.0.0/8'],
    ['169.254.0.0/24', '169.254.0.0/16'],
    ['239.0.0.0/8', '224.0.0.0/3'],
    ['fd00::/64', undefined],
    ['2001:db8::/64', undefined],
    ['fe80::/64', 'fe80::/9'],
    ['ff02::/64', 'ff00::/8'],
    ['::/64', '::/8'],
  ])('%s cannot be a client network because of %s', (given, reason) => expect(unusableFor(network(given))).toBe(reason));
});

test.each([
  ['52:54:00:AA:bb:01', '52:54:00:aa:bb:01'],
  ['52-54-00-aa-bb-01', '52:54:00:aa:bb:01'],
  ['01:00:5e:00:00:01', undefined],
  ['ff:ff:ff:ff:ff:ff', undefined],
  ['00:00:00:00:00:00', undefined],
  ['52:54:00:aa:bb', undefined],
  ['52:54:00:aa:bb:0g', undefined],
  ['525400aabb01', undefined],
])('%s as a MAC address is %s', (given, mac) => expect(parseMac(given)).toBe(mac));

test.each([
  ['00:01:00:01:2b:1f:aa:01:52:54:00:aa:bb:01', '52:54:00:aa:bb:01'],
  ['00:03:00:01:52:54:00:aa:bb:01', '52:54:00:aa:bb:01'],
  ['00:02:00:00:ab:11:52:54:00:aa:bb:01', undefined],
  ['00:04:aa', undefined],
])('the MAC address in DUID %s is %s', (duid, mac) => expect(macOfDuid(duid)).toBe(mac));

test('spellings of one address are equal', () => {
  expect(canonicalCidr('FD00:0:0::1/64')).toBe('fd00::1/64');
  expect(canonicalCidr('10.0.0.1/8')).toBe('10.0.0.1/8');
});
