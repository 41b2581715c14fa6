import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { catchUp } from '../../common/operations/confirm-place.ts';
import { pathOf, RESOURCES, type Doc, type Kind } from '../../common/schema/resources.ts';
import { aDomainXml, aVm, aVmId, aVmName } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { Cluster, codeOf, LIMIT_MS, take, threeNodes, type Client, type OperationsFixture } from './operations-harness.ts';
import { card, MANAGED_5, MANAGED_6, NET4, operationsOf, type Operations } from './operations-network-contract.ts';

/** What holds of networks, reservations and VMs in them when several change them at once, on any store. */
export function describeNetworkRaces(name: string, open: () => Promise<OperationsFixture>): void {
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

    const office = () => ops.networks.create(MANAGED_5, { description: 'office', ...NET4 });

    async function idsOf(kind: Kind): Promise<readonly string[]> {
      await a.store.sync();
      return a.store.list(RESOURCES[kind].root);
    }

    test('of two networks that exclude each other one comes to be', async () => {
      const b = await cluster.client('b');
      const run = async (same: 'vni' | 'description' | 'ip4' | 'ip6'): Promise<void> => {
        const one = { description: 'one', ip4Network: '10.5.0.0/24', ip4Gateway: '10.5.0.1', ip6Network: '2001:db8:5::/64' };
        const other = {
          description: same === 'description' ? 'One' : 'other',
          ip4Network: same === 'ip4' ? '10.5.0.0/25' : '10.6.0.0/24',
          ip4Gateway: same === 'ip4' ? '10.5.0.1' : '10.6.0.1',
          ip6Network: same === 'ip6' ? '2001:db8:5::/80' : '2001:db8:6::/64',
        };
        const codes = await Promise.all([codeOf(ops.networks.create(MANAGED_5, one)), codeOf(operationsOf(b).networks.create(same === 'vni' ? MANAGED_5 : MANAGED_6, other))]);
        expect([...codes].sort()).toEqual(['done', 'exists']);
        const ids = await idsOf('network');
        expect(ids).toEqual([codes[0] === 'done' || same === 'vni' ? '5' : '6']);
        for (const id of ids) {
          await until(() => a.mirror.get('network', id) !== undefined, LIMIT_MS, 'the mirror');
          await ops.networks.remove(Number(id));
        }
        for (const client of [a, b]) await until(() => client.mirror.size('network') === 0, LIMIT_MS, 'the mirror');
      };
      await fc.assert(fc.asyncProperty(fc.constantFrom('vni', 'description', 'ip4', 'ip6'), run), { numRuns: 20, interruptAfterTimeLimit: 20_000 });
    });

    test('of two VMs with one MAC address one comes to be', async () => {
      const b = await cluster.client('b');
      await office();
      await b.mirror.waitFor('network', '5', 0, { timeoutMs: LIMIT_MS });
      const devices = card(5, '52:54:00:00:00:01');
      const codes = await Promise.all([codeOf(a.vms.define({ xml: aDomainXml({ uuid: aVmId(1), name: 'one', devices }) })), codeOf(b.vms.define({ xml: aDomainXml({ uuid: aVmId(2), name: 'two', devices }) }))]);
      expect([...codes].sort()).toEqual(['done', 'exists']);
      expect(await idsOf('vm')).toEqual([aVmId(codes[0] === 'done' ? 1 : 2)]);
      expect(await idsOf('vm-name')).toEqual([codes[0] === 'done' ? 'one' : 'two']);
    });

    test('a network that a VM was defined in meanwhile comes back', async () => {
      await office();
      const b = await cluster.client('b');
      const vm = aVm({ uuid: aVmId(1), name: aVmName('late'), interfaces: [{ vni: 5, mac: '52:54:00:00:00:01' }] });
      const remove = b.store.remove.bind(b.store);
      const late: Client = { ...b, store: { ...b.store, state: 'connected', remove: async (path, version) => (path === pathOf('network', '5') ? void (await a.store.create(pathOf('vm', vm.uuid), vm)) : undefined, remove(path, version)) } };
      expect(await codeOf(operationsOf(late).networks.remove(5))).toBe('state');
      expect(await idsOf('network')).toEqual(['5']);
    });

    test('a reservation in a network that moved away meanwhile is taken back', async () => {
      await office();
      const b = await cluster.client('b');
      await b.mirror.waitFor('network', '5', 0, { timeoutMs: LIMIT_MS });
      const [added, moved] = await Promise.all([
        codeOf(ops.reservations.add(5, { mac: '52:54:00:00:00:01', addresses: ['10.5.0.7'] })),
        codeOf(operationsOf(b).networks.modify(5, { ip4Network: '10.6.0.0/24', ip4Gateway: '10.6.0.1', dhcp4: false })),
      ]);
      await catchUp(a);
      const kept = (await a.store.read(pathOf('dhcp-reservation', '5')))?.value as Doc<'dhcp-reservation'> | undefined;
      const spec = (await a.store.read(pathOf('network', '5')))?.value as Doc<'network'>;
      const isThere = (kept?.reservations ?? []).length > 0;
      expect(isThere && JSON.stringify(spec).includes('10.6.0.0')).toBe(false);
      expect([added === 'done' && !isThere, moved === 'done' && !JSON.stringify(spec).includes('10.6.0.0')]).toEqual([false, false]);
    });

    test('a network that goes while a VM is defined in it leaves no VM behind', async () => {
      await office();
      const defining = codeOf(a.vms.define({ xml: aDomainXml({ uuid: aVmId(1), devices: card(5) }) }));
      await take(a, 'network', '5');
      const code = await defining;
      expect([code, (await idsOf('vm')).length]).toEqual(code === 'done' ? ['done', 1] : ['invalid', 0]);
    });
  });
}
