import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../common/clock.ts';
import { dhcpReservationOperations, type DhcpReservationOperations } from '../../common/operations/dhcp-reservation.ts';
import { networkAclOperations, type NetworkAclOperations } from '../../common/operations/network-acl.ts';
import { networkOperations, type NetworkOperations } from '../../common/operations/network.ts';
import type { NetworkSettings } from '../../common/domain/network-settings.ts';
import { isAppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import { pathOf, RESOURCES, type Doc, type Kind } from '../../common/schema/resources.ts';
import { aDomainXml, aManagedNetwork } from '../support/builders.ts';
import { Cluster, codeOf, LIMIT_MS, put, threeNodes, type Client, type OperationsFixture } from './operations-harness.ts';

export interface Operations {
  networks: NetworkOperations;
  acls: NetworkAclOperations;
  reservations: DhcpReservationOperations;
}

export function operationsOf(client: Client): Operations {
  return { networks: networkOperations({ ...client, clock: systemClock }), acls: networkAclOperations(client), reservations: dhcpReservationOperations(client) };
}

export const NET4: NetworkSettings = { ip4Network: '10.5.0.0/24', ip4Gateway: '10.5.0.1', dhcp4: true, dhcp4Start: '10.5.0.100', dhcp4End: '10.5.0.199' };
export const MANAGED_5 = { type: 'managed', vni: 5 } as const;
export const MANAGED_6 = { type: 'managed', vni: 6 } as const;

/** An interface in a network, with or without a MAC address. */
export function card(vni: number | string, mac?: string): string {
  return `<interface type='bridge'>${mac === undefined ? '' : `<mac address='${mac}'/>`}<source bridge='vmbr${vni}'/></interface>`;
}

async function detailsOf(call: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await call;
    return {};
  } catch (error) {
    if (isAppError(error)) return error.details;
    throw error;
  }
}

