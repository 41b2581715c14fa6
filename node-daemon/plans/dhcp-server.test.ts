import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { dhcpReservation, managedNetwork, type DhcpReservation, type ManagedNetwork } from '../../common/schema/network.ts';
import { anyText } from '../../test/support/any-text.ts';
import { aManagedNetwork } from '../../test/support/builders.ts';
import { dhcpHostsFile, dhcpServerConfig, gatewayAddresses, needsDhcpServer, type DhcpServerFacts } from './dhcp-server.ts';

const FACTS: DhcpServerFacts = {
  files: { pid: '/run/pvc/dhcp/5/pid', leases: '/run/pvc/dhcp/5/leases', hosts: '/run/pvc/dhcp/5/hosts', account: { user: 'dnsmasq', group: 'nogroup' } },
  bridge: { name: 'vmbr5', index: 7, mtuBytes: 1_450 },
};

const WEB: DhcpReservation = { mac: '52:54:00:aa:bb:01', ip4: '10.5.0.50', ip6: '2001:db8:5::50', hostname: 'web' };

const linesOf = (network: ManagedNetwork, name: string): string[] =>
  dhcpServerConfig(network, FACTS)
    .split('\n')
    .flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []));

describe('the configuration', () => {
  test.each([
    ['bridged', { type: 'bridged', vni: 5, description: 'x', mtu: null } as const, false],
    ['without addresses', aManagedNetwork({ ip4: null, ip6: null }), false],
    ['with IPv4 but no DHCP', aManagedNetwork({ ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: null }, ip6: null }), false],
    ['with IPv6 only', aManagedNetwork({ ip4: null }), true],
    ['with DHCP', aManagedNetwork({ ip6: null }), true],
  ])('a network %s has a server: %s', (_name, network, needed) => {
    expect(needsDhcpServer(network)).toBe(needed);
  });

  test('IPv4 has its range, both families are bound to the one bridge, and DNS is left to another', () => {
    expect(linesOf(aManagedNetwork(), 'dhcp-range')).toEqual(['10.5.0.100,10.5.0.199,255.255.255.0,172800', '2001:db8:5::,static,slaac,64,86400']);
    expect(linesOf(aManagedNetwork(), 'interface')).toEqual(['vmbr5']);
    expect(linesOf(aManagedNetwork(), 'port')).toEqual(['0']);
  });

  test.each([
    ['10.0.0.0/8', '255.0.0.0'],
    ['10.5.0.0/22', '255.255.252.0'],
    ['10.5.0.0/30', '255.255.255.252'],
  ])('%s has the mask %s', (network, mask) => {
    const range = linesOf(aManagedNetwork({ ip4: { network, gateway: '10.5.0.1', dhcp: { start: '10.5.0.2', end: '10.5.0.2' } } }), 'dhcp-range')[0];
    expect(range).toBe(`10.5.0.2,10.5.0.2,${mask},172800`);
  });

  test.each([
    ['2001:db8:5::/64', '2001:db8:5::1', '2001:db8:5::2,2001:db8:5:0:ffff:ffff:ffff:ffff,64,86400'],
    ['2001:db8:5::/120', '2001:db8:5::1', '2001:db8:5::2,2001:db8:5::ff,120,86400'],
    ['2001:db8::/32', '2001:db8:7::1', '2001:db8:7::2,2001:db8:7:0:ffff:ffff:ffff:ffff,64,86400'],
  ])('IPv6 alone gives out addresses of %s', (network, gateway, range) => {
    expect(linesOf(aManagedNetwork({ ip4: null, ip6: { network, gateway } }), 'dhcp-range')).toEqual([range]);
  });

  test('hosts do not make their own addresses in a network of another length than 64', () => {
    expect(linesOf(aManagedNetwork({ ip6: { network: '2001:db8:5::/112', gateway: '2001:db8:5::1' } }), 'dhcp-range')[1]).toBe('2001:db8:5::,static,112,86400');
  });

  test('name servers are those of the network, else the gateway', () => {
    const dns = (nameServers: string[]): string[] => linesOf(aManagedNetwork({ nameServers }), 'dhcp-option').filter((line) => line.includes('dns-server'));
    expect(dns([])).toEqual(['option:dns-server,10.5.0.1', 'option6:dns-server,[2001:db8:5::1]']);
    expect(dns(['192.0.2.1', '2001:db8::53', '192.0.2.2'])).toEqual(['option:dns-server,192.0.2.1,192.0.2.2', 'option6:dns-server,[2001:db8::53]']);
    expect(dns(['192.0.2.1'])).toEqual(['option:dns-server,192.0.2.1']);
  });

  test('a new device of the same name makes another configuration', () => {
    expect(dhcpServerConfig(aManagedNetwork(), FACTS)).not.toBe(dhcpServerConfig(aManagedNetwork(), { ...FACTS, bridge: { ...FACTS.bridge, index: 8 } }));
  });

  test('the gateways that must be there are in the text form of the kernel', () => {
    expect(gatewayAddresses(aManagedNetwork({ ip6: { network: '2001:db8:5::/64', gateway: '2001:0DB8:5:0::1' } }))).toEqual(['10.5.0.1', '2001:db8:5::1']);
  });
});

