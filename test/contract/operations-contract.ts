import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VmId } from '../../common/ids.ts';
import { pathOf, type Doc } from '../../common/schema/resources.ts';
import { XML_MAX_BYTES } from '../../common/schema/vm.ts';
import { aDomainXml, aNodeName, anOffStatus, aStatus, aVm, aVmId, aVmName } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { Cluster, codeOf, LIMIT_MS, put, putNode, stored, take, threeNodes, type Client, type Loss, type OperationsFixture } from './operations-harness.ts';

const [HV1, HV2, HV3] = [aNodeName('hv1'), aNodeName('hv2'), aNodeName('hv3')];

/** As large as a definition may be, and without a UUID. */
function largest(): string {
  const rest = XML_MAX_BYTES - aDomainXml({ uuid: null, extra: '<!---->' }).length;
  return aDomainXml({ uuid: null, extra: `<!--${'x'.repeat(rest)}-->` });
}

/** Everything that holds of the operations, on any store. */
export function describeOperations(name: string, open: () => Promise<OperationsFixture>): void {
  describe(name, () => {
    let cluster: Cluster;
    let a: Client;

    beforeEach(async () => {
      cluster = new Cluster(await open());
      a = await cluster.client('a');
      await threeNodes(a);
    });

    afterEach(async () => {
      await cluster.stop();
    });

    async function aDefined(given: Parameters<typeof aDomainXml>[0] = {}): Promise<VmId> {
      return (await a.vms.define({ xml: aDomainXml(given), node: 'hv1' })).uuid;
    }

    async function aRunning(uuid?: VmId): Promise<VmId> {
      const vm = uuid ?? (await aDefined());
      await a.vms.setPower(vm, 'start');
      await put(a, 'vm-status', vm, aStatus());
      return vm;
    }

    const spec = (uuid: VmId) => a.mirror.get('vm', uuid)?.doc;

    describe('define', () => {
      test('a VM is there, off, with its facts and its name, when the call returns', async () => {
        const defined = await a.vms.define({ xml: aDomainXml({ uuid: aVmId(1), name: 'web', memoryMib: 700, vcpus: 2 }), node: 'hv2', autostart: true, selector: 'vms' });
        expect(defined).toMatchObject({ uuid: aVmId(1), name: 'web', memoryMib: 700, vcpus: 2, node: 'hv2', autostart: true, selector: 'vms', power: { action: 'stop', generation: 0 } });
        expect(spec(aVmId(1))).toEqual(defined);
        expect(await stored(a)).toEqual({ index: { web: aVmId(1) }, vms: { [aVmId(1)]: 'web' } });
      });

      test('a definition without UUID gets one, in its XML too', async () => {
        const defined = await a.vms.define({ xml: aDomainXml({ uuid: null }) });
        expect(defined.xml).toContain(`<uuid>${defined.uuid}</uuid>`);
      });

      test('a node that cannot take it is passed over for one that can', async () => {
        expect((await a.vms.define({ xml: aDomainXml(), node: 'hv2', nodeLimit: [HV3] })).node).toBe('hv3');
      });

      test.each([
        ['too large for every node', { xml: aDomainXml({ memoryMib: 100_000 }) }, 'no-resource'],
        ['no domain', { xml: '<network/>' }, 'invalid'],
        ['a downtime beyond a minute', { xml: aDomainXml(), migrationMaxDowntimeMs: 60_001 }, 'invalid'],
        ['more tags than are kept', { xml: aDomainXml(), tags: Array.from({ length: 65 }, (_, index) => ({ name: `t${index}`, protected: false })) }, 'invalid'],
        ['of the largest size, without room for a UUID', { xml: largest() }, 'invalid'],
      ] as const)('a definition that is %s is refused, and nothing stays', async (_what, definition, code) => {
        expect(await codeOf(a.vms.define(definition))).toBe(code);
        expect(await stored(a)).toEqual({ index: {}, vms: {} });
      });

      test('the refusal says why each node was passed over', async () => {
        await putNode(a, 'hv2', { wish: 'flush' });
        const refused = a.vms.define({ xml: aDomainXml({ memoryMib: 100_000 }), nodeLimit: [HV1, HV2] });
        await expect(refused).rejects.toMatchObject({ details: { nodes: { hv1: expect.stringContaining('MiB'), hv2: expect.stringContaining('flushed'), hv3: expect.stringContaining('limit') } } });
      });

      test('a name and a UUID are taken once', async () => {
        await aDefined({ uuid: aVmId(1), name: 'web' });
        expect(await codeOf(a.vms.define({ xml: aDomainXml({ uuid: aVmId(2), name: 'web' }) }))).toBe('exists');
        expect(await codeOf(a.vms.define({ xml: aDomainXml({ uuid: aVmId(1), name: 'other' }) }))).toBe('exists');
        expect(await stored(a)).toEqual({ index: { web: aVmId(1) }, vms: { [aVmId(1)]: 'web' } });
      });

      test('a name whose VM never came is taken over', async () => {
        await put(a, 'vm-name', 'web', { uuid: aVmId(9) });
        await aDefined({ uuid: aVmId(1), name: 'web' });
        expect(await stored(a)).toEqual({ index: { web: aVmId(1) }, vms: { [aVmId(1)]: 'web' } });
      });

      test('a name whose VM has another name is taken over', async () => {
        await aDefined({ uuid: aVmId(9), name: 'other' });
        await put(a, 'vm-name', 'web', { uuid: aVmId(9) });
        await aDefined({ uuid: aVmId(1), name: 'web' });
        expect((await stored(a)).index).toEqual({ other: aVmId(9), web: aVmId(1) });
      });
    });

    describe('the size of a volume', () => {
      const web = { pool: 'vms', volume: 'web' };
      const disk = (name: string): string => `<disk type='network'><source protocol='rbd' name='vms/${name}'/><target dev='vda'/></disk>`;

      test('is announced to the guests that have it as a disk, until they have been told', async () => {
        const [uses, other] = [await aRunning(await aDefined({ devices: disk('web') + disk('data') })), await aRunning(await aDefined({ name: 'other', devices: disk('web2') }))];
        await a.vms.announceVolumeSize(web, 10);
        await a.vms.announceVolumeSize({ pool: 'vms', volume: 'data' }, 20);
        expect(spec(uses)?.growth).toEqual({ sizes: { 'vms/web': 10, 'vms/data': 20 }, generation: 2 });
        await put(a, 'vm-status', uses, aStatus({ growthGeneration: 2 }));
        await a.vms.announceVolumeSize(web, 30);
        expect(spec(uses)?.growth).toEqual({ sizes: { 'vms/web': 30 }, generation: 3 });
        expect(spec(other)?.growth).toEqual({ sizes: {}, generation: 0 });
      });

      test('is not announced to a VM that is off: it finds the volume so', async () => {
        const uuid = await aDefined({ devices: disk('web') });
        await a.vms.announceVolumeSize(web, 10);
        expect(spec(uuid)?.growth).toEqual({ sizes: {}, generation: 0 });
      });
    });

    describe('modify', () => {
      test('the definition and its facts are replaced, and a running VM is restarted when asked', async () => {
        const uuid = await aRunning();
        const xml = aDomainXml({ uuid, memoryMib: 900, vcpus: 3 });
        expect(await a.vms.modify(uuid, { xml, restart: false })).toMatchObject({ xml, memoryMib: 900, vcpus: 3, power: { action: 'start', generation: 1 } });
        expect(await a.vms.modify(uuid, { xml, restart: true })).toMatchObject({ power: { action: 'restart', generation: 2 } });
      });

      test('a VM that is off is not started by a restart', async () => {
        const uuid = await aDefined();
        expect((await a.vms.modify(uuid, { xml: aDomainXml({ uuid }), restart: true })).power).toEqual({ action: 'stop', generation: 0 });
      });

      test('a definition without UUID keeps the VM\'s', async () => {
        const uuid = await aDefined();
        expect((await a.vms.modify(uuid, { xml: aDomainXml({ uuid: null }), restart: false })).xml).toContain(uuid);
      });

      test.each([
        ['another UUID', aDomainXml({ uuid: aVmId(7) }), 'invalid'],
        ['another name', aDomainXml({ uuid: null, name: 'other' }), 'invalid'],
        ['no domain', '<x/>', 'invalid'],
      ] as const)('%s is refused and nothing changes', async (_what, xml, code) => {
        const uuid = await aDefined();
        const before = spec(uuid);
        expect(await codeOf(a.vms.modify(uuid, { xml, restart: false }))).toBe(code);
        expect(spec(uuid)).toEqual(before);
      });

      test('a VM that does not exist is not found', async () => {
        expect(await codeOf(a.vms.modify(aVmId(9), { xml: aDomainXml({ uuid: null }), restart: false }))).toBe('not-found');
      });
    });

    describe('rename', () => {
      test('the name moves in the index, in the document and in its XML', async () => {
        const uuid = await aDefined({ name: 'old' });
        expect((await a.vms.rename(uuid, 'new')).xml).toContain('<name>new</name>');
        expect(await stored(a)).toEqual({ index: { new: uuid }, vms: { [uuid]: 'new' } });
      });

      test('the same name again changes nothing', async () => {
        const uuid = await aDefined({ name: 'old' });
        const before = a.mirror.get('vm', uuid);
        await a.vms.rename(uuid, 'old');
        expect(a.mirror.get('vm', uuid)).toEqual(before);
      });

      test('each refusal has its code and leaves the name', async () => {
        const uuid = await aDefined({ name: 'old' });
        await aDefined({ name: 'taken' });
        expect(await codeOf(a.vms.rename(uuid, 'taken'))).toBe('exists');
        expect(await codeOf(a.vms.rename(uuid, 'not a name'))).toBe('invalid');
        expect(await codeOf(a.vms.rename(aVmId(9), 'new'))).toBe('not-found');
        await aRunning(uuid);
        expect(await codeOf(a.vms.rename(uuid, 'new'))).toBe('state');
        expect((await stored(a)).index['old']).toBe(uuid);
        expect(spec(uuid)?.name).toBe('old');
      });
    });

    describe('remove', () => {
      test('a VM that is off is gone with its status, its console and its name', async () => {
        const uuid = await aDefined();
        await put(a, 'vm-status', uuid, anOffStatus());
        await a.store.create(pathOf('vm-console', uuid), { lines: [] });
        await a.vms.remove(uuid, { disks: false });
        expect(await stored(a)).toEqual({ index: {}, vms: {} });
        expect(await a.store.read(pathOf('vm-status', uuid))).toBeUndefined();
        expect(await a.store.read(pathOf('vm-console', uuid))).toBeUndefined();
      });

      test('a running VM goes when its owner has given it up, and not before', async () => {
        const uuid = await aRunning();
        const removing = a.vms.remove(uuid, { disks: true });
        await until(() => spec(uuid)?.deletion?.disks === true, LIMIT_MS, 'the request');
        await a.vms.finishRemoval(uuid);
        expect(Object.keys((await stored(a)).vms)).toEqual([uuid]);
        await put(a, 'vm-status', uuid, anOffStatus());
        await a.vms.finishRemoval(uuid);
        await removing;
        expect(await stored(a)).toEqual({ index: {}, vms: {} });
      });

      test('a VM whose node cannot be reached is not removed, and one that is not there is not found', async () => {
        const uuid = await aRunning();
        await take(a, 'presence', 'hv1');
        await a.mirror.waitFor('presence', 'hv1', 'gone', { timeoutMs: LIMIT_MS });
        expect(await codeOf(a.vms.remove(uuid, { disks: false }))).toBe('state');
        expect(spec(uuid)?.deletion).toBeNull();
        expect(await codeOf(a.vms.remove(aVmId(9), { disks: false }))).toBe('not-found');
      });

      test('a VM that is being removed is neither started nor moved', async () => {
        const uuid = await aRunning();
        await put(a, 'vm', uuid, { ...aVm({ uuid }), deletion: { disks: false } });
        expect(await codeOf(a.vms.setPower(uuid, 'start'))).toBe('state');
        expect(await codeOf(a.vms.migrate(uuid, {}))).toBe('state');
      });

      test('finishing does nothing for a VM whose removal was not asked for', async () => {
        const uuid = await aDefined();
        await a.vms.finishRemoval(uuid);
        expect(spec(uuid)).toBeDefined();
      });
    });

    describe('many writers', () => {
      test('four writers to one VM at once lose nothing, and none is told of a success that is none', async () => {
        const clients = [a, await cluster.client('b'), await cluster.client('c'), await cluster.client('d')];
        const losses = fc.array(fc.constantFrom<Loss>('answered', 'answered', 'answered', 'done', 'not-done'), { minLength: 0, maxLength: 12 });
        const run = async (plan: readonly (readonly Loss[])[]): Promise<void> => {
          const uuid = await aDefined({ name: 'shared' });
          await Promise.all(clients.map((client) => client.mirror.waitFor('vm', uuid, 0, { timeoutMs: LIMIT_MS })));
          const results = await Promise.all(
            clients.flatMap((client, writer) => {
              client.lossy.losses.push(...(plan[writer] ?? []));
              return [0, 1, 2].map(async (turn) => {
                const tag = `w${writer}-${turn}`;
                return { tag, code: await codeOf(client.vms.addTag(uuid, { name: tag, protected: false })) };
              });
            }),
          );
          for (const client of clients) client.lossy.losses.length = 0;
          const kept = (await a.store.read(pathOf('vm', uuid)))?.value as Doc<'vm'>;
          const tags = kept.tags.map((one) => one.name);
          expect(new Set(tags).size).toBe(tags.length);
          for (const { tag, code } of results) if (code === 'done') expect(tags).toContain(tag);
          expect(results.filter(({ code }) => code === 'done').length).toBe(results.length);
          await a.vms.remove(uuid, { disks: false });
        };
        await fc.assert(fc.asyncProperty(fc.tuple(losses, losses, losses, losses), run), { numRuns: 15, interruptAfterTimeLimit: 20_000 });
      });

      test('two definitions of one name at once: one VM, one entry, one success', async () => {
        const b = await cluster.client('b');
        const losses = fc.array(fc.constantFrom<Loss>('answered', 'answered', 'done', 'not-done'), { maxLength: 4 });
        const run = async (first: readonly Loss[], second: readonly Loss[], sameUuid: boolean): Promise<void> => {
          a.lossy.losses.push(...first);
          b.lossy.losses.push(...second);
          const codes = await Promise.all([
            codeOf(a.vms.define({ xml: aDomainXml({ uuid: aVmId(1), name: 'web' }) })),
            codeOf(b.vms.define({ xml: aDomainXml({ uuid: aVmId(sameUuid ? 1 : 2), name: 'web', memoryMib: 600 }) })),
          ]);
          a.lossy.losses.length = 0;
          b.lossy.losses.length = 0;
          const { index, vms } = await stored(a);
          expect([...codes].sort()).toEqual(['done', 'exists']);
          const winner = codes[0] === 'done' ? aVmId(1) : aVmId(sameUuid ? 1 : 2);
          expect({ index, vms }).toEqual({ index: { web: winner }, vms: { [winner]: 'web' } });
          await a.vms.remove(winner, { disks: false });
          for (const client of [a, b]) await until(() => client.mirror.size('vm') === 0, LIMIT_MS, 'the mirror');
        };
        await fc.assert(fc.asyncProperty(losses, losses, fc.boolean(), run), { numRuns: 40, interruptAfterTimeLimit: 20_000 });
      });

      test('a definition and a renaming to one name at once: one of them has it', async () => {
        const b = await cluster.client('b');
        const old = await aDefined({ uuid: aVmId(5), name: 'old' });
        await b.mirror.waitFor('vm', old, 0, { timeoutMs: LIMIT_MS });
        const codes = await Promise.all([codeOf(a.vms.rename(old, 'web')), codeOf(b.vms.define({ xml: aDomainXml({ uuid: aVmId(1), name: 'web' }) }))]);
        const { index, vms } = await stored(a);
        expect([...codes].sort()).toEqual(['done', 'exists']);
        expect(Object.values(vms).filter((one) => one === 'web')).toHaveLength(1);
        expect(index).toEqual(Object.fromEntries(Object.entries(vms).map(([uuid, vmName]) => [vmName, uuid])));
      });
    });

    test('every write satisfies the schema of its document', async () => {
      const uuid = await aDefined();
      const before = a.mirror.get('vm', uuid);
      for (let index = 0; index < 64; index += 1) await a.vms.addTag(uuid, { name: `t${index}`, protected: false });
      expect(await codeOf(a.vms.addTag(uuid, { name: 'one-too-many', protected: false }))).toBe('invalid');
      expect(await codeOf(a.vms.setMeta(uuid, { nodeLimit: [] }))).toBe('invalid');
      expect(a.mirror.get('vm', uuid)?.doc.tags).toHaveLength(64);
      expect(a.mirror.invalid).toBe(0);
      expect(before?.doc.name).toBe(aVmName('guest'));
    });
  });
}
