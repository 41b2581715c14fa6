import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../common/domain/addressing.ts';
import { isAppError } from '../../common/errors.ts';
import type { DhcpLeases, DhcpReservation } from '../../common/schema/network.ts';
import { anyText } from '../../test/support/any-text.ts';
import { aManagedNetwork } from '../../test/support/builders.ts';
import { dnsChange, dnsContents, dnsContentsFile, dnsServedBy, dnsServerConfig, hostLabelOf, reverseNameOf, type DnsNetwork, type DnsServerFacts } from './dns-server.ts';

const LAN = aManagedNetwork({ vni: 5, domain: 'lan.example' });
const WEB: DhcpReservation = { mac: '52:54:00:aa:bb:01', ip4: '10.5.0.50', ip6: '2001:db8:5::50', hostname: 'web' };

const leases = (...ip4: readonly [string, string, string?][]): DhcpLeases => ({
  vni: 5,
  serverDuid: null,
  ip4: ip4.map(([hostname, address, mac = '52:54:00:00:00:09']) => ({ expiresS: 1, mac, address, hostname, clientId: null })),
  ip6: [],
});

const aDnsNetwork = (given: Partial<DnsNetwork> = {}): DnsNetwork => ({ network: LAN, reservations: [], leases: undefined, ...given });

const dataOf = (networks: readonly DnsNetwork[], name: string): string[] =>
  [...(dnsContents(networks).records.get(`${name}.`) ?? [])].filter((line) => !/\t(SOA|NS)\t/u.test(line)).map((line) => line.split('\t').slice(3).join(' '));

describe('names', () => {
  test('of the gateway and of reservations have all their addresses, and addresses their names', () => {
    const networks = [aDnsNetwork({ reservations: [WEB] })];
    expect(dataOf(networks, 'gateway.lan.example')).toEqual(['A 10.5.0.1', 'AAAA 2001:db8:5::1']);
    expect(dataOf(networks, 'web.lan.example')).toEqual(['A 10.5.0.50', 'AAAA 2001:db8:5::50']);
    expect(dataOf(networks, '50.0.5.10.in-addr.arpa')).toEqual(['PTR web.lan.example.']);
    expect(dataOf(networks, '1.0.5.10.in-addr.arpa')).toEqual(['PTR gateway.lan.example.']);
    expect(dataOf(networks, reverseNameOf(parseAddress('2001:db8:5::50')!).slice(0, -1))).toEqual(['PTR web.lan.example.']);
  });

  test('of leases are the first label of what the guest calls itself, in lower case', () => {
    expect(dataOf([aDnsNetwork({ leases: leases(['Db1.somewhere.else', '10.5.0.101']) })], 'db1.lan.example')).toEqual(['A 10.5.0.101']);
  });

  test.each(['', '-a', 'a-', 'a_b', 'ä', 'a b', 'a\nb', '*', 'x'.repeat(64)])('a guest that calls itself %j has no name', (hostname) => {
    expect(hostLabelOf(hostname)).toBeUndefined();
  });

  test.each(['gateway', 'web', 'WEB', 'web.other.example'])('a guest that calls itself %s takes no name away', (hostname) => {
    const networks = [aDnsNetwork({ reservations: [WEB], leases: leases([hostname, '10.5.0.101']) })];
    expect(dataOf(networks, 'web.lan.example')).toEqual(['A 10.5.0.50', 'AAAA 2001:db8:5::50']);
    expect(dataOf(networks, 'gateway.lan.example')).toEqual(['A 10.5.0.1', 'AAAA 2001:db8:5::1']);
    expect(dataOf(networks, '101.0.5.10.in-addr.arpa')).toEqual([]);
  });

  test('a lease of the reserved guest stands beside its fixed addresses, by MAC address and by DUID', () => {
    const own = { expiresS: 1, iaid: '1', address: '2001:db8:5::abcd', hostname: 'web', clientDuid: '00:03:00:01:52:54:00:aa:bb:01' };
    const other = { ...own, address: '2001:db8:5::bad', clientDuid: '00:03:00:01:52:54:00:aa:bb:02' };
    const networks = [aDnsNetwork({ reservations: [{ ...WEB, ip6: null }], leases: { ...leases(['web', '10.5.0.50', WEB.mac]), ip6: [own, other] } })];
    expect(dataOf(networks, 'web.lan.example')).toEqual(['A 10.5.0.50', 'AAAA 2001:db8:5::abcd']);
  });

  test('of two leases that say the same the lower address has it', () => {
    const networks = [aDnsNetwork({ leases: leases(['app', '10.5.0.101'], ['app', '10.5.0.102', '52:54:00:00:00:10']) })];
    expect(dataOf(networks, 'app.lan.example')).toEqual(['A 10.5.0.101']);
    expect(dataOf(networks, '102.0.5.10.in-addr.arpa')).toEqual([]);
  });

  test('in two networks with one domain belong to the lower VNI, and a reservation goes before a lease of either', () => {
    const other = aManagedNetwork({ vni: 6, domain: 'lan.example', ip4: { network: '10.6.0.0/24', gateway: '10.6.0.1', dhcp: null }, ip6: null });
    const networks = [
      aDnsNetwork({ network: other, reservations: [{ ...WEB, ip4: '10.6.0.50', ip6: null }] }),
      aDnsNetwork({ leases: { ...leases(['web', '10.5.0.101'], ['app', '10.5.0.102']) } }),
    ];
    expect(dataOf(networks, 'web.lan.example')).toEqual(['A 10.6.0.50']);
    expect(dataOf(networks, 'gateway.lan.example')).toEqual(['A 10.5.0.1', 'AAAA 2001:db8:5::1']);
    expect(dataOf(networks, 'app.lan.example')).toEqual(['A 10.5.0.102']);
  });

  test('do not depend on the order in which networks are given', () => {
    const other = aManagedNetwork({ vni: 6, domain: 'lan.example', ip4: { network: '10.6.0.0/24', gateway: '10.6.0.1', dhcp: null }, ip6: null });
    const [one, two] = [aDnsNetwork({ reservations: [WEB] }), aDnsNetwork({ network: other, reservations: [WEB], leases: leases(['web', '10.6.0.101']) })];
    expect(dnsContents([one, two])).toEqual(dnsContents([two, one]));
  });
});

