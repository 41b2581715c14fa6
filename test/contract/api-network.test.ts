import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MirroredKind } from '../../common/schema/resources.ts';
import { dhcpLeaseView } from '../../common/view/dhcp-lease.ts';
import { networkAclView } from '../../common/view/network-acl.ts';
import { networkView } from '../../common/view/network.ts';
import { aDomainXml, aManagedNetwork } from '../support/builders.ts';
import { aZooKeeper, ask as askAt, drop, put, putNode, startApi, type Answer, type AskOptions, type TestApi } from './api-support.ts';

let api: TestApi;

const ask = (path: string, options: AskOptions = {}): Promise<Answer> => askAt(api.base, path, options);
const send = (method: string, path: string, form?: Record<string, string> | [string, string][]): Promise<Answer> => ask(path, { method, ...(form === undefined ? {} : { form }) });

beforeAll(async () => {
  api = await startApi({ zookeeper: aZooKeeper() });
  await putNode(api, 'hv1', { coordinatorState: 'primary' });
});

afterAll(() => api.stop());

beforeEach(async () => {
  for (const kind of ['vm', 'network-acl', 'dhcp-reservation', 'dhcp-lease', 'network-status', 'network'] as const satisfies readonly MirroredKind[]) {
    for (const id of [...api.api.mirror.all(kind).keys()]) await drop(api, kind, id);
  }
});

/** What the existing command line (0.6) sends for a managed network. */
const OFFICE: [string, string][] = [
  ['vni', '5'], ['description', 'office'], ['nettype', 'managed'], ['domain', 'office.example'], ['name_servers', '10.5.0.2'], ['name_servers', '10.5.0.3'],
  ['ip4_network', '10.5.0.0/24'], ['ip4_gateway', '10.5.0.1'], ['ip6_network', '2001:db8:5::/64'], ['dhcp4', 'True'], ['dhcp4_start', '10.5.0.100'], ['dhcp4_end', '10.5.0.199'],
];

async function office(): Promise<void> {
  const answer = await send('POST', '/network', OFFICE);
  expect([answer.code, answer.body.message]).toEqual([200, 'network office (5) is added with gateway 10.5.0.1 and 2001:db8:5::1']);
}

const SHOWN = {
  vni: 5,
  description: 'office',
  type: 'managed',
  mtu: 'None',
  domain: 'office.example',
  name_servers: ['10.5.0.2', '10.5.0.3'],
  ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::1', dhcp_flag: 'True' },
  ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp_flag: 'True', dhcp_start: '10.5.0.100', dhcp_end: '10.5.0.199' },
  nat: false,
  anti_spoofing: true,
  nodes: [],
};

