import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ShownValue } from '../../api/openapi.ts';
import type { Route } from '../../api/route.ts';
import type { Logger } from '../../common/log.ts';
import { RESOURCES, type Kind } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import { isRefused, nasty, REFUSALS, send, triesOf, tryRoute, type Body, type Try } from '../support/bad-input.ts';
import { aManagedNetwork, aVmId } from '../support/builders.ts';
import { aZooKeeper, domainXml, drop, put, putNode, putVm, putVmStatus, startApi, type TestApi } from './api-support.ts';

/** Tries of each route; more with PVC_FUZZ_RUNS. */
const RUNS = Number(process.env['PVC_FUZZ_RUNS'] ?? 40);
/** All routes together. */
const ROUTES_MS = 35_000;

let api: TestApi;
/** What the API itself took for a fault of its own. */
const errors: object[] = [];

beforeAll(async () => {
  const log: Logger = { error: (fields) => void errors.push(fields), warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => log };
  api = await startApi({ zookeeper: aZooKeeper(), log });
  await putNode(api, 'hv1', { coordinatorState: 'primary' });
  await putNode(api, 'hv2');
});

afterAll(() => api.stop());

/** The VMs that the tries are about, whatever an earlier try did to them. One runs, unless it is to be removed: nobody here would stop it. */
async function population(one: Route): Promise<void> {
  for (const [number, name] of [[1, 'web1'], [2, 'web2']] as const) {
    if (api.api.mirror.get('vm', aVmId(number))?.doc.name !== name) await putVm(api, { uuid: aVmId(number), name });
  }
  await networks();
  if (one.method === 'DELETE') await drop(api, 'vm-status', aVmId(1));
  else if (api.api.mirror.get('vm-status', aVmId(1)) === undefined) await putVmStatus(api, aVmId(1));
}

/** One network with a rule, a reservation and a lease, one that VMs are in, and a bridged one. */
async function networks(): Promise<void> {
  const { mirror } = api.api;
  if (mirror.get('network', '5') === undefined) await put(api, 'network', '5', aManagedNetwork());
  if (mirror.get('network', '1001') === undefined) await put(api, 'network', '1001', aManagedNetwork({ vni: 1_001, ip4: null, ip6: null }));
  if (mirror.get('network', '100') === undefined) await put(api, 'network', '100', { type: 'bridged', vni: 100, description: 'lan', mtu: null });
  if (mirror.get('network-acl', '5')?.doc.in.length !== 1) await put(api, 'network-acl', '5', { vni: 5, in: [{ description: 'rule1', rule: 'drop' }], out: [] });
  if (mirror.get('dhcp-reservation', '5')?.doc.reservations.length !== 1) await put(api, 'dhcp-reservation', '5', { vni: 5, reservations: [{ mac: MAC, ip4: '10.5.0.7', ip6: null, hostname: 'web1' }] });
}

const MAC = '52:54:00:aa:bb:01';

/** All documents, as text that can be compared. */
async function everything(store: Store): Promise<string> {
  const found: [string, unknown, number][] = [];
  for (const kind of Object.keys(RESOURCES) as Kind[]) {
    const { root } = RESOURCES[kind];
    for (const id of await store.list(root)) {
      const entry = await store.read(`${root}/${id}`);
      if (entry !== undefined) found.push([entry.path, entry.value, entry.version]);
    }
  }
  return JSON.stringify(found);
}