describe('the reservations', () => {
  test('have both addresses and the name with the domain, in the order of the MAC addresses', () => {
    const network = aManagedNetwork({ domain: 'corp.example' });
    const other = { mac: '52:54:00:aa:bb:00', ip4: null, ip6: '2001:db8:5::51', hostname: null };
    expect(dhcpHostsFile(network, [WEB, other])).toBe('52:54:00:aa:bb:00,[2001:db8:5::51]\n52:54:00:aa:bb:01,10.5.0.50,[2001:db8:5::50],web.corp.example\n');
  });

  test.each(['ignore', 'infinite', '10m', '3600', 'deprecated'])('a name like dnsmasq\'s own word %s stays a name', (hostname) => {
    expect(dhcpHostsFile(aManagedNetwork({ domain: 'corp.example' }), [{ ...WEB, hostname }])).toMatch(new RegExp(`,${hostname}\\.corp\\.example\\n$`, 'u'));
  });

  test('a name that would be an address with its domain is left out', () => {
    expect(dhcpHostsFile(aManagedNetwork({ domain: '2.3.4' }), [{ ...WEB, ip6: null, hostname: '1' }])).toBe('52:54:00:aa:bb:01,10.5.0.50\n');
  });
});

/** What a person or a faulty document might put anywhere. */
const hostile = fc.oneof(
  fc.constantFrom('a\nconf-file=/etc/passwd', 'a b', 'a,b', 'x#y', '"', "'", '\\', 'a\r', 'a\0b', 'ä', 'a=b', '/etc/x', '..', '-a', 'tag:x', 'a\u2028b', '$(id)', '`id`', 'a;b'),
  anyText(40),
);

describe('injection', () => {
  const KNOWN = /^(# network \d+, device \d+|(port|user|group|pid-file|interface|except-interface|domain|dhcp-lease-max|dhcp-leasefile|dhcp-hostsfile|log-async|dhcp-range|dhcp-option|dhcp-option-force|ra-param)=[A-Za-z0-9.:,[\]/_-]+|keep-in-foreground|bind-dynamic|no-resolv|no-hosts|dhcp-authoritative|quiet-dhcp|quiet-dhcp6|quiet-ra|enable-ra)$/u;

  test('no text of a document makes a line of its own, whether or not it passed its schema', () => {
    const fields = ['domain', 'nameServers', 'network4', 'gateway4', 'start', 'end', 'network6', 'gateway6'] as const;
    fc.assert(
      fc.property(fc.constantFrom(...fields), hostile, (field, text) => {
        const base = aManagedNetwork();
        const network: ManagedNetwork = {
          ...base,
          domain: field === 'domain' ? text : base.domain,
          nameServers: field === 'nameServers' ? [text] : [],
          ip4: { network: field === 'network4' ? text : '10.5.0.0/24', gateway: field === 'gateway4' ? text : '10.5.0.1', dhcp: { start: field === 'start' ? text : '10.5.0.100', end: field === 'end' ? text : '10.5.0.199' } },
          ip6: { network: field === 'network6' ? text : '2001:db8:5::/64', gateway: field === 'gateway6' ? text : '2001:db8:5::1' },
        };
        const lines = attempt(() => dhcpServerConfig(network, FACTS)) ?? '';
        return lines.split('\n').every((line) => line === '' || KNOWN.test(line));
      }),
      { numRuns: 500 },
    );
  });

  test('a schema that lets a text pass never meets a refusal', () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/u);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 8 }), label, (labels, nameServers, hostname) => {
        const network = managedNetwork.safeParse({ ...aManagedNetwork(), domain: labels.join('.'), nameServers });
        const reservation = dhcpReservation.safeParse({ ...WEB, hostname });
        fc.pre(network.success && reservation.success);
        if (!network.success || !reservation.success) return;
        dhcpServerConfig(network.data, FACTS);
        expect(dhcpHostsFile(network.data, [reservation.data]).split('\n')).toHaveLength(2);
      }),
      { numRuns: 40 },
    );
  });

  test('no text of a reservation makes a line or a field of its own', () => {
    fc.assert(
      fc.property(fc.constantFrom('mac', 'ip4', 'ip6', 'hostname'), hostile, (field, text) => {
        const lines = attempt(() => dhcpHostsFile(aManagedNetwork(), [{ ...WEB, [field]: text }])) ?? '\n';
        return lines.split('\n').length === 2 && lines.split(',').length <= 4 && /^[A-Za-z0-9.:,[\]_-]*\n$/u.test(lines);
      }),
      { numRuns: 500 },
    );
  });
});

function attempt(make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    return undefined;
  }
}
