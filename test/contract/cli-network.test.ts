import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MirroredKind } from '../../common/schema/resources.ts';
import { aDomainXml } from '../support/builders.ts';
import { pvc, type Ran } from '../support/memory-terminal.ts';
import { aZooKeeper, ask, drop, put, putNode, startApi, TOKEN, type TestApi } from './api-support.ts';

const MAC = '52:54:00:12:34:56';
const OFFICE = 'network add 5 -d office -i 10.5.0.0/24 -g 10.5.0.1 --ipnet6 2001:db8:5::/64 --dns-server 10.5.0.2,10.5.0.3 --dhcp on --dhcp-start 10.5.0.100 --dhcp-end 10.5.0.199';

let api: TestApi;

const run = (...words: string[]): Promise<Ran> => pvc({ PVC_API_URL: api.base, PVC_API_TOKEN: TOKEN }, ...words);
const line = (text: string): Promise<Ran> => run(...text.split(' '));
/** Standard output of a command that must succeed. */
async function done(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...words);
  expect([code, stderr], words.join(' ')).toEqual([0, '']);
  return stdout;
}
const said = (text: string): Promise<string> => done(...text.split(' '));
const rows = (text: string): string[][] => text.trimEnd().split('\n').map((one) => one.split(/ {2,}/u));
const network = async (): Promise<unknown> => (await ask(api.base, '/network/office')).body;

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

describe('networks', () => {
  test('each option of a new network reaches the API', async () => {
    expect(await said(`${OFFICE} --nat on --anti-spoofing off -m 1400 -n office.example --gateway6 2001:db8:5::ff`)).toBe('network office (5) is added with gateway 10.5.0.1 and 2001:db8:5::ff\n');
    expect(await network()).toMatchObject({
      vni: 5, type: 'managed', mtu: '1400', domain: 'office.example', name_servers: ['10.5.0.2', '10.5.0.3'], nat: true, anti_spoofing: false,
      ip4: { network: '10.5.0.0/24', gateway: '10.5.0.1', dhcp_flag: 'True', dhcp_start: '10.5.0.100', dhcp_end: '10.5.0.199' },
      ip6: { network: '2001:db8:5::/64', gateway: '2001:db8:5::ff' },
    });
    await said('network add 100 -d lan -p bridged');
    expect((await ask(api.base, '/network/lan')).body).toMatchObject({ vni: 100, type: 'bridged' });
  });

  test('a change leaves what is not given, and none clears', async () => {
    await said(OFFICE);
    const before = await network();
    await said('network modify office --dhcp off --dns-server none --ipnet6 none --gateway6 none');
    expect(await network()).toMatchObject({ name_servers: [], ip6: { network: 'None', gateway: 'None' }, ip4: { network: '10.5.0.0/24', dhcp_flag: 'False' }, domain: 'office.local' });
    await said('network modify 5 --dhcp on --dhcp-start 10.5.0.100 --dhcp-end 10.5.0.199 --dns-server 10.5.0.2,10.5.0.3 --ipnet6 2001:db8:5::/64 -m 1400');
    await said('network modify office --mtu none');
    expect(await network()).toEqual(before);
    expect((await line('network modify office --mtu much')).code).toBe(2);
  });

  test('the list has what is set, and how many of the nodes have it', async () => {
    await said(OFFICE);
    await said('network add 6 -d bare');
    const { version } = api.api.mirror.get('network', '5') ?? expect.fail('there is no network');
    const has = (error: string | null) => ({ vni: 5, appliedVersion: error === null ? version : null, appliedAclVersion: null, mtu: error === null ? 1_450 : null, error });
    await put(api, 'network-status', 'hv1', { node: 'hv1', networks: [has(null)] });
    await put(api, 'network-status', 'hv2', { node: 'hv2', networks: [has('no such device')] });
    expect(rows(await said('network list'))).toEqual([
      ['VNI', 'DESCRIPTION', 'TYPE', 'MTU', 'IPNET', 'GATEWAY', 'DHCP', 'IPNET6', 'DOMAIN', 'NODES'],
      ['5', 'office', 'managed', '1450', '10.5.0.0/24', '10.5.0.1', '10.5.0.100-10.5.0.199', '2001:db8:5::/64', 'office.local', '1/2'],
      ['6', 'bare', 'managed', '-', '-', '-', '-', '-', 'bare.local', '-'],
    ]);
    expect(await said('network list ^off --columns vni --format raw')).toBe('5\n');
    const info = await said('network info office');
    expect(rows(info)).toContainEqual(['gateway6', '2001:db8:5::1']);
    expect(rows(info.slice(info.indexOf('Nodes that have it')))).toEqual([['Nodes that have it'], ['NODE', 'APPLIED', 'MTU', 'ERROR'], ['hv1', 'yes', '1450', '-'], ['hv2', 'no', '-', 'no such device']]);
    expect(JSON.parse(await said('network info 5 --format json'))).toEqual(await network());
  });

  test('a removal says what is lost and who is in the way, and does nothing without a word', async () => {
    await said(`${OFFICE} --domain x.example`);
    await put(api, 'dhcp-lease', '5', { vni: 5, serverDuid: null, ip4: ['10.5.0.101', '10.5.0.102'].map((address, at) => ({ expiresS: 1_764_000_000, mac: `52:54:00:aa:bb:0${at}`, address, hostname: null, clientId: null })), ip6: [] });
    await said(`network dhcp add office ${MAC} 10.5.0.20`);
    await done('network', 'acl', 'add', 'office', '--in', '-d', 'ssh', '-r', 'tcp dport 22 accept');
    const { code, stderr } = await line('network remove office');
    expect([code, stderr]).toEqual([2, 'pvc: network office (5) is removed from all nodes; lost with it: 1 access rule, 1 reservation, 2 leases: say --yes, there is no terminal to ask at - see pvc network remove --help\n']);
    await said('network add 1001 -d guests');
    const xml = aDomainXml({ name: 'web1', uuid: null, devices: '<interface type="bridge"><source bridge="vmbr1001"/><model type="virtio"/></interface>' });
    expect((await ask(api.base, '/vm', { form: { xml } })).code).toBe(200);
    expect((await line('network remove guests')).stderr).toContain('network guests (1001) is removed from all nodes; it is used by VM web1: the cluster refuses');
    expect((await line('network remove guests --yes')).code).toBe(1);
    expect(await said('network remove office --yes')).toBe('network office (5) is removed\n');
    expect(await said('network list --columns vni --format raw')).toBe('1001\n');
  });
});

