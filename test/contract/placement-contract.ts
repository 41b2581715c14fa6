import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { VmId } from '../../common/ids.ts';
import { updateResource } from '../../common/operations/update-resource.ts';
import { pathOf } from '../../common/schema/resources.ts';
import { aDomainXml, aNodeName, aStatus, aVm, aVmName, versioned } from '../support/builders.ts';
import { Cluster, codeOf, LIMIT_MS, put, threeNodes, type Client, type OperationsFixture } from './operations-harness.ts';

/** Starts through two processes at once: enough that each of them comes first now and then. */
const ROUNDS = 10;

/** Writes of each process in the test of their order. */
const WRITES = 30;

/** What is read before a placement, and what processes know of each other's placements, on any store. */
export function describePlacement(name: string, open: () => Promise<OperationsFixture>): void {
  describe(name, () => {
    let cluster: Cluster;
    let a: Client;
    let b: Client;

    beforeEach(async () => {
      cluster = new Cluster(await open());
      a = await cluster.client('a');
      await threeNodes(a);
      b = await cluster.client('b');
    });

    afterEach(async () => {
      await cluster.stop();
    });

    test('a start takes as many round trips as a shutdown: the write, and the read after its watch', async () => {
      const { uuid } = await a.vms.define({ xml: aDomainXml() });
      const asked = countRequests(a);
      await a.vms.setPower(uuid, 'start');
      expect(asked()).toEqual({ update: 1, read: 1 });
      await put(a, 'vm-status', uuid, aStatus());
      asked();
      await a.vms.setPower(uuid, 'shutdown');
      expect(asked()).toEqual({ update: 1, read: 1 });
    });

    test('of two starts at once that a node has room for only one of, one is refused and taken back', async () => {
      const large = async (client: Client, vm: string): Promise<VmId> =>
        (await client.vms.define({ xml: aDomainXml({ name: vm, memoryMib: 5_000 }), nodeLimit: [aNodeName('hv1')] })).uuid;
      const [first, second] = [await large(a, 'first'), await large(b, 'second')];
      for (let round = 0; round < ROUNDS; round += 1) {
        await Promise.all([a, b].flatMap(({ mirror }) => [first, second].map((vm) => sees(mirror, vm))));
        const answers = await Promise.all([codeOf(a.vms.setPower(first, 'start')), codeOf(b.vms.setPower(second, 'start'))]);
        expect([...answers].sort()).toEqual(['done', 'no-resource']);
        await a.store.sync();
        const powers = await Promise.all([first, second].map(async (vm) => ((await a.store.read(pathOf('vm', vm)))?.value as { power: { action: string } }).power.action));
        expect(powers).toEqual(answers.map((answer) => (answer === 'done' ? 'start' : 'stop')));
        await a.vms.setPower(first, 'stop');
        await b.vms.setPower(second, 'stop');
      }
    });

    /** Until the mirror has what the store has. */
    async function sees(mirror: Client['mirror'], vm: VmId): Promise<void> {
      await a.store.sync();
      await mirror.waitFor('vm', vm, (await a.store.read(pathOf('vm', vm)))?.version ?? 'gone', { timeoutMs: LIMIT_MS });
    }

    test('whoever has written and caught up knows every earlier write, also of documents that it had never seen', async () => {
      const { uuid } = await a.vms.define({ xml: aDomainXml({ name: 'own' }) });
      const { uuid: other } = await b.vms.define({ xml: aDomainXml({ name: 'other' }) });
      const written: { id: string; zxid: number }[] = [];
      const looks: { zxid: number; held: Map<string, number> }[] = [];
      const writeMany = async (): Promise<void> => {
        let { version } = (await b.store.read(pathOf('vm', other))) ?? versioned(other, undefined);
        for (let number = 0; number < WRITES; number += 1) {
          const vm = aVm({ name: aVmName(`new-${number}`) });
          const entries = await Promise.all([
            b.store.create(pathOf('vm', vm.uuid), vm),
            b.store.update(pathOf('vm', other), aVm({ uuid: other, name: aVmName('other'), memoryMib: 1 + number }), version),
          ]);
          version = entries[1].version;
          for (const { path, modifiedZxid } of entries) written.push({ id: path.slice(pathOf('vm', '').length), zxid: modifiedZxid });
        }
      };
      const lookOften = async (): Promise<void> => {
        for (let number = 0; number < WRITES; number += 1) {
          const { modifiedZxid } = await updateResource(a, { kind: 'vm', id: uuid }, (spec) => ({ ...spec, memoryMib: 1 + number }));
          await a.mirror.caughtUp({ timeoutMs: LIMIT_MS });
          looks.push({ zxid: modifiedZxid, held: new Map([...a.mirror.all('vm')].map(([id, vm]) => [id, vm.modifiedZxid])) });
        }
      };
      await Promise.all([writeMany(), lookOften()]);
      const missed = looks.flatMap(({ zxid, held }) => written.filter((one) => one.zxid < zxid && (held.get(one.id) ?? 0) < one.zxid));
      expect(missed).toEqual([]);
      const between = looks.filter(({ zxid }) => written.some((one) => one.zxid < zxid) && written.some((one) => one.zxid > zxid));
      expect(between.length).toBeGreaterThan(2);
    });
  });
}

/** Counts the client's requests to the store, its mirror's among them. @returns what was asked since the last look. */
function countRequests({ store }: Client): () => Record<string, number> {
  const spies = (['read', 'list', 'update', 'create', 'sync'] as const).map((name) => ({ name, spy: vi.spyOn(store, name) }));
  return () => {
    const counts = spies.map(({ name, spy }) => [name, spy.mock.calls.length] as const).filter(([, count]) => count > 0);
    for (const { spy } of spies) spy.mockClear();
    return Object.fromEntries(counts);
  };
}