/** Everything that holds of networks, their rules and reservations, and of VMs in them, on any store. */
export function describeNetworkOperations(name: string, open: () => Promise<OperationsFixture>): void {
  describe(name, () => {
    let cluster: Cluster;
    let a: Client;
    let ops: Operations;

    beforeEach(async () => {
      cluster = new Cluster(await open());
      a = await cluster.client('a');
      ops = operationsOf(a);
      await threeNodes(a);
    });

    afterEach(() => cluster.stop());

    const network = (vni: number) => a.mirror.get('network', String(vni))?.doc;
    const office = (more: NetworkSettings = {}) => ops.networks.create(MANAGED_5, { description: 'office', ...NET4, ...more });

    async function idsOf(kind: Kind): Promise<readonly string[]> {
      await a.store.sync();
      return a.store.list(RESOURCES[kind].root);
    }

    describe('networks', () => {
      test('a network is there with what was said and with what follows from it', async () => {
        const spec = await office({ ip6Network: '2001:db8:5::/64', nameServers: ['10.5.0.2', '2001:DB8::2'] });
        expect(network(5)).toEqual(spec);
        expect(spec).toEqual(aManagedNetwork({ description: 'office', domain: 'office.local', nameServers: ['10.5.0.2', '2001:db8::2'] }));
      });

      test('a bridged network has a VLAN and nothing that was said beyond it', async () => {
        const spec = await ops.networks.create({ type: 'bridged', vni: 100 }, { description: 'lan', mtu: 9_000, ...NET4 });
        expect(spec).toEqual({ type: 'bridged', vni: 100, description: 'lan', mtu: 9_000 });
      });

      test.each<[string, NetworkSettings, string]>([
        ['no IPv4 gateway', { ip4Gateway: undefined }, 'ip4_gateway'],
        ['a gateway that is no address', { ip4Gateway: '10.5.0' }, 'ip4_gateway'],
        ['a gateway elsewhere', { ip4Gateway: '10.6.0.1' }, 'ip4_gateway'],
        ['the network address as gateway', { ip4Gateway: '10.5.0.0' }, 'ip4_gateway'],
        ['the broadcast address as gateway', { ip4Gateway: '10.5.0.255' }, 'ip4_gateway'],
        ['an IPv6 gateway for IPv4', { ip4Gateway: '2001:db8::1' }, 'ip4_gateway'],
        ['bits beyond the prefix', { ip4Network: '10.5.0.1/24' }, 'ip4_network'],
        ['no prefix', { ip4Network: '10.5.0.0' }, 'ip4_network'],
        ['a prefix of 31 bits', { ip4Network: '10.5.0.0/31' }, 'ip4_network'],
        ['a loopback network', { ip4Network: '127.5.0.0/24' }, 'ip4_network'],
        ['an IPv6 network as IPv4', { ip4Network: '2001:db8::/64' }, 'ip4_network'],
        ['no IPv4 network', { ip4Network: undefined }, 'ip4_gateway'],
        ['no start of the range', { dhcp4Start: undefined }, 'dhcp4_start'],
        ['no end of the range', { dhcp4End: undefined }, 'dhcp4_end'],
        ['a range that is no address', { dhcp4Start: '10.5.0.1000' }, 'dhcp4_start'],
        ['a range elsewhere', { dhcp4End: '10.5.1.1' }, 'dhcp4_end'],
        ['a range backwards', { dhcp4Start: '10.5.0.200' }, 'dhcp4_end'],
        ['a range with the gateway', { dhcp4Start: '10.5.0.1' }, 'dhcp4_start'],
        ['a range without DHCP', { dhcp4: false }, 'dhcp4_start'],
        ['an IPv6 network larger than a link', { ip6Network: '2001:db8::/48' }, 'ip6_network'],
        ['a link-local IPv6 network', { ip6Network: 'fe80::/64' }, 'ip6_network'],
        ['an IPv6 gateway without network', { ip6Gateway: '2001:db8::1' }, 'ip6_gateway'],
        ['a small MTU', { mtu: 1_279 }, 'mtu'],
        ['a large MTU', { mtu: 9_951 }, 'mtu'],
        ['white space in the description', { description: 'an office' }, 'description'],
        ['a number as description', { description: '77' }, 'description'],
        ['no description', { description: undefined }, 'description'],
        ['a line break in the domain', { domain: 'office.local\ndhcp-script=/bin/sh' }, 'domain'],
        ['a comma in the domain', { domain: 'office.local,10.0.0.0/8' }, 'domain'],
        ['an option as domain', { domain: '--conf-file=/etc/passwd' }, 'domain'],
        ['a name as name server', { nameServers: ['ns.example'] }, 'name_servers'],
        ['an option as name server', { nameServers: ['10.5.0.2,option:router,10.5.0.9'] }, 'name_servers'],
        ['nine name servers', { nameServers: Array.from({ length: 9 }, (_, index) => `10.5.0.${index + 10}`) }, 'name_servers'],
      ])('%s is refused by name, and nothing stays', async (_what, settings, field) => {
        expect(Object.keys(await detailsOf(office(settings)))).toContain(field);
        expect(await codeOf(office(settings))).toBe('invalid');
        expect(await idsOf('network')).toEqual([]);
      });

      test.each([
        ['managed', 0],
        ['managed', 16_777_216],
        ['managed', 1.5],
        ['bridged', 4_095],
      ] as const)('a %s network cannot have VNI %d', async (type, vni) => {
        expect(await detailsOf(ops.networks.create({ type, vni }, { description: 'x' }))).toHaveProperty('vni');
      });

      test('the largest VNIs of each type can be', async () => {
        await ops.networks.create({ type: 'managed', vni: 16_777_215 }, { description: 'last' });
        await ops.networks.create({ type: 'bridged', vni: 4_094 }, { description: 'lan' });
        expect([network(16_777_215)?.type, network(4_094)?.type]).toEqual(['managed', 'bridged']);
      });

      test.each([
        ['2001:db8:5::77', '2001:db8:5::77'],
        [undefined, '2001:db8:5::1'],
        ['nonsense', '2001:db8:5::1'],
        ['2001:db8:6::1', '2001:db8:5::1'],
      ])('the IPv6 gateway %s is %s', async (ip6Gateway, expected) => {
        expect(await office({ ip6Network: '2001:db8:5::/64', ip6Gateway })).toMatchObject({ ip6: { gateway: expected } });
      });

      test.each([
        ['My_Net', 'my-net.local'],
        ['a..b.', 'a.b.local'],
        ['9-lives', '9-lives.local'],
        ['x_', 'x.local'],
      ])('the domain of %s is %s', async (description, domain) => {
        expect(await ops.networks.create(MANAGED_5, { description })).toMatchObject({ domain });
      });

      test('VNI, description and addresses are had by one network', async () => {
        await office({ ip6Network: '2001:db8:5::/64' });
        expect(await codeOf(office())).toBe('exists');
        expect(await detailsOf(ops.networks.create(MANAGED_6, { description: 'OFFICE' }))).toHaveProperty('description');
        expect(await detailsOf(ops.networks.create(MANAGED_6, { description: 'six', ip4Network: '10.0.0.0/8', ip4Gateway: '10.9.0.1' }))).toHaveProperty('ip4_network');
        expect(await detailsOf(ops.networks.create(MANAGED_6, { description: 'six', ip6Network: '2001:db8:5::8000:0:0:0/65' }))).toHaveProperty('ip6_network');
        expect(await idsOf('network')).toEqual(['5']);
      });

      test('what is changed is changed, what is cleared is gone, and the rest stays', async () => {
        await office({ ip6Network: '2001:db8:5::/64', mtu: 1_400 });
        expect(await ops.networks.modify(5, { dhcp4End: '10.5.0.120', domain: 'Corp.Example.' })).toEqual({ ...aManagedNetwork({ description: 'office', domain: 'corp.example', mtu: 1_400 }), ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: { start: '10.5.0.100', end: '10.5.0.120' } } });
        expect(await ops.networks.modify(5, { dhcp4: false, ip6Network: null, mtu: null, domain: null, nat: true, antiSpoofing: false })).toEqual(
          aManagedNetwork({ description: 'office', domain: 'office.local', ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp: null }, ip6: null, nat: true, antiSpoofing: false }),
        );
        expect(await codeOf(ops.networks.modify(5, { ip4Network: '10.6.0.0/24' }))).toBe('invalid');
        expect(await ops.networks.modify(5, { ip4Network: null })).toMatchObject({ ip4: null });
        expect(await codeOf(ops.networks.modify(9, { nat: true }))).toBe('not-found');
      });

      test('a network cannot be changed into another one\'s place', async () => {
        await office();
        await ops.networks.create(MANAGED_6, { description: 'six' });
        expect(await codeOf(ops.networks.modify(6, { description: 'office' }))).toBe('exists');
        expect(await codeOf(ops.networks.modify(6, { ip4Network: '10.5.0.128/25', ip4Gateway: '10.5.0.129' }))).toBe('exists');
      });

      test('a removed network takes its rules, reservations and leases with it', async () => {
        await office();
        await ops.acls.insert({ vni: 5, direction: 'in', description: 'one', rule: 'accept' });
        await ops.reservations.add(5, { mac: '52:54:00:00:00:01', addresses: ['10.5.0.7'] });
        await put(a, 'dhcp-lease', '5', { vni: 5, serverDuid: null, ip4: [], ip6: [] });
        await ops.networks.remove(5);
        for (const kind of ['network', 'network-acl', 'dhcp-reservation', 'dhcp-lease'] as const) expect(await idsOf(kind)).toEqual([]);
        expect(network(5)).toBeUndefined();
        expect(await codeOf(ops.networks.remove(5))).toBe('not-found');
      });

      test('what a removal left behind when it was cut off does not become a new network\'s', async () => {
        await put(a, 'network-acl', '5', { vni: 5, in: [{ description: 'old', rule: 'drop' }], out: [] });
        await put(a, 'dhcp-reservation', '5', { vni: 5, reservations: [{ mac: '52:54:00:00:00:01', ip4: '10.5.0.7', ip6: null, hostname: null }] });
        await office();
        expect([...(await idsOf('network-acl')), ...(await idsOf('dhcp-reservation'))]).toEqual([]);
      });

      test('a network with a VM in it stays, and the refusal names the VM', async () => {
        await office();
        await a.vms.define({ xml: aDomainXml({ name: 'web', devices: card(5) }) });
        expect(await detailsOf(ops.networks.remove(5))).toMatchObject({ vms: 'web' });
        expect(await codeOf(ops.networks.remove(5))).toBe('state');
        expect(await idsOf('network')).toEqual(['5']);
      });
    });

    describe('access rules', () => {
      const insert = (description: string, order?: number, direction: 'in' | 'out' = 'in') => ops.acls.insert({ vni: 5, direction, description, rule: `tcp dport 1 accept`, order });
      const rules = (direction: 'in' | 'out' = 'in') => a.mirror.get('network-acl', '5')?.doc[direction].map((one) => one.description);

      beforeEach(() => office());

      test('a rule gets its place, those from there on move down, and beyond the end is the end', async () => {
        expect([await insert('a'), await insert('b'), await insert('c', 0), await insert('d', 2), await insert('e', 99)]).toEqual([0, 1, 0, 2, 4]);
        expect(rules()).toEqual(['c', 'a', 'd', 'b', 'e']);
      });

      test('a description is had once in each direction', async () => {
        await insert('a');
        expect(await insert('a', 0, 'out')).toBe(0);
        expect(await codeOf(insert('a'))).toBe('exists');
        expect([rules('in'), rules('out')]).toEqual([['a'], ['a']]);
      });

      test('a rule is changed in its place, moved, and removed', async () => {
        for (const one of ['a', 'b', 'c']) await insert(one);
        expect(await ops.acls.change({ vni: 5, direction: 'in', description: 'b' }, { rule: 'drop' })).toBe(1);
        expect(await ops.acls.change({ vni: 5, direction: 'in', description: 'b' }, { order: 7 })).toBe(2);
        expect(a.mirror.get('network-acl', '5')?.doc.in.at(-1)).toEqual({ description: 'b', rule: 'drop' });
        await ops.acls.remove({ vni: 5, direction: 'in', description: 'a' });
        expect(rules()).toEqual(['c', 'b']);
        expect(await codeOf(ops.acls.remove({ vni: 5, direction: 'in', description: 'a' }))).toBe('not-found');
        expect(await codeOf(ops.acls.remove({ vni: 5, direction: 'out', description: 'b' }))).toBe('not-found');
      });

      test('four writers at once lose no rule, the first one among them', async () => {
        const clients = [a, await cluster.client('b'), await cluster.client('c'), await cluster.client('d')];
        for (const client of clients) await client.mirror.waitFor('network', '5', 0, { timeoutMs: LIMIT_MS });
        await Promise.all(clients.flatMap((client, writer) => [0, 1, 2].map((turn) => operationsOf(client).acls.insert({ vni: 5, direction: 'in', description: `w${writer}-${turn}`, rule: 'accept', order: 0 }))));
        const kept = (await a.store.read(pathOf('network-acl', '5')))?.value as Doc<'network-acl'>;
        expect(kept.in.map((one) => one.description).sort()).toEqual([0, 1, 2, 3].flatMap((writer) => [0, 1, 2].map((turn) => `w${writer}-${turn}`)));
      });

      test('sixty rules that one process adds at once are all added, in the order in which they came', async () => {
        const names = Array.from({ length: 60 }, (_, index) => `r${index}`);
        await Promise.all(names.map((name) => insert(name)));
        expect(rules()).toEqual(names);
        expect(a.mirror.get('network-acl', '5')?.version).toBe(0);
      });

      test('of many changes at once those that cannot be made fail, each for its own reason, and the others are made', async () => {
        await insert('a');
        const move = (description: string, order: number) => ops.acls.change({ vni: 5, direction: 'in', description }, { order });
        const remove = (description: string) => ops.acls.remove({ vni: 5, direction: 'in', description });
        const asked = [insert('b', 0), insert('a'), move('a', 1), insert('x; flush ruleset'), remove('absent'), insert('c'), remove('b')];
        expect(await Promise.all(asked.map(codeOf))).toEqual(['done', 'exists', 'done', 'invalid', 'not-found', 'done', 'done']);
        expect(await asked[2]).toBe(1);
        expect(rules()).toEqual(['a', 'c']);
      });

      test('there is a last rule, and it is refused', async () => {
        const many = Array.from({ length: 2_000 }, (_, index) => ({ description: `r${index}`, rule: 'accept' }));
        await put(a, 'network-acl', '5', { vni: 5, in: many, out: [] });
        expect(await codeOf(insert('one-more'))).toBe('state');
        expect(await codeOf(insert('one-more', 0, 'out'))).toBe('done');
      });

      test('rules belong to managed networks that exist', async () => {
        await ops.networks.create({ type: 'bridged', vni: 100 }, { description: 'lan' });
        expect(await codeOf(ops.acls.insert({ vni: 100, direction: 'in', description: 'x', rule: 'accept' }))).toBe('state');
        expect(await codeOf(ops.acls.insert({ vni: 9, direction: 'in', description: 'x', rule: 'accept' }))).toBe('not-found');
        expect(await codeOf(insert('x; flush ruleset'))).toBe('invalid');
      });
    });

    describe('reservations', () => {
      const add = (mac: string, addresses: string[], hostname?: string) => ops.reservations.add(5, { mac, addresses, hostname });

      beforeEach(() => office({ ip6Network: '2001:db8:5::/64' }));

      test('a reservation is kept in the form that everybody writes, and removed by any of its names', async () => {
        expect(await add('52:54:00:AA:bb:01', ['2001:DB8:5:0::7', '10.5.0.7'], 'Web1')).toEqual({ mac: '52:54:00:aa:bb:01', ip4: '10.5.0.7', ip6: '2001:db8:5::7', hostname: 'web1' });
        for (const name of ['52:54:00:aa:BB:01', '10.5.0.7', '2001:db8:5::0:7', 'WEB1']) {
          await ops.reservations.remove(5, name);
          expect(a.mirror.get('dhcp-reservation', '5')?.doc.reservations).toEqual([]);
          await add('52:54:00:aa:bb:01', ['10.5.0.7', '2001:db8:5::7'], 'web1');
        }
        expect(await codeOf(ops.reservations.remove(5, 'absent'))).toBe('not-found');
        expect(await codeOf(ops.reservations.remove(9, 'absent'))).toBe('not-found');
      });

      test.each<[string, [string, string[], string?], string]>([
        ['no MAC address', ['nonsense', ['10.5.0.7']], 'macaddress'],
        ['a group\'s MAC address', ['01:00:5e:00:00:01', ['10.5.0.7']], 'macaddress'],
        ['a MAC address and an option', ['52:54:00:00:00:01,set:x', ['10.5.0.7']], 'macaddress'],
        ['no address', ['52:54:00:00:00:01', []], 'ipaddress'],
        ['digits that are no address', ['52:54:00:00:00:01', ['999.999.999.999']], 'ipaddress'],
        ['two addresses of one family', ['52:54:00:00:00:01', ['10.5.0.7', '10.5.0.8']], 'ipaddress'],
        ['an address elsewhere', ['52:54:00:00:00:01', ['10.6.0.7']], 'ipaddress'],
        ['the gateway', ['52:54:00:00:00:01', ['10.5.0.1']], 'ipaddress'],
        ['the gateway of IPv6', ['52:54:00:00:00:01', ['2001:db8:5::1']], 'ipaddress'],
        ['the network address', ['52:54:00:00:00:01', ['10.5.0.0']], 'ipaddress'],
        ['the broadcast address', ['52:54:00:00:00:01', ['10.5.0.255']], 'ipaddress'],
        ['a host name of two labels', ['52:54:00:00:00:01', ['10.5.0.7'], 'a.b'], 'hostname'],
        ['a host name and a line', ['52:54:00:00:00:01', ['10.5.0.7'], 'a\ndhcp-script=/x'], 'hostname'],
        ['a host name and a field', ['52:54:00:00:00:01', ['10.5.0.7'], 'a,infinite'], 'hostname'],
        ['an option as host name', ['52:54:00:00:00:01', ['10.5.0.7'], '--x'], 'hostname'],
      ])('%s is refused by name', async (_what, [mac, addresses, hostname], field) => {
        expect(await codeOf(add(mac, addresses, hostname))).toBe('invalid');
        expect(Object.keys(await detailsOf(add(mac, addresses, hostname)))).toContain(field);
        expect(await idsOf('dhcp-reservation')).toEqual([]);
      });

      test('MAC address, addresses and host name are had once', async () => {
        await add('52:54:00:00:00:01', ['10.5.0.7', '2001:db8:5::7'], 'one');
        const attempts = [add('52:54:00:00:00:01', ['10.5.0.8']), add('52:54:00:00:00:02', ['10.5.0.7']), add('52:54:00:00:00:02', ['2001:db8:5::7']), add('52:54:00:00:00:02', ['10.5.0.8'], 'ONE')];
        expect(await Promise.all(attempts.map(codeOf))).toEqual(Array(4).fill('exists'));
      });

      test('an address of a family that the network does not have, or of no managed network, is refused', async () => {
        await ops.networks.create(MANAGED_6, { description: 'six', ip6Network: '2001:db8:6::/64' });
        await ops.networks.create({ type: 'bridged', vni: 100 }, { description: 'lan' });
        expect(await codeOf(ops.reservations.add(6, { mac: '52:54:00:00:00:01', addresses: ['10.5.0.7'] }))).toBe('invalid');
        expect(await codeOf(ops.reservations.add(6, { mac: '52:54:00:00:00:01', addresses: ['2001:db8:6::7'] }))).toBe('done');
        expect(await codeOf(ops.reservations.add(100, { mac: '52:54:00:00:00:01', addresses: ['10.5.0.7'] }))).toBe('state');
      });

      test('a network does not move away from under its reservations, which the refusal names', async () => {
        await add('52:54:00:00:00:01', ['10.5.0.200'], 'high');
        await ops.networks.modify(5, { dhcp4: false });
        for (const settings of [{ ip4Network: '10.5.0.0/25' }, { ip4Network: '10.6.0.0/24', ip4Gateway: '10.6.0.1' }, { ip4Network: null }, { ip4Gateway: '10.5.0.200' }]) {
          expect(await codeOf(ops.networks.modify(5, settings))).toBe('state');
          expect(Object.keys(await detailsOf(ops.networks.modify(5, settings)))).toEqual(['52:54:00:00:00:01']);
        }
        expect(await codeOf(ops.networks.modify(5, { ip4Network: '10.5.0.0/23' }))).toBe('done');
      });
    });

    describe('interfaces of VMs', () => {
      const defined = (uuid: VmId) => a.mirror.get('vm', uuid)?.doc;
      const macOf = (xml: string) => /<mac address=["']([^"']+)["']/u.exec(xml)?.[1];

      beforeEach(() => office());

      test.each([
        ['an unknown network', card(6), 'invalid'],
        ['a bridge that cannot be a network\'s', card('x'), 'invalid'],
        ['a VNI beyond all', card(16_777_216), 'invalid'],
        ['a VNI with a zero before it', card('05'), 'invalid'],
        ['a group\'s MAC address', card(5, '01:00:5e:00:00:01'), 'invalid'],
        ['no MAC address at all', card(5, 'nonsense'), 'invalid'],
        ['one MAC address twice', card(5, '52:54:00:00:00:01') + card(5, '52:54:00:00:00:01'), 'invalid'],
      ] as const)('a definition with %s is refused at define and at modify', async (_what, devices, code) => {
        expect(await codeOf(a.vms.define({ xml: aDomainXml({ devices }) }))).toBe(code);
        const { uuid } = await a.vms.define({ xml: aDomainXml() });
        expect(await codeOf(a.vms.modify(uuid, { xml: aDomainXml({ uuid: null, devices }), restart: false }))).toBe(code);
        expect(defined(uuid)?.interfaces).toEqual([]);
      });

      test('bridges of the hosts themselves are left alone', async () => {
        const devices = "<interface type='bridge'><source bridge='br0'/></interface><interface type='network'><source network='default'/></interface>";
        const { xml, interfaces } = await a.vms.define({ xml: aDomainXml({ devices }) });
        expect([interfaces, macOf(xml)]).toEqual([[], undefined]);
      });

      test('a missing MAC address is chosen once, and kept when the definition is replaced', async () => {
        const { uuid, xml, interfaces } = await a.vms.define({ xml: aDomainXml({ devices: card(5) + card(5, '52:54:00:00:00:02') }) });
        const [first] = interfaces;
        expect(first?.mac).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/u);
        expect(macOf(xml)).toBe(first?.mac);
        const again = await a.vms.modify(uuid, { xml: aDomainXml({ uuid: null, devices: card(5) }), restart: false });
        expect([again.interfaces, macOf(again.xml)]).toEqual([[first], first?.mac]);
        await ops.networks.create(MANAGED_6, { description: 'six' });
        const moved = await a.vms.modify(uuid, { xml: aDomainXml({ uuid: null, devices: card(6) }), restart: false });
        expect(moved.interfaces[0]).toMatchObject({ vni: 6 });
        expect(moved.interfaces[0]?.mac).not.toBe(first?.mac);
      });

      test('a MAC address is had by one VM, and the refusal names it', async () => {
        await a.vms.define({ xml: aDomainXml({ name: 'one', devices: card(5, '52:54:00:00:00:01') }) });
        const second = (): Promise<unknown> => a.vms.define({ xml: aDomainXml({ name: 'two', devices: card(5, '52:54:00:00:00:01'.toUpperCase()) }) });
        expect(await codeOf(second())).toBe('exists');
        expect(await detailsOf(second())).toMatchObject({ vm: 'one' });
        const { uuid } = await a.vms.define({ xml: aDomainXml({ name: 'two' }) });
        expect(await codeOf(a.vms.modify(uuid, { xml: aDomainXml({ uuid: null, name: 'two', devices: card(5, '52:54:00:00:00:01') }), restart: false }))).toBe('exists');
      });
    });
  });
}
