import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../common/clock.ts';
import { OccupancyLedger } from '../../common/operations/occupancy-ledger.ts';
import { vmOperations } from '../../common/operations/vm.ts';
import { pathOf, RESOURCES, type Kind } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import { aDomainXml, aManagedNetwork, aVm, aVmId, aVmName } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { Cluster, codeOf, LIMIT_MS, put, take, threeNodes, type Client, type OperationsFixture } from './operations-harness.ts';
import { card, MANAGED_5, MANAGED_6, NET4, operationsOf, type Operations } from './operations-network-contract.ts';

/** The client, with something that others do just before it writes this document. */
function interrupted(client: Client, path: string, others: () => Promise<void>): Client {
  const { store } = client;
  let isDone = false;
  const before = async (written: string): Promise<void> => {
    if (written !== path || isDone) return;
    isDone = true;
    await others();
  };
  const wrapped: Store = {
    ...store,
    state: 'connected',
    create: async (at, value, options) => (await before(at), store.create(at, value, options)),
    update: async (at, value, version) => (await before(at), store.update(at, value, version)),
    remove: async (at, version) => (await before(at), store.remove(at, version)),
  };
  return { ...client, store: wrapped };
}

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

    test('a network that a VM was defined in meanwhile comes back, with its rules', async () => {
      await office();
      await ops.acls.insert({ vni: 5, direction: 'in', description: 'one', rule: 'accept' });
      const vm = aVm({ uuid: aVmId(1), name: aVmName('late'), interfaces: [{ vni: 5, mac: '52:54:00:00:00:01' }] });
      const late = interrupted(await cluster.client('b'), pathOf('network', '5'), async () => void (await a.store.create(pathOf('vm', vm.uuid), vm)));
      expect(await codeOf(operationsOf(late).networks.remove(5))).toBe('state');
      expect([await idsOf('network'), await idsOf('network-acl')]).toEqual([['5'], ['5']]);
    });

    test('a VM in a network that went meanwhile is not defined', async () => {
      await office();
      const late = interrupted(a, pathOf('vm', aVmId(1)), () => take(a, 'network', '5'));
      const occupancy = new OccupancyLedger(late.mirror);
      occupancy.start();
      const vms = vmOperations({ ...late, occupancy, clock: systemClock, placement: { selector: 'mem', reserveMib: 512 } });
      expect(await codeOf(vms.define({ xml: aDomainXml({ uuid: aVmId(1), devices: card(5) }) }))).toBe('invalid');
      occupancy.stop();
      expect([await idsOf('vm'), await idsOf('vm-name')]).toEqual([[], []]);
    });

    test('a reservation in a network that moved away meanwhile is taken back', async () => {
      await office();
      const moved = aManagedNetwork({ ip4: { network: '10.6.0.0/24', gateway: '10.6.0.1', dhcp: null } });
      const late = interrupted(a, pathOf('dhcp-reservation', '5'), async () => {
        const entry = await a.store.read(pathOf('network', '5'));
        await a.store.update(pathOf('network', '5'), moved, entry?.version ?? -1);
      });
      expect(await codeOf(operationsOf(late).reservations.add(5, { mac: '52:54:00:00:00:01', addresses: ['10.5.0.7'] }))).toBe('invalid');
      expect((await a.store.read(pathOf('dhcp-reservation', '5')))?.value).toEqual({ vni: 5, reservations: [] });
    });

    test('a network does not move away from under a reservation that came meanwhile', async () => {
      await office();
      const reservation = { mac: '52:54:00:00:00:01', ip4: '10.5.0.7', ip6: null, hostname: null };
      const late = interrupted(await cluster.client('b'), pathOf('network', '5'), () => put(a, 'dhcp-reservation', '5', { vni: 5, reservations: [reservation] }));
      expect(await codeOf(operationsOf(late).networks.modify(5, { ip4Network: '10.6.0.0/24', ip4Gateway: '10.6.0.1', dhcp4: false }))).toBe('state');
      expect((await a.store.read(pathOf('network', '5')))?.value).toMatchObject({ ip4: { network: '10.5.0.0/24' } });
    });
  });
}