describe('zones', () => {
  const zonesOf = (network: string): string[] => {
    const [first = ''] = network.split('/');
    return [...dnsContents([aDnsNetwork({ network: aManagedNetwork({ domain: 'd', ip4: { network, gateway: first, dhcp: null }, ip6: null }) })]).zones].filter((zone) => zone !== 'd.');
  };

  test.each([
    ['10.0.0.0/8', ['10.in-addr.arpa.']],
    ['10.5.0.0/16', ['5.10.in-addr.arpa.']],
    ['10.5.4.0/23', ['4.5.10.in-addr.arpa.', '5.5.10.in-addr.arpa.']],
    ['10.5.0.4/31', ['4.0.5.10.in-addr.arpa.', '5.0.5.10.in-addr.arpa.']],
  ])('of %s are exactly its addresses', (network, zones) => {
    expect(zonesOf(network)).toEqual(zones);
  });

  test('of IPv6 end at a digit', () => {
    const zones = (network: string): string[] => [...dnsContents([aDnsNetwork({ network: aManagedNetwork({ domain: 'd', ip4: null, ip6: { network, gateway: '2001:db8:5::1' } }) })]).zones].filter((zone) => zone !== 'd.');
    expect(zones('2001:db8:5::/64')).toEqual(['0.0.0.0.5.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.']);
    expect(zones('2001:db8:4::/47')).toEqual(['4.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.', '5.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.']);
  });

  test('hold every record: none is outside of them', () => {
    const contents = dnsContents([aDnsNetwork({ reservations: [WEB], leases: leases(['a', '10.5.0.101'], ['b', '10.5.0.102']) })]);
    const outside = [...contents.records.keys()].filter((name) => ![...contents.zones].some((zone) => name === zone || name.endsWith(`.${zone}`)));
    expect(outside).toEqual([]);
  });
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?$/u);
const someNetwork = fc
  .record({ vni: fc.integer({ min: 1, max: 4 }), domain: fc.constantFrom('a.example', 'b.example', 'sub.a.example'), hosts: fc.array(fc.record({ hostname: label, host: fc.integer({ min: 2, max: 200 }) }), { maxLength: 8 }) })
  .map(({ vni, domain, hosts }) => {
    const network = aManagedNetwork({ vni, domain, ip4: { network: `10.${vni}.0.0/24`, gateway: `10.${vni}.0.1`, dhcp: null }, ip6: null });
    return aDnsNetwork({ network, leases: { ...leases(...hosts.map(({ hostname, host }) => [hostname, `10.${vni}.0.${host}`] as [string, string])), vni } });
  });
const someNetworks = fc.uniqueArray(someNetwork, { selector: (one) => one.network.vni, maxLength: 4 });

const zoneIn = (zones: ReadonlySet<string>, name: string): string => [...zones].filter((zone) => name === zone || name.endsWith(`.${zone}`)).toSorted((a, b) => b.length - a.length)[0] ?? '';

test('the change between any two contents leads from one to the other', () => {
  fc.assert(
    fc.property(someNetworks, someNetworks, (before, after) => {
      const [actual, desired] = [dnsContents(before), dnsContents(after)];
      const change = dnsChange(actual, desired);
      const zones = new Set(actual.zones);
      const records = new Map([...actual.records].map(([name, lines]) => [name, new Set(lines)]));
      for (const name of change.namesRemoved) records.delete(name);
      // A zone that goes takes its records along, as unbound has it.
      for (const name of [...records.keys()]) if (change.zonesRemoved.includes(zoneIn(actual.zones, name))) records.delete(name);
      for (const zone of change.zonesRemoved) zones.delete(zone);
      for (const zone of change.zonesAdded) zones.add(zone);
      for (const line of change.recordsAdded) {
        const name = line.split('\t')[0] ?? '';
        records.set(name, (records.get(name) ?? new Set()).add(line));
      }
      expect({ zones, records }).toEqual(desired);
      expect(dnsChange(desired, desired)).toEqual({ zonesAdded: [], zonesRemoved: [], namesRemoved: [], recordsAdded: [] });
    }),
    { numRuns: 40 },
  );
});

test('a name that only gains addresses is never taken away', () => {
  const change = dnsChange(dnsContents([aDnsNetwork({ reservations: [{ ...WEB, ip6: null }] })]), dnsContents([aDnsNetwork({ reservations: [WEB] })]));
  expect(change.namesRemoved).toEqual([]);
  expect(change.recordsAdded).toHaveLength(2);
});

const FACTS: DnsServerFacts = {
  place: { directory: '/run/pvc/dns', user: 'unbound' },
  listen: ['10.5.0.1', '10.0.0.9'],
  clients: ['10.5.0.0/24', '10.0.0.9/24'],
  forwarders: ['192.0.2.53'],
};

describe('the configuration', () => {
  test('listens at the gateways and floating addresses, lets their networks ask, and passes the rest on', () => {
    const text = dnsServerConfig(FACTS);
    for (const line of ['interface: 10.5.0.1', 'interface: 10.0.0.9', 'access-control: 10.5.0.0/24 allow', 'access-control: 10.0.0.0/24 allow', 'forward-addr: 192.0.2.53']) expect(text).toContain(`  ${line}\n`);
  });

  test('without forwarders refuses what is not of the cluster', () => {
    const text = dnsServerConfig({ ...FACTS, forwarders: [] });
    expect(text).toContain('access-control: 10.5.0.0/24 refuse_non_local\n');
    expect(text).not.toContain('forward-zone');
  });

  test('is the same for the same addresses in another order', () => {
    expect(dnsServerConfig({ ...FACTS, listen: FACTS.listen.toReversed(), clients: FACTS.clients.toReversed() })).toBe(dnsServerConfig(FACTS));
  });

  test('serves gateways and networks of both families', () => {
    expect(dnsServedBy([LAN])).toEqual({ listen: ['10.5.0.1', '2001:db8:5::1'], clients: ['10.5.0.0/24', '2001:db8:5::/64'] });
  });

  test('has no line that a text of a document or of the configuration has made', () => {
    const hostile = fc.oneof(fc.constantFrom('a"\n  include: "/etc/passwd', '"', '10.5.0.1 allow', '10.5.0.1@53#x', '10.5.0.0/24\n', '::1%lo'), anyText(30));
    fc.assert(
      fc.property(fc.constantFrom('listen', 'clients', 'forwarders'), hostile, (field, text) => {
        let made = '';
        try {
          made = dnsServerConfig({ ...FACTS, [field]: [text] });
        } catch (error) {
          if (!isAppError(error, 'invalid')) throw error;
        }
        return made.split('\n').every((line) => /^(server:|forward-zone:| {2}[a-z-]+: ["A-Za-z0-9./:_-]*( (allow|refuse_non_local))?|)$/u.test(line));
      }),
      { numRuns: 60 },
    );
  });

  test('of the contents has no line that a domain or a name has made', () => {
    const hostile = fc.oneof(fc.constantFrom('a" static\nlocal-zone: "com', 'a\nb', '"'), anyText(30));
    fc.assert(
      fc.property(hostile, hostile, (domain, hostname) => {
        const contents = dnsContents([aDnsNetwork({ network: { ...LAN, domain }, reservations: [{ ...WEB, hostname }], leases: leases([hostname, '10.5.0.101']) })]);
        let made = '';
        try {
          made = dnsContentsFile(contents);
        } catch (error) {
          if (!isAppError(error, 'invalid')) throw error;
        }
        return made.split('\n').every((line) => /^(local-zone: "[A-Za-z0-9. :_-]+" static|local-data: "[A-Za-z0-9. :_-]+"|)$/u.test(line));
      }),
      { numRuns: 60 },
    );
  });
});
