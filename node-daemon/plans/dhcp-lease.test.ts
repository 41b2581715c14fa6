import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf } from '../../common/domain/addressing.ts';
import { dhcpLeases, type DhcpLeases } from '../../common/schema/network.ts';
import { anyText } from '../../test/support/any-text.ts';
import { losesLeases, parseLeaseFile, renderLeaseFile } from './dhcp-lease.ts';

/** As dnsmasq 2.90 wrote it. */
const TEXT = `1795419610 02:00:00:00:00:01 10.5.0.50 web 01:02:00:00:00:00:01
1795419611 02:00:00:00:00:02 10.5.0.9 * *
duid 00:01:00:01:32:94:07:59:2e:80:f6:3a:06:05
1795254312 1 2001:db8:5::50 web 00:01:00:01:32:94:07:5b:02:00:00:00:00:01
0 T7 2001:db8:5::51 * 00:03:00:01:02:00:00:00:00:02
`;

const NETWORK = { ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: null }, ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::1' } };

const PARSED: DhcpLeases = {
  vni: 5,
  serverDuid: '00:01:00:01:32:94:07:59:2e:80:f6:3a:06:05',
  ip4: [
    { expiresS: 1_795_419_611, mac: '02:00:00:00:00:02', address: '10.5.0.9', hostname: null, clientId: null },
    { expiresS: 1_795_419_610, mac: '02:00:00:00:00:01', address: '10.5.0.50', hostname: 'web', clientId: '01:02:00:00:00:00:01' },
  ],
  ip6: [
    { expiresS: 1_795_254_312, iaid: '1', address: '2001:db8:5::50', hostname: 'web', clientDuid: '00:01:00:01:32:94:07:5b:02:00:00:00:00:01' },
    { expiresS: 0, iaid: 'T7', address: '2001:db8:5::51', hostname: null, clientDuid: '00:03:00:01:02:00:00:00:00:02' },
  ],
};

const hexList = ({ min, max }: { min: number; max: number }) => fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':'));
const hostname = fc.option(fc.stringMatching(/^[a-z0-9][a-zA-Z0-9.-]{0,20}$/u), { nil: null });
const expiresS = fc.integer({ min: 0, max: 4_000_000_000 });
const leasesOf = fc.record({
  vni: fc.constant(5),
  serverDuid: fc.option(hexList({ min: 4, max: 20 }), { nil: null }),
  ip4: fc.uniqueArray(
    fc.record({ expiresS, mac: hexList({ min: 6, max: 6 }), address: fc.integer({ min: 2, max: 254 }).map((host) => addressOf(4, 0x0a050000n + BigInt(host)).text), hostname, clientId: fc.option(hexList({ min: 1, max: 20 }), { nil: null }) }),
    { selector: (lease) => lease.address, maxLength: 8 },
  ),
  ip6: fc.uniqueArray(
    fc.record({
      expiresS,
      iaid: fc.integer({ min: 0, max: 0xffff_ffff }).chain((id) => fc.constantFrom(String(id), `T${id}`)),
      address: fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }).map((host) => addressOf(6, (0x20010db800050000n << 64n) + host).text),
      hostname,
      clientDuid: hexList({ min: 2, max: 20 }),
    }),
    { selector: (lease) => lease.address, maxLength: 8 },
  ),
});