describe('networks', () => {
  test('a managed network is added as the command line sends it, and shown as it expects it', async () => {
    await office();
    for (const path of ['/network/5', '/network/office']) expect((await ask(path)).body).toEqual(SHOWN);
    expect((await ask('/network')).body).toEqual([SHOWN]);
    expect((await ask('/status')).body.networks).toBe(1);
  });

  test('a bridged network ignores what only a managed one has, and shows None for it', async () => {
    expect((await send('POST', '/network', { vni: '100', description: 'lan', nettype: 'bridged', ip4_network: 'nonsense', dhcp4: 'False', mtu: '9000' })).code).toBe(200);
    expect((await ask('/network/100')).body).toMatchObject({
      type: 'bridged', mtu: '9000', domain: 'None', name_servers: [], ip6: { network: 'None', gateway: 'None', dhcp_flag: 'False' },
      ip4: { network: 'None', gateway: 'None', dhcp_flag: 'False', dhcp_start: 'None', dhcp_end: 'None' },
    });
  });

  test('the path can name the VNI of a new network', async () => {
    expect((await send('POST', '/network/7', { description: 'seven', nettype: 'managed' })).code).toBe(200);
    expect((await ask('/network/seven')).body).toMatchObject({ vni: 7, domain: 'seven.local' });
    expect((await send('POST', '/network/7', { description: 'again', nettype: 'managed' })).code).toBe(510);
  });

  test('the list is by VNI, and limited by description or VNI', async () => {
    for (const [vni, description] of [['30', 'web'], ['4', 'web2'], ['5', 'db']] as const) await send('POST', '/network', { vni, description, nettype: 'managed' });
    const vnis = async (limit?: string): Promise<number[]> => (await ask('/network', limit === undefined ? {} : { query: { limit } })).body.map((one: { vni: number }) => one.vni);
    expect([await vnis(), await vnis('eb'), await vnis('^web$'), await vnis('30'), await vnis('none')]).toEqual([[4, 5, 30], [4, 30], [30], [30], []]);
    expect((await ask('/network', { query: { limit: '(' } })).code).toBe(510);
  });

  test.each([
    ['vni', [['vni', '']]],
    ['description', [['description', '']]],
    ['nettype', [['nettype', 'wireless']]],
    ['vni', [['vni', '4095'], ['nettype', 'bridged']]],
    ['vni', [['vni', '16777216']]],
    ['ip4_gateway', [['ip4_gateway', 'None']]],
    ['dhcp4_start', [['dhcp4_start', '']]],
    ['mtu', [['mtu', '1000']]],
    ['domain', [['domain', "a'; --conf-file=/x"]]],
    ['name_servers', [['name_servers', 'a,b']]],
    ['description', [['description', '../../node']]],
  ] as [string, [string, string][]][])('a fault in %s is answered with 510 and its name, and nothing is added', async (field, changes) => {
    const form = [...OFFICE.filter(([name]) => changes.every(([other]) => other !== name)), ...changes];
    const answer = await send('POST', '/network', form);
    expect([answer.code, answer.body.message]).toEqual([510, expect.stringContaining(`${field}: `)]);
    expect((await ask('/network')).body).toEqual([]);
  });

  test('a network is changed by what is given alone; the older command line\'s dhcp4_flag counts', async () => {
    await office();
    expect((await send('PUT', '/network/office', { dhcp4_flag: 'False', name_servers: '', description: 'home' })).code).toBe(200);
    expect((await ask('/network/5')).body).toEqual({ ...SHOWN, description: 'home', name_servers: [], ip4: { ...SHOWN.ip4, dhcp_flag: 'False', dhcp_start: 'None', dhcp_end: 'None' } });
    expect((await send('PUT', '/network/home', { ip4_gateway: '10.9.0.1' })).code).toBe(510);
    expect((await send('PUT', '/network/absent', { domain: 'x' })).code).toBe(510);
  });

  test('an absent network is 404 for a GET and 510 for a command', async () => {
    for (const path of ['/network/9', '/network/absent', '/network/9/acl', '/network/9/lease', '/network/0', '/network/99999999999']) expect((await ask(path)).code).toBe(404);
    expect((await send('DELETE', '/network/9')).code).toBe(510);
  });

  test('a network in use stays with the names of its VMs; another one goes', async () => {
    await office();
    const devices = "<interface type='bridge'><source bridge='vmbr5'/></interface>";
    expect((await send('POST', '/vm', { xml: aDomainXml({ name: 'web1', devices }) })).code).toBe(200);
    const refused = await send('DELETE', '/network/5');
    expect([refused.code, refused.body.message]).toEqual([510, 'VMs have interfaces in the network (network: office, vms: web1)']);
    expect((await send('DELETE', '/vm/web1')).code).toBe(200);
    expect((await send('DELETE', '/network/office')).code).toBe(200);
    expect((await ask('/network/5')).code).toBe(404);
  });

  test('a VM in an unknown network is refused with the bridge and the number', async () => {
    const answer = await send('POST', '/vm', { xml: aDomainXml({ devices: "<interface type='bridge'><source bridge='vmbr77'/></interface>" }) });
    expect([answer.code, answer.body.message]).toEqual([510, 'the network of an interface does not exist (interface: 1, bridge: vmbr77, vni: 77)']);
  });

  test('what the nodes have of it is shown, and what they lack', async () => {
    await put(api, 'network', '5', aManagedNetwork());
    const { version } = api.api.mirror.get('network', '5') ?? { version: -1 };
    await put(api, 'network-status', 'hv1', { node: 'hv1', networks: [{ vni: 5, appliedVersion: version, appliedAclVersion: null, mtu: 1_450, error: null }] });
    await put(api, 'network-status', 'hv2', { node: 'hv2', networks: [{ vni: 6, appliedVersion: 0, appliedAclVersion: null, mtu: null, error: null }, { vni: 5, appliedVersion: version, appliedAclVersion: null, mtu: null, error: 'no such device' }] });
    expect((await ask('/network/5')).body).toMatchObject({ mtu: '1450', nodes: [{ node: 'hv1', applied: true, applied_version: version, applied_acl_version: null, mtu: 1_450, error: null }, { node: 'hv2', applied: false, mtu: null, error: 'no such device' }] });
    await send('PUT', '/network/5', { nat: '' });
    expect((await ask('/network/5')).body.nodes[0]).toMatchObject({ applied: false });
    const health = async (): Promise<unknown[]> => (await ask('/status')).body.cluster_health.messages.filter((one: { id: string }) => one.id.startsWith('NETWORK'));
    expect(await health()).toEqual([]);
    await put(api, 'network-status', 'hv1', { node: 'hv1', networks: [{ vni: 5, appliedVersion: 0, appliedAclVersion: null, mtu: null, error: 'no such device' }] });
    expect(await health()).toEqual([{ id: 'NETWORK_5_hv1', health_delta: 10, text: 'network 5 on node hv1: no such device' }]);
  });
});