/** What is nearly right of networks, and what would be something else to nft or dnsmasq. */
const NETWORK_VALUES: Record<string, readonly string[]> = {
  network: ['5', 'net5', '1001', '100', 'lan', '9', '05', '16777216'],
  vni: ['6', '7', '5', '0', '4095', '16777215', '16777216', '6; ip link', '6\n'],
  description: ['new', 'net5', 'NET5', '77', 'a b', '--conf-file=/etc/passwd', 'x;y', 'x/y', '..'],
  ip4_network: ['10.6.0.0/24', '10.5.0.128/25', '10.6.0.1/24', '10.6.0.0/33', '0.0.0.0/0', '10.6.0.0/24,set:x', '10.6/16', '127.0.0.0/8'],
  ip4_gateway: ['10.6.0.1', '10.5.0.1', '10.6.0.255', '10.6.0.1\ndhcp-script=/bin/sh', '010.6.0.1', '1'],
  ip6_network: ['2001:db8:6::/64', '2001:db8:5::/80', '::/0', 'fe80::/64', '2001:db8::/48', '2001:db8:6::/64%eth0'],
  ip6_gateway: ['2001:db8:6::1', 'fe80::1%eth0', 'x', '::'],
  dhcp4_start: ['10.6.0.10', '10.6.0.20', '10.5.0.50', '10.6.0.10,10.6.0.20,infinite', '10.6.0.0'],
  dhcp4_end: ['10.6.0.10', '10.6.0.20', '10.5.0.60', '10.6.0.255'],
  domain: ['example.org', 'Example.org.', '-x', 'a..b', 'example.org,10.0.0.0/8', 'example.org\nserver=/#/10.0.0.1', 'x'.repeat(300)],
  name_servers: ['10.6.0.2', '10.6.0.2,2001:db8::2', '10.6.0.2,option:router,10.6.0.9', 'ns'],
  mtu: ['1500', '1279', '9950', '9951', '1e3', '-1'],
  acl: ['rule1', 'absent', '../rule1', 'a;b'],
  rule: ['accept', 'drop; flush ruleset', 'drop\nflush ruleset', 'jump x', 'include "/etc/passwd"', 'log prefix "', 'tcp dport { 22', 'tcp dport 22 accept comment "x"', '@x', '-f /etc/passwd', '} chain x {', '$x', 'ip saddr localhost drop', 'queue', '#'],
  order: ['0', '1', '-1', '99999', '1.5'],
  lease: [MAC, '52:54:00:aa:bb:02', '10.5.0.7', 'web1', 'WEB1', '01:00:5e:00:00:01', `${MAC},set:x`, 'absent'],
  macaddress: [MAC, '52:54:00:aa:bb:02', '52-54-00-aa-bb-03', 'ff:ff:ff:ff:ff:ff', `${MAC}\ndhcp-script=/bin/sh`],
  ipaddress: ['10.5.0.7', '10.5.0.8', '10.5.0.1', '10.5.0.0', '10.6.0.8', '2001:db8:5::8', '10.5.0.8,2001:db8:5::8', '10.5.0.8,infinite', '999.999.999.999'],
  hostname: ['web1', 'web2', 'WEB2', 'a.b', '-x', 'x,infinite', 'x\ny', 'ignore'],
};

/** A value that the route's own document calls right, where it says so. */
function rightValue({ name, doc }: ShownValue): fc.Arbitrary<string> {
  const choices = doc.json['enum'];
  if (Array.isArray(choices)) return fc.constantFrom(...choices.map(String));
  if (name === 'vm') return fc.constantFrom('web1', 'web2', aVmId(2), 'absent');
  if (name === 'node' || name === 'limit') return fc.constantFrom('hv1', 'hv2', 'hv9');
  const ofNetworks = NETWORK_VALUES[name];
  if (ofNetworks !== undefined) return fc.constantFrom(...ofNetworks);
  if (name === 'xml') return fc.constantFrom(domainXml('web1'), domainXml('fuzz', { uuid: aVmId(1) }), domainXml('fuzz', { memoryMib: 9_999_999 }), '<domain type="kvm"><name>x</name></domain>');
  return nasty;
}

async function check(one: Route, given: Try): Promise<void> {
  await population(one);
  const before = await everything(api.store);
  if (await isRefused(api.base, one, given)) expect(await everything(api.store)).toBe(before);
}

describe('bad input', () => {
  test('no value of any route brings an unknown code, a reply that is not JSON, or a change with a refusal', async () => {
    const limits = { runs: RUNS, limitMs: ROUTES_MS / api.api.routes.length };
    for (const one of api.api.routes) await tryRoute(one, triesOf(one, rightValue).filter((given) => !waits(given)), limits, check);
    expect(errors).toEqual([]);
  });

  test('a path that is not valid, or of any other text, is answered with JSON', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'), fc.array(fc.constantFrom('/', '%', '%ff', '%2f', '..', 'vm', 'node', 'web1', ':', ';', '*', '?', '=', '&', '%00'), { maxLength: 8 }), async (method, parts) => {
        const answer = await send(api.base, method, `/${parts.join('')}`);
        expect([200, 209, ...REFUSALS]).toContain(answer.code);
        expect(answer.text).toMatch(/^[[{<]|^retry/u);
      }),
      { numRuns: RUNS * 4 },
    );
    expect(errors).toEqual([]);
  });

  test('after all that the cluster can still be read and changed', async () => {
    const succeeds = async (method: string, path: string, body?: Body): Promise<void> => {
      const answer = await send(api.base, method, path, body);
      expect(answer.code, answer.text).toBe(200);
    };
    await succeeds('GET', '/vm');
    // Some of the requests were good: they may have flushed every node.
    await succeeds('POST', '/node/hv1/domain-state?state=ready');
    // Some may have defined a VM with the interface that all of these definitions have.
    await succeeds('POST', '/vm', { type: 'text/xml', text: domainXml('sound').replace(MAC, '52:54:00:aa:bb:99') });
    for (const kind of Object.keys(RESOURCES) as Kind[]) {
      for (const id of await api.store.list(RESOURCES[kind].root)) {
        const entry = await api.store.read(`${RESOURCES[kind].root}/${id}`);
        expect(RESOURCES[kind].schema.safeParse(entry?.value).success, `${kind} ${id}`).toBe(true);
      }
    }
  });
});

/** Nobody here carries out what is asked, so a wait would be for nothing. */
function waits(given: Try): boolean {
  return `${JSON.stringify(given.query)}${String(given.body?.text ?? '')}`.includes('wait');
}