describe('the lease file', () => {
  test('of dnsmasq is read, ordered by address', () => {
    expect(parseLeaseFile(5, TEXT)).toEqual({ leases: PARSED, whole: true });
  });

  test('written from a document is read as that document', () => {
    fc.assert(
      fc.property(leasesOf, (leases) => {
        const ordered = parseLeaseFile(5, renderLeaseFile(leases, NETWORK)).leases;
        const sort = <T extends { address: string }>(list: readonly T[]): T[] => list.toSorted((a, b) => (a.address < b.address ? -1 : 1));
        expect({ ...ordered, ip4: sort(ordered.ip4), ip6: sort(ordered.ip6) }).toEqual({ ...leases, ip4: sort(leases.ip4), ip6: sort(leases.ip6) });
        expect(parseLeaseFile(5, renderLeaseFile(ordered, NETWORK)).leases).toEqual(ordered);
      }),
      { numRuns: 15 },
    );
  });

  test('with anything between its lines is read as without it', () => {
    const noise = fc.oneof(anyText(10).map((text) => text.replaceAll('\n', '')), fc.constantFrom('', 'duid', '0 x y z', '1795419610 06-02:00:00:00:00:01 10.5.0.51 web *', '-1 02:00:00:00:00:01 10.5.0.52 * *'));
    fc.assert(
      fc.property(fc.array(noise, { minLength: 6, maxLength: 6 }), (lines) => {
        const mixed = TEXT.split('\n').map((line, index) => `${lines[index] ?? ''}\n${line}`).join('\n');
        expect(parseLeaseFile(5, mixed).leases).toEqual(PARSED);
      }),
      { numRuns: 30 },
    );
  });

  test('cut anywhere has no lease that the whole file has not, and only a whole line ends it', () => {
    const all = new Set([...PARSED.ip4, ...PARSED.ip6].map((lease) => lease.address));
    for (let length = 0; length <= TEXT.length; length += 1) {
      const { leases, whole } = parseLeaseFile(5, TEXT.slice(0, length));
      if (!whole) continue;
      for (const lease of [...leases.ip4, ...leases.ip6]) expect(all).toContain(lease.address);
      expect(length === 0 || TEXT[length - 1] === '\n').toBe(true);
    }
  });

  test('always makes a document that satisfies its schema', () => {
    fc.assert(fc.property(anyText(200), (text) => dhcpLeases.safeParse(parseLeaseFile(5, text).leases).success));
  });

  test('does not take over client identifiers that would fill a znode', () => {
    const long = Array.from({ length: 255 }, () => 'ab').join(':');
    expect(parseLeaseFile(5, `1 02:00:00:00:00:01 10.5.0.50 * ${long}\n`).leases.ip4[0]?.clientId).toBeNull();
  });

  test('written from a document leaves out addresses that are not of the network any more', () => {
    const text = renderLeaseFile(PARSED, { ip4: { network: '10.5.0.0/27', gateway: '10.5.0.1', dhcp: null }, ip6: null });
    expect(text).toBe(`1795419611 02:00:00:00:00:02 10.5.0.9 * *\nduid ${PARSED.serverDuid}\n`);
  });

  test('is never given a line that a name has made', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom('a\n1 02:00:00:00:00:09 10.5.0.66 * *', 'a b', '\r', 'a\0'), anyText(30)), (hostile) => {
        const [first, second] = PARSED.ip4;
        if (first === undefined || second === undefined) return false;
        const text = renderLeaseFile({ ...PARSED, ip4: [{ ...first, hostname: hostile, clientId: hostile }, second], ip6: [] }, NETWORK);
        const addresses = parseLeaseFile(5, text).leases.ip4.map((lease) => lease.address);
        return text.split('\n').length <= 4 && addresses.every((address) => address === first.address || address === second.address);
      }),
    );
  });

  test('loses leases when one is missing that has not run out, and not by a renewal', () => {
    const [first, second] = PARSED.ip4;
    const without = { ...PARSED, ip4: [second!] };
    expect(losesLeases(PARSED, without, first!.expiresS - 1)).toBe(true);
    expect(losesLeases(PARSED, without, first!.expiresS + 1)).toBe(false);
    expect(losesLeases(PARSED, { ...PARSED, ip4: [{ ...first!, expiresS: 1 }, second!] }, 0)).toBe(false);
    expect(losesLeases(PARSED, { ...PARSED, ip6: [PARSED.ip6[0]!] }, 2_000_000_000)).toBe(true);
  });
});