describe('access rules', () => {
  const add = (description: string, more: Record<string, string> = {}): Promise<Answer> => send('POST', '/network/office/acl', { description, direction: 'in', rule: 'tcp dport 22 ct state new accept', ...more });
  const list = async (query: Record<string, string> = {}): Promise<unknown[]> => (await ask('/network/5/acl', { query })).body.map((one: { direction: string; order: number; description: string }) => [one.direction, one.order, one.description]);

  beforeEach(office);

  test('rules are added at their places, listed in order by direction, found and limited', async () => {
    for (const [description, more] of [['a', {}], ['b', { order: '0' }], ['c', { order: '1' }], ['d', { direction: 'out', rule: 'drop' }], ['a', { direction: 'out', order: '500' }]] as [string, Record<string, string>][]) {
      const answer = await add(description, more);
      expect(answer.code, answer.text).toBe(200);
    }
    expect(await list()).toEqual([['in', 0, 'b'], ['in', 1, 'c'], ['in', 2, 'a'], ['out', 0, 'd'], ['out', 1, 'a']]);
    expect(await list({ direction: 'out' })).toEqual([['out', 0, 'd'], ['out', 1, 'a']]);
    expect(await list({ limit: '^[bc]$' })).toEqual([['in', 0, 'b'], ['in', 1, 'c']]);
    expect((await ask('/network/5/acl', { query: { direction: 'up' } })).code).toBe(510);
    expect((await ask('/network/5/acl/d')).body).toEqual({ direction: 'out', order: 0, description: 'd', rule: 'drop' });
    expect((await ask('/network/5/acl/a', { query: { direction: 'in' } })).body).toEqual({ direction: 'in', order: 2, description: 'a', rule: 'tcp dport 22 ct state new accept' });
    expect((await ask('/network/5/acl/a')).body.map((one: { direction: string }) => one.direction)).toEqual(['in', 'out']);
    const absent = await ask('/network/5/acl/absent');
    expect([absent.code, absent.body]).toEqual([200, {}]);
  });

  test('a rule that nft does not take is refused with its words and the place, and is not there', async () => {
    const answer = await add('bad', { rule: 'tcp dport 22 acept' });
    expect([answer.code, answer.body.message]).toEqual([510, expect.stringMatching(/^the rule is not one that a network can have \(rule: syntax error.*, characters: 1\d-1\d\)$/u)]);
    expect(await list()).toEqual([]);
  });

  test.each(['accept; flush ruleset', 'accept\nflush ruleset', 'jump other', 'include "/etc/passwd"', 'accept comment "x"', 'queue', 'ip saddr localhost accept', '-f /etc/passwd', 'x'.repeat(1_025), 'é'])('%j is refused', async (rule) => {
    const answer = await add('bad', { rule });
    expect([answer.code, answer.text.includes('root:')]).toEqual([510, false]);
    expect(await list()).toEqual([]);
  });

  test.each([{ direction: 'up' }, { direction: '' }, { rule: '' }, { order: '-1' }, { order: 'x' }, { description: 'a b' }, { description: '../x' }, { description: '' }])('%j is refused', async (more) => {
    expect((await add('a', more)).code).toBe(510);
    expect(await list()).toEqual([]);
  });

  test('a rule is removed by description and direction; the direction may be left out where it is clear', async () => {
    await add('a');
    await add('a', { direction: 'out' });
    await add('b');
    expect((await send('DELETE', '/network/5/acl/a')).code).toBe(510);
    expect((await send('DELETE', '/network/5/acl/a', { direction: 'out' })).code).toBe(200);
    expect((await send('DELETE', '/network/5/acl/a')).code).toBe(200);
    expect((await send('DELETE', '/network/5/acl/b', { direction: 'out' })).code).toBe(510);
    expect((await send('DELETE', '/network/5/acl/absent', { direction: 'in' })).code).toBe(510);
    expect(await list()).toEqual([['in', 0, 'b']]);
  });

  test('a rule is changed in text and place, and added by the path', async () => {
    expect((await send('POST', '/network/5/acl/first', { direction: 'in', rule: 'accept' })).code).toBe(200);
    await add('second');
    expect((await send('PUT', '/network/5/acl/first', { rule: 'drop', order: '9' })).code).toBe(200);
    expect((await ask('/network/5/acl/first')).body).toMatchObject({ rule: 'drop', order: 1 });
    expect((await send('PUT', '/network/5/acl/first', { rule: 'drp' })).code).toBe(510);
    expect((await send('PUT', '/network/5/acl/absent', { rule: 'drop' })).code).toBe(510);
  });

  test('a bridged network has no rules', async () => {
    await send('POST', '/network', { vni: '100', description: 'lan', nettype: 'bridged' });
    expect((await send('POST', '/network/lan/acl', { description: 'a', direction: 'in', rule: 'accept' })).code).toBe(510);
    expect((await ask('/network/lan/acl')).body).toEqual([]);
  });
});

