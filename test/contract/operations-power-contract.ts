import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VmId } from '../../common/ids.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import { aDomainXml, aNodeName, anOffStatus, aStatus, aVmId } from '../support/builders.ts';
import { Cluster, codeOf, LIMIT_MS, put, putNode, take, threeNodes, type Client, type OperationsFixture } from './operations-harness.ts';

const [HV1, HV2, HV3] = [aNodeName('hv1'), aNodeName('hv2'), aNodeName('hv3')];

/** Power, place and properties of VMs, and the operations of nodes, on any store. */
export function describePowerOperations(name: string, open: () => Promise<OperationsFixture>): void {
  describe(name, () => {
    let cluster: Cluster;
    let a: Client;
    let uuid: VmId;

    beforeEach(async () => {
      cluster = new Cluster(await open());
      a = await cluster.client('a');
      await threeNodes(a);
      uuid = (await a.vms.define({ xml: aDomainXml(), node: 'hv1' })).uuid;
    });

    afterEach(async () => {
      await cluster.stop();
    });

    const status = (given: VmStatus): Promise<void> => put(a, 'vm-status', uuid, given);

    async function running(given: Partial<VmStatus> = {}): Promise<void> {
      await a.vms.setPower(uuid, 'start');
      await status(aStatus(given));
    }

    async function kill(node: string): Promise<void> {
      await take(a, 'presence', node);
      await a.mirror.waitFor('presence', node, 'gone', { timeoutMs: LIMIT_MS });
    }

    describe('power', () => {
      test('a request has a higher generation, and what is so already has no effect', async () => {
        expect((await a.vms.setPower(uuid, 'stop')).power.generation).toBe(0);
        expect((await a.vms.setPower(uuid, 'start')).power).toEqual({ action: 'start', generation: 1 });
        expect((await a.vms.setPower(uuid, 'start')).power.generation).toBe(1);
        await status(aStatus());
        expect((await a.vms.setPower(uuid, 'restart')).power).toEqual({ action: 'restart', generation: 2 });
        expect((await a.vms.setPower(uuid, 'shutdown')).power).toEqual({ action: 'shutdown', generation: 3 });
        expect((await a.vms.setPower(uuid, 'stop')).power).toEqual({ action: 'stop', generation: 4 });
      });

      test('a VM that is off, or failed, cannot be restarted', async () => {
        expect(await codeOf(a.vms.setPower(uuid, 'restart'))).toBe('state');
        await a.vms.setPower(uuid, 'start');
        await status(anOffStatus({ phase: { kind: 'failed', reason: 'x' } }));
        expect(await codeOf(a.vms.setPower(uuid, 'restart'))).toBe('state');
        expect((await a.vms.setPower(uuid, 'start')).power.generation).toBe(2);
      });

      test('disable takes the automatic start with it', async () => {
        await a.vms.setMeta(uuid, { autostart: true });
        expect(await a.vms.setPower(uuid, 'disable')).toMatchObject({ power: { action: 'disable' }, autostart: false });
      });

      test('a VM whose node cannot take it is started elsewhere, and nowhere when none can', async () => {
        await putNode(a, 'hv1', { wish: 'flush' });
        expect((await a.vms.setPower(uuid, 'start')).node).not.toBe('hv1');
        await a.vms.setPower(uuid, 'stop');
        await a.vms.setMeta(uuid, { nodeLimit: [HV1] });
        expect(await codeOf(a.vms.setPower(uuid, 'start'))).toBe('no-resource');
      });

      test('nothing is asked of a guest whose node cannot be reached', async () => {
        await running();
        await kill('hv1');
        for (const action of ['restart', 'shutdown', 'stop', 'disable'] as const) expect(await codeOf(a.vms.setPower(uuid, action))).toBe('state');
      });

      test('a VM that does not exist is not found', async () => {
        expect(await codeOf(a.vms.setPower(aVmId(9), 'start'))).toBe('not-found');
      });
    });

    describe('place', () => {
      test('a migration remembers the home, and unmigrate brings it back there', async () => {
        await running();
        expect(await a.vms.migrate(uuid, { node: 'hv3' })).toMatchObject({ node: HV3, homeNode: HV1, placement: { generation: 1, method: 'any', previousHome: null } });
        await status(aStatus({ owner: HV3, epoch: 2 }));
        expect(await a.vms.unmigrate(uuid)).toMatchObject({ node: HV1, homeNode: null, placement: { generation: 2, previousHome: HV1 } });
      });

      test('a second one needs force and keeps the first home; a permanent one leaves none', async () => {
        await running();
        await a.vms.migrate(uuid, { node: 'hv2' });
        await status(aStatus({ owner: HV2, epoch: 2 }));
        expect(await codeOf(a.vms.migrate(uuid, { node: 'hv3' }))).toBe('state');
        expect(await a.vms.migrate(uuid, { node: 'hv3', force: true })).toMatchObject({ node: HV3, homeNode: HV1 });
        await status(aStatus({ owner: HV3, epoch: 3 }));
        expect(await a.vms.migrate(uuid, { node: 'hv2', permanent: true })).toMatchObject({ node: HV2, homeNode: null });
      });

      test('the method is the request\'s, else the VM\'s own, else any', async () => {
        await running();
        await a.vms.setMeta(uuid, { migrationMethod: 'shutdown' });
        expect((await a.vms.migrate(uuid, { node: 'hv2' })).placement.method).toBe('shutdown');
        await status(aStatus({ owner: HV2 }));
        expect((await a.vms.unmigrate(uuid, { method: 'live' })).placement.method).toBe('live');
      });

      test('each refusal has its code and changes nothing', async () => {
        expect(await codeOf(a.vms.unmigrate(uuid))).toBe('state');
        expect(await codeOf(a.vms.abortMigration(uuid))).toBe('state');
        expect(await codeOf(a.vms.migrate(aVmId(9), {}))).toBe('not-found');
        expect(await codeOf(a.vms.abortMigration(aVmId(9)))).toBe('not-found');
        await a.vms.setMeta(uuid, { nodeLimit: [HV1] });
        expect(await codeOf(a.vms.migrate(uuid, {}))).toBe('no-resource');
        expect(a.mirror.get('vm', uuid)?.doc).toMatchObject({ node: HV1, homeNode: null, placement: { generation: 0 } });
      });

      test('a VM on its way is not sent elsewhere, and one of a dead node not at all', async () => {
        await running();
        await a.vms.migrate(uuid, { node: 'hv2' });
        expect(await codeOf(a.vms.migrate(uuid, { node: 'hv3', force: true }))).toBe('state');
        expect(await codeOf(a.vms.unmigrate(uuid))).toBe('state');
        await status(aStatus({ owner: HV2, epoch: 2 }));
        await kill('hv2');
        expect(await codeOf(a.vms.unmigrate(uuid))).toBe('state');
      });

      test('unmigrate is refused while the home cannot take it', async () => {
        await running();
        await a.vms.migrate(uuid, { node: 'hv2' });
        await status(aStatus({ owner: HV2, epoch: 2 }));
        await putNode(a, 'hv1', { wish: 'flush' });
        expect(await codeOf(a.vms.unmigrate(uuid))).toBe('no-resource');
      });

      test('an abort puts place and home back, and an older one does not undo a newer request', async () => {
        await running();
        await a.vms.migrate(uuid, { node: 'hv2' });
        await a.vms.abortMigration(uuid);
        expect(a.mirror.get('vm', uuid)?.doc).toMatchObject({ node: HV1, homeNode: null, placement: { generation: 2 } });
        await a.vms.migrate(uuid, { node: 'hv3' });
        await a.vms.keepAt(uuid, { node: HV1, generation: 1 });
        expect(a.mirror.get('vm', uuid)?.doc).toMatchObject({ node: HV3, homeNode: HV1, placement: { generation: 3 } });
      });
    });

    test('properties and tags change alone; a protected or missing tag is not removed', async () => {
      const before = a.mirror.get('vm', uuid)?.doc;
      await a.vms.setMeta(uuid, { selector: 'load', profile: 'p' });
      await a.vms.addTag(uuid, { name: 'one', protected: false });
      await a.vms.addTag(uuid, { name: 'kept', protected: true });
      await a.vms.addTag(uuid, { name: 'one', protected: false });
      expect(await codeOf(a.vms.removeTag(uuid, 'kept'))).toBe('state');
      expect(await codeOf(a.vms.removeTag(uuid, 'none'))).toBe('not-found');
      await a.vms.removeTag(uuid, 'one');
      expect(a.mirror.get('vm', uuid)?.doc).toEqual({ ...before, selector: 'load', profile: 'p', tags: [{ name: 'kept', protected: true }] });
    });

    describe('nodes', () => {
      test('a node is registered once; its wish is not reset by a later start', async () => {
        await a.nodes.register(aNodeName('hv4'), 'flush');
        await a.nodes.register(aNodeName('hv4'), 'ready');
        expect(a.mirror.get('node', 'hv4')?.doc.domains).toEqual({ wish: 'flush', generation: 1 });
      });

      test('flush makes a task of the request\'s generation; what is reached already makes none', async () => {
        const task = await a.nodes.setDomains('hv1', 'flush', { requestedBy: 'ops' });
        expect(task).toMatchObject({ kind: 'flush', target: 'hv1', generation: 2, requestedBy: 'ops', state: 'pending' });
        expect(a.mirror.get('task', task?.id ?? '')?.doc).toEqual(task);
        expect(await a.nodes.setDomains('hv2', 'ready', { requestedBy: 'ops' })).toBeUndefined();
      });

      test('each refusal has its code', async () => {
        expect(await codeOf(a.nodes.setDomains('none', 'flush', { requestedBy: 'x' }))).toBe('not-found');
        expect(await codeOf(a.nodes.setCoordinator('none', 'primary'))).toBe('not-found');
        await putNode(a, 'hv4', { coordinatorState: 'client' });
        expect(await codeOf(a.nodes.setCoordinator('hv4', 'primary'))).toBe('state');
        await kill('hv1');
        expect(await codeOf(a.nodes.setDomains('hv1', 'flush', { requestedBy: 'x' }))).toBe('state');
        expect(await codeOf(a.nodes.setCoordinator('hv1', 'primary'))).toBe('state');
      });

      test('primary is wished for, or avoided, with a growing generation, and not what is so already', async () => {
        await a.nodes.setCoordinator('hv1', 'primary');
        expect(a.mirror.get('primary-wish', 'cluster')?.doc).toEqual({ node: HV1, avoid: null, generation: 1 });
        await put(a, 'lease', 'primary', { node: HV1, instance: 'x' });
        await a.nodes.setCoordinator('hv1', 'primary');
        await a.nodes.setCoordinator('hv2', 'secondary');
        expect(a.mirror.get('primary-wish', 'cluster')?.doc.generation).toBe(1);
        await a.nodes.setCoordinator('hv1', 'secondary');
        expect(a.mirror.get('primary-wish', 'cluster')?.doc).toEqual({ node: null, avoid: HV1, generation: 2 });
        for (const node of ['hv2', 'hv3']) await kill(node);
        expect(await codeOf(a.nodes.setCoordinator('hv1', 'secondary'))).toBe('state');
      });
    });
  });
}