describe('access rules', () => {
  const add = (name: string, rule: string, ...more: string[]): Promise<string> => done('network', 'acl', 'add', 'office', '-d', name, '-r', rule, ...more);
  const list = async (...more: string[]): Promise<string[][]> => rows(await done('network', 'acl', 'list', 'office', '--format', 'raw', ...more)).map(([one = '']) => one.split('\t'));

  beforeEach(async () => {
    await said('network add 5 -d office');
  });

  test('are added at their places, listed in their order, changed and removed', async () => {
    await add('ssh', 'tcp dport 22 accept', '--in');
    await add('rest', 'drop', '--in');
    await add('ping', 'icmp type echo-request accept', '--in', '-o', '0');
    await add('rest', 'tcp dport 25 drop', '--out');
    expect(await list('--in')).toEqual([['in', '0', 'ping', 'icmp type echo-request accept'], ['in', '1', 'ssh', 'tcp dport 22 accept'], ['in', '2', 'rest', 'drop']]);
    expect(await list('--out')).toEqual([['out', '0', 'rest', 'tcp dport 25 drop']]);
    await done('network', 'acl', 'modify', 'office', 'ssh', '-o', '0', '-r', 'tcp dport 2222 accept');
    expect((await list())[0]).toEqual(['in', '0', 'ssh', 'tcp dport 2222 accept']);
    expect(rows(await said('network acl info office rest')).map(([direction]) => direction)).toEqual(['DIRECTION', 'in', 'out']);
    await said('network acl remove office rest --out --yes');
    expect((await list()).map(([, , name]) => name)).toEqual(['ssh', 'ping', 'rest']);
    expect(await said('network info office --long')).toMatch(/^Access rules\n.*\nin +0 +ssh +tcp dport 2222 accept\n/mu);
  });

  test('a removal shows the rule before', async () => {
    await add('ssh', 'tcp dport 22 accept', '--in');
    expect(await line('network acl remove office ssh')).toMatchObject({ code: 2, stderr: expect.stringContaining('rule 0 of direction in of network office is lost: tcp dport 22 accept: say --yes') });
    expect(await list()).toHaveLength(1);
  });

  test('a rule needs one direction; what nft refuses is told in its words', async () => {
    expect(await run('network', 'acl', 'add', 'office', '-d', 'x', '-r', 'drop')).toMatchObject({ code: 2, stderr: expect.stringContaining('give --in or --out') });
    expect(await line('network acl list office --in --out')).toMatchObject({ code: 2, stderr: expect.stringContaining('not both') });
    expect(await line('network acl modify office ssh')).toMatchObject({ code: 2, stderr: expect.stringContaining('--rule, --order') });
    expect(await run('network', 'acl', 'add', 'office', '--in', '-d', 'x', '-r', 'tcp dport nonsense accept')).toMatchObject({ code: 1, stderr: expect.stringContaining('characters: 11-18') });
    expect(await line('network acl info office nothing')).toMatchObject({ code: 1, stderr: expect.stringContaining('network office has no access rule nothing') });
  });
});