describe('leases', () => {
  const MAC = '52:54:00:aa:bb:01';
  const reserve = (form: Record<string, string> | [string, string][]): Promise<Answer> => send('POST', '/network/5/lease', form);

  beforeEach(async () => {
    await office();
    await put(api, 'dhcp-lease', '5', {
      vni: 5,
      serverDuid: null,
      ip4: [
        { expiresS: 1_764_000_000, mac: '52:54:00:aa:bb:02', address: '10.5.0.101', hostname: 'guest2', clientId: null },
        { expiresS: 1_764_000_000, mac: MAC, address: '10.5.0.7', hostname: 'web1', clientId: null },
      ],
      ip6: [{ expiresS: 0, iaid: '1', address: '2001:db8:5::77', hostname: null, clientDuid: '00:03:00:01:52:54:00:aa:bb:02' }],
    });
  });

  test('reservations come first, then the leases that are not theirs, in the words of the command line', async () => {
    expect((await reserve({ macaddress: MAC.toUpperCase(), ipaddress: '10.5.0.7', hostname: 'web1' })).code).toBe(200);
    const fixed = { hostname: 'web1', ip4_address: '10.5.0.7', ip6_address: '', mac_address: MAC, timestamp: 'static' };
    const dynamic = { hostname: 'guest2', ip4_address: '10.5.0.101', ip6_address: '', mac_address: '52:54:00:aa:bb:02', timestamp: '1764000000' };
    const six = { hostname: '', ip4_address: '', ip6_address: '2001:db8:5::77', mac_address: '52:54:00:aa:bb:02', timestamp: '0' };
    expect((await ask('/network/5/lease')).body).toEqual([fixed, dynamic, six]);
    expect((await ask('/network/office/dhcp', { query: 'static' })).body).toEqual([fixed]);
    expect((await ask('/network/5/lease', { query: { static: 'True', limit: 'cc' } })).body).toEqual([]);
    expect((await ask('/network/5/lease', { query: { limit: 'bb:02$' } })).body).toEqual([dynamic, six]);
    for (const path of ['dhcp', 'lease']) for (const name of [MAC, '10.5.0.7', 'WEB1']) expect((await ask(`/network/5/${path}/${name}`)).body).toEqual(fixed);
    expect((await ask('/network/5/dhcp/2001:DB8:5::0:77')).body).toEqual(six);
    expect((await ask('/network/5/dhcp/absent')).code).toBe(404);
  });

  test('an address of each family is reserved, repeated or joined by a comma, by the path too', async () => {
    expect((await reserve([['macaddress', MAC], ['ipaddress', '10.5.0.8'], ['ipaddress', '2001:db8:5::8']])).code).toBe(200);
    expect((await send('POST', '/network/5/lease/52:54:00:aa:bb:09', { ipaddress: '10.5.0.9,2001:db8:5::9', hostname: 'nine' })).code).toBe(200);
    expect((await ask('/network/5/dhcp/nine')).body).toEqual({ hostname: 'nine', ip4_address: '10.5.0.9', ip6_address: '2001:db8:5::9', mac_address: '52:54:00:aa:bb:09', timestamp: 'static' });
  });

  test.each([
    [{ macaddress: '', ipaddress: '10.5.0.7' }, 'macaddress'],
    [{ macaddress: MAC }, 'ipaddress'],
    [{ macaddress: MAC, ipaddress: '10.5.1.7' }, 'ipaddress'],
    [{ macaddress: MAC, ipaddress: '10.5.0.1' }, 'ipaddress'],
    [{ macaddress: MAC, ipaddress: '10.5.0.7', hostname: 'a b' }, 'hostname'],
    [{ macaddress: MAC, ipaddress: '10.5.0.7', hostname: 'a,set:x' }, 'hostname'],
    [{ macaddress: `${MAC}\ndhcp-script=/bin/sh`, ipaddress: '10.5.0.7' }, 'macaddress'],
  ] as [Record<string, string>, string][])('%j is refused by %s', async (form, field) => {
    const answer = await reserve(form);
    expect([answer.code, answer.body.message]).toEqual([510, expect.stringContaining(`${field}: `)]);
    expect((await ask('/network/5/lease', { query: 'static' })).body).toEqual([]);
  });

  test('a reservation is removed under both paths; a lease that was given out is not', async () => {
    for (const path of ['dhcp', 'lease']) {
      await reserve({ macaddress: MAC, ipaddress: '10.5.0.8' });
      expect((await send('DELETE', `/network/5/${path}/${MAC}`)).code).toBe(200);
    }
    const dynamic = await send('DELETE', '/network/5/dhcp/52:54:00:aa:bb:02');
    expect([dynamic.code, dynamic.body.message]).toEqual([510, expect.stringContaining('ends by itself')]);
    expect((await send('DELETE', '/network/5/dhcp/absent')).code).toBe(510);
  });
});

test('every view is what the API\'s own document says', async () => {
  await office();
  await send('POST', '/network/5/acl', { description: 'a', direction: 'in', rule: 'accept' });
  await send('POST', '/network/5/lease', { macaddress: '52:54:00:aa:bb:01', ipaddress: '10.5.0.7' });
  expect(networkView.strict().array().parse((await ask('/network')).body)).toHaveLength(1);
  expect(networkAclView.strict().array().parse((await ask('/network/5/acl')).body)).toHaveLength(1);
  expect(dhcpLeaseView.strict().array().parse((await ask('/network/5/lease')).body)).toHaveLength(1);
  const { paths } = (await ask('/openapi.json')).body as { paths: Record<string, object> };
  const methods = Object.entries(paths).filter(([path]) => path.startsWith('/api/v1/network')).map(([path, operations]) => [path.slice('/api/v1/network'.length), Object.keys(operations).sort().join(' ')]);
  expect(Object.fromEntries(methods)).toEqual({
    '': 'get post',
    '/{network}': 'delete get post put',
    '/{network}/acl': 'get post',
    '/{network}/acl/{acl}': 'delete get post put',
    '/{network}/lease': 'get post',
    '/{network}/dhcp/{lease}': 'delete get post',
  });
});

test('changes of networks, their rules and their state on a node are told as events', async () => {
  await office();
  const controller = new AbortController();
  const response = await fetch(`${api.base}/events?kinds=network&id=office`, { headers: { 'X-Api-Key': 'a-token-of-the-tests-1' }, signal: controller.signal });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = '';
  const events = (): { id: string; gone: boolean; document?: { nodes: unknown[] } }[] => text.split('\n\n').flatMap((one) => (one.includes('event: network') ? [JSON.parse(/^data: (.*)$/mu.exec(one)?.[1] ?? '{}')] : []));
  const count = async (wanted: number): Promise<void> => {
    while (events().length < wanted) text += Buffer.from((await reader.read()).value ?? []).toString();
  };
  while (!text.includes('event: ready')) text += Buffer.from((await reader.read()).value ?? []).toString();
  await send('POST', '/network/5/acl', { description: 'a', direction: 'in', rule: 'accept' });
  await count(1);
  await put(api, 'network-status', 'hv1', { node: 'hv1', networks: [{ vni: 5, appliedVersion: 0, appliedAclVersion: 0, mtu: 1_450, error: null }, { vni: 6, appliedVersion: 0, appliedAclVersion: null, mtu: null, error: null }] });
  await count(2);
  await put(api, 'network-status', 'hv1', { node: 'hv1', networks: [{ vni: 5, appliedVersion: 0, appliedAclVersion: 0, mtu: 1_450, error: null }] });
  await send('PUT', '/network/5', { nat: 'True' });
  await count(3);
  controller.abort();
  expect(events().map(({ id, gone }) => [id, gone])).toEqual(Array(3).fill(['5', false]));
  expect(events()[1]?.document?.nodes).toEqual([{ node: 'hv1', applied: true, applied_version: 0, applied_acl_version: 0, mtu: 1_450, error: null }]);
});