describe('reservations and leases', () => {
  beforeEach(async () => {
    await said(OFFICE);
  });

  test('an address of each family is reserved, found by each of its names, and given back', async () => {
    expect(await said(`network dhcp add office ${MAC} 10.5.0.20 2001:db8:5::20 --hostname printer`)).toBe(`10.5.0.20 and 2001:db8:5::20 is reserved for ${MAC} in network office (5)\n`);
    expect(rows(await said('network dhcp list office'))).toEqual([['HOSTNAME', 'IP', 'IP6', 'MAC'], ['printer', '10.5.0.20', '2001:db8:5::20', MAC]]);
    for (const name of [MAC, '10.5.0.20', '2001:db8:5::20', 'printer']) expect(await said(`network lease info office ${name} --columns mac --format raw`)).toBe(`${MAC}\n`);
    expect((await line('network dhcp remove office printer')).stderr).toContain(`the reservation of 10.5.0.20 and 2001:db8:5::20 for ${MAC} (printer) in network office is lost`);
    await said('network dhcp remove office printer --yes');
    expect(rows(await said('network dhcp list office'))).toHaveLength(1);
  });

  test('leases say when they end, and cannot be removed', async () => {
    await put(api, 'dhcp-lease', '5', { vni: 5, serverDuid: null, ip4: [{ expiresS: 1_764_000_000, mac: MAC, address: '10.5.0.101', hostname: 'guest', clientId: null }], ip6: [] });
    await said('network dhcp add office 52:54:00:00:00:01 10.5.0.20');
    expect(rows(await said('network lease list office'))).toEqual([
      ['HOSTNAME', 'IP', 'IP6', 'MAC', 'RESERVED', 'ENDS'],
      ['-', '10.5.0.20', '-', '52:54:00:00:00:01', 'yes', 'never'],
      ['guest', '10.5.0.101', '-', MAC, 'no', '2025-11-24T16:00:00Z'],
    ]);
    expect(await said('network lease list office --static --columns ip --format raw')).toBe('10.5.0.20\n');
    expect(await line('network dhcp remove office guest')).toMatchObject({ code: 1, stderr: expect.stringContaining('it ends by itself') });
    expect(await line('network lease info office nobody')).toMatchObject({ code: 1 });
  });
});

test('a shell completes the names of networks, rules and leases', async () => {
  const offered = async (...words: string[]): Promise<string[][]> => (await done('complete', 'network', ...words)).split('\n').filter((one) => one !== '').map((one) => one.split('\t'));
  await said(OFFICE);
  await said('network add 6 -d lab');
  await said(`network dhcp add office ${MAC} 10.5.0.20 --hostname printer`);
  await done('network', 'acl', 'add', 'office', '--in', '-d', 'ssh', '-r', 'tcp dport 22 accept');
  expect(await offered('info', 'o')).toEqual([['office', 'VNI 5']]);
  expect(await offered('acl', 'remove', 'office', '')).toEqual([['ssh', 'tcp dport 22 accept']]);
  expect(await offered('dhcp', 'remove', 'office', '52')).toEqual([[MAC, '10.5.0.20 printer']]);
  expect(await offered('acl', 'remove', 'lab', '')).toEqual([]);
  expect(await offered('add', '9', '--type', '')).toEqual([['managed'], ['bridged']]);
});
