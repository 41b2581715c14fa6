import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { packLines } from '../../common/log-tail.ts';
import { statusView } from '../../common/view/status.ts';
import { taskView } from '../../common/view/task.ts';
import { vmView } from '../../common/view/vm.ts';
import { nodeView } from '../../common/view/node.ts';
import { aManagedNetwork, aNodeName, aVmId } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, ask as askAt, domainXml, drop, put, putNode, putVm, putVmStatus, startApi, type Answer, type AskOptions, type TestApi } from './api-support.ts';

const WEB1 = aVmId(1);
const WEB10 = aVmId(10);

let api: TestApi;

const ask = (path: string, options: AskOptions = {}): Promise<Answer> => askAt(api.base, path, options);
const specOf = (uuid: string): any => api.api.mirror.get('vm', uuid)?.doc; // eslint-disable-line @typescript-eslint/no-explicit-any -- fields of it are compared

beforeAll(async () => {
  api = await startApi({ zookeeper: aZooKeeper() });
  await putNode(api, 'hv1', { coordinatorState: 'primary' });
  await putNode(api, 'hv2');
  await putNode(api, 'hv3', { alive: false, coordinatorState: 'primary' });
  await put(api, 'lease', 'primary', { node: 'hv1', instance: 'hv1-1' });
  await put(api, 'network', '1001', aManagedNetwork({ vni: 1_001 }));
});

afterAll(() => api.stop());

beforeEach(async () => {
  for (const { doc } of [...api.api.mirror.all('vm').values()]) {
    await drop(api, 'vm-status', doc.uuid);
    await drop(api, 'vm-name', doc.name);
    await drop(api, 'vm', doc.uuid);
  }
  await putVm(api, { uuid: WEB1, name: 'web1' });
  await putVm(api, { uuid: WEB10, name: 'web10', node: 'hv2', tags: [{ name: 'blue', protected: true }] });
  await putVmStatus(api, WEB1);
});

describe('maintenance', () => {
  test('is switched on and off, shown at once, and kept by the cluster', async () => {
    for (const state of ['true', 'true', 'false']) {
      expect(await ask('/status', { method: 'POST', query: { state } })).toMatchObject({ code: 200, body: { message: `maintenance is ${state === 'true' ? 'on' : 'off'}` } });
      const { body } = await ask('/status');
      expect([body.maintenance, body.health === 'Maintenance']).toEqual([state, state === 'true']);
    }
    expect((await api.store.read('/spec/maintenance/cluster'))?.value).toEqual({ on: false });
    expect((await ask('/status', { method: 'POST', query: { state: 'maybe' } })).code).toBe(510);
  });
});

describe('figures of guests', () => {
  const figures = { cpuNs: [30, 20, 10], memory: { actual: 524_288 }, disks: { sda: [1, 2, 3, 4] }, interfaces: { '52:54:00:aa:bb:01': [1, 2, 3, 4, 5, 6, 7, 8] }, vnc: { listen: '127.0.0.1', port: 5_900 } };

  test('a running VM is shown with what its node counts, and with no other node\'s figures', async () => {
    await put(api, 'vm-statistics', 'hv1', { vms: { [WEB1]: figures } });
    const { body } = await ask('/vm/web1');
    expect(vmView.parse(body)).toMatchObject({ memory_stats: { actual: 524_288 }, vcpu_stats: { cpu_time: 30 }, vnc: { port: 5_900 } });
    expect(body.disks[0]).toMatchObject({ dev: 'sda', rd_req: 1, wr_bytes: 4 });
    expect(body.networks[0]).toMatchObject({ rd_bytes: 1, wr_drops: 8 });
    expect((await ask('/vm')).body[0]).toEqual(body);
    await put(api, 'vm-statistics', 'hv1', { vms: { [WEB1]: { ...figures, disks: { sda: [9, 9, 9, 9] } } } });
    expect((await ask('/vm/web1')).body.disks[0]).toMatchObject({ rd_req: 9 });
    await putVmStatus(api, WEB1, { owner: aNodeName('hv2'), epoch: 2 });
    expect((await ask('/vm/web1')).body).toMatchObject({ memory_stats: {}, disks: [{ rd_req: 0 }], vnc: { listen: null, port: null } });
    await drop(api, 'vm-statistics', 'hv1');
  });
});

describe('general', () => {
  test('the root answers 209 with and without the slash, and needs no token', async () => {
    for (const path of ['', '/']) {
      const answer = await ask(path, { token: null });
      expect(answer.code).toBe(209);
      expect(answer.body.message).toContain('PVC API');
    }
  });

  test('every reply has an id of its own, and no sign of what serves it', async () => {
    const [one, two] = [await ask('/vm'), await ask('/vm')];
    expect(one.headers.get('x-request-id')).toMatch(/^[0-9a-f]{16}$/u);
    expect(one.headers.get('x-request-id')).not.toBe(two.headers.get('x-request-id'));
    expect(one.headers.get('x-powered-by')).toBeNull();
    expect(one.headers.get('etag')).toBeNull();
  });

  test('an unknown path is 404 and another method 405 with the methods that there are, both as JSON', async () => {
    const unknown = await ask('/nothing/here', { method: 'POST' });
    expect([unknown.code, unknown.body.message]).toEqual([404, 'there is no such path: /api/v1/nothing/here']);
    const wrong = await ask('/vm/web1', { method: 'PATCH' });
    expect([wrong.code, wrong.headers.get('allow')]).toEqual([405, 'DELETE, GET, POST, PUT']);
    expect(wrong.body.message).toContain('PATCH');
    expect((await ask('/initialize')).code).toBe(404);
  });

  test('a body that is too large is 413, and one of an unknown type, not UTF-8 or not JSON is 510', async () => {
    expect((await ask('/vm', { raw: { type: 'text/xml', body: 'x'.repeat(600 * 1024) } })).code).toBe(413);
    for (const raw of [
      { type: 'application/json', body: '{"xml": ' },
      { type: 'application/json', body: '[1, 2]' },
      { type: 'multipart/form-data; boundary=x', body: '--x--' },
    ]) {
      const answer = await ask('/vm', { raw });
      expect([answer.code, typeof answer.body.message]).toEqual([510, 'string']);
    }
  });

  test('the status has what both command lines read', async () => {
    const { code, body } = await ask('/status');
    expect(code).toBe(200);
    expect(statusView.parse(body)).toEqual(body);
    expect(body).toMatchObject({
      health: 'Degraded',
      primary_node: 'hv1',
      nodes: { total: 3, 'run,ready': 2, 'dead,ready': 1 },
      vms: { total: 2, start: 1, stop: 1 },
      maintenance: 'false',
    });
    expect((await ask('/status/primary_node')).body).toEqual({ primary_node: 'hv1' });
  });

  test('tasks are shown one by one, as a list, and as the command line lists them', async () => {
    await put(api, 'task', 'flush-hv1-2', {
      id: 'flush-hv1-2', kind: 'flush', target: 'hv1', generation: 2, executor: 'hv1', requestedBy: 'tests', state: 'running', createdMs: 0, error: null,
      steps: [{ name: 'web1', state: 'done', message: null }, { name: 'web10', state: 'running', message: 'pass 2' }],
    });
    const one = (await ask('/task/flush-hv1-2')).body;
    expect(taskView.parse(one)).toEqual(one);
    expect(one).toMatchObject({ state: 'RUNNING', current: 1, total: 2, status: 'pass 2', result: '' });
    expect((await ask('/tasks/flush-hv1-2')).body).toEqual(one);
    expect((await ask('/task')).body).toEqual([one]);
    expect((await ask('/tasks')).body.active.hv1[0]).toMatchObject({ id: 'flush-hv1-2', name: 'flush', args: '[]' });
    expect((await ask('/task/none')).code).toBe(404);
    expect((await ask('/provisioner/status')).body).toEqual({ active: {}, reserved: {}, scheduled: {} });
    await drop(api, 'task', 'flush-hv1-2');
  });
});

describe('nodes', () => {
  test('a list is an array by name, an element an object', async () => {
    const { body } = await ask('/node');
    expect(body.map((node: { name: string }) => node.name)).toEqual(['hv1', 'hv2', 'hv3']);
    expect(nodeView.parse(body[0])).toEqual(body[0]);
    expect((await ask('/node/hv2')).body).toEqual(body[1]);
    expect((await ask('/node', { query: { limit: 'hv[12]$' } })).body).toHaveLength(2);
    expect((await ask('/node', { query: { limit: '2' } })).body).toHaveLength(1);
    expect((await ask('/node', { query: { daemon_state: 'dead' } })).body.map((node: { name: string }) => node.name)).toEqual(['hv3']);
  });

  test('a node whose session is gone is dead whatever it last said of itself', async () => {
    const states = async (node: string): Promise<unknown[]> => Promise.all(['daemon', 'coordinator', 'domain'].map(async (of) => (await ask(`/node/${node}/${of}-state`)).body));
    expect(await states('hv3')).toEqual([{ name: 'hv3', daemon_state: 'dead' }, { name: 'hv3', coordinator_state: 'secondary' }, { name: 'hv3', domain_state: 'ready' }]);
    expect(await states('hv1')).toEqual([{ name: 'hv1', daemon_state: 'run' }, { name: 'hv1', coordinator_state: 'primary' }, { name: 'hv1', domain_state: 'ready' }]);
    expect((await ask('/node/hv9')).code).toBe(404);
  });

  test.each(['state', 'domain-state', 'domain_state'])('a flush can be asked for by the value %s, and its task is named', async (name) => {
    const generation = api.api.mirror.get('node', 'hv2')?.doc.domains.generation ?? 0;
    const answer = await ask('/node/hv2/domain-state', { query: { [name]: 'flush' }, method: 'POST' });
    expect([answer.code, answer.body.task_id]).toEqual([200, `flush-hv2-${generation + 1}`]);
    expect(api.api.mirror.get('node', 'hv2')?.doc.domains).toEqual({ wish: 'flush', generation: generation + 1 });
    expect((await ask('/node/hv2/domain-state')).body).toEqual({ name: 'hv2', domain_state: 'flush' });
    expect(api.api.mirror.get('task', answer.body.task_id)?.doc).toMatchObject({ kind: 'flush', requestedBy: 'tests' });
    await drop(api, 'task', answer.body.task_id);
  });

  test('a flush with wait answers when its task is over, with 510 and the reason when it failed', async () => {
    for (const [state, code] of [['done', 200], ['failed', 510]] as const) {
      await put(api, 'node', 'hv2', { name: 'hv2', domains: { wish: 'ready', generation: code } });
      const answer = ask('/node/hv2/domain-state', { form: { state: 'flush', wait: 'True' } });
      const id = `flush-hv2-${code + 1}`;
      await until(() => api.api.mirror.get('task', id) !== undefined, 5_000);
      await put(api, 'task', id, { ...api.api.mirror.get('task', id)?.doc, state, error: state === 'failed' ? 'web1 fits nowhere' : null });
      expect((await answer).code).toBe(code);
      if (state === 'failed') expect((await answer).body.message).toContain('web1 fits nowhere');
      await drop(api, 'task', id);
    }
    await putNode(api, 'hv2');
  });

  test('the primary can be handed over; a node that is absent, dead or no coordinator is refused', async () => {
    expect((await ask('/node/hv2/coordinator-state', { form: { 'coordinator-state': 'primary' } })).code).toBe(200);
    expect(api.api.mirror.get('primary-wish', 'cluster')?.doc).toMatchObject({ node: 'hv2', avoid: null });
    const states = (await ask('/node')).body.map((one: { coordinator_state: string }) => one.coordinator_state);
    expect(states).toEqual(['relinquish', 'takeover', 'secondary']);
    expect((await ask('/node/hv3/coordinator-state', { form: { state: 'primary' } })).code).toBe(510);
    expect((await ask('/node/hv9/coordinator-state', { form: { state: 'primary' } })).code).toBe(510);
    expect((await ask('/node/hv1/coordinator-state', { form: { state: 'client' } })).body.message).toContain('state');
  });
});

describe('VMs', () => {
  test('one VM has every field of the existing clients, found by name or UUID in any case, never by a prefix', async () => {
    const { body } = await ask('/vm/web1');
    expect(vmView.parse(body)).toEqual(body);
    expect(body).toMatchObject({
      name: 'web1', uuid: WEB1, state: 'start', node: 'hv1', last_node: '', migrated: 'no', description: 'front end', memory: 512, vcpu: 2, vcpu_topology: '1/2/1',
      networks: [{ type: 'bridge', vni: '1001', mac: '52:54:00:aa:bb:01', source: 'vmbr1001', model: 'virtio' }],
      disks: [{ type: 'rbd', name: 'vms/web1_sda', dev: 'sda', bus: 'scsi' }],
      controllers: [{ type: 'scsi', model: 'virtio-scsi' }, { type: 'usb', model: 'none' }],
      features: ['acpi', 'apic'], type: 'hvm', arch: 'x86_64', machine: 'pc', console: 'pty',
    });
    expect((await ask(`/vm/${WEB1.toUpperCase()}`)).body).toEqual(body);
    expect((await ask('/vm/web')).code).toBe(404);
    expect((await ask('/vm/web1/state')).body).toEqual({ name: 'web1', state: 'start' });
    expect((await ask('/vm/web1/node')).body).toEqual({ name: 'web1', node: 'hv1', last_node: '' });
  });

  test('the list is an array by name, and its filters combine', async () => {
    const names = async (query: Record<string, string> | string): Promise<string[]> =>
      (await ask('/vm', { query })).body.map((vm: { name: string }) => vm.name);
    expect(await names({})).toEqual(['web1', 'web10']);
    expect(await names({ limit: 'web1$' })).toEqual(['web1']);
    expect(await names({ limit: 'eb1' })).toEqual(['web1', 'web10']);
    expect(await names({ limit: WEB10 })).toEqual(['web10']);
    expect(await names({ node: 'hv2' })).toEqual(['web10']);
    expect(await names({ state: 'start' })).toEqual(['web1']);
    expect(await names({ tag: 'blue' })).toEqual(['web10']);
    expect(await names({ limit: 'web', state: 'start', negate: 'False' })).toEqual(['web1']);
    expect(await names('tag=blue&negate')).toEqual(['web1']);
    expect(await names({ limit: '^nothing' })).toEqual([]);
    for (const query of [{ limit: '(' }, { limit: 'a'.repeat(500) }, { node: 'hv9' }, { state: 'asleep' }]) expect((await ask('/vm', { query })).code).toBe(510);
  });

  test.each(['query', 'form', 'json', 'raw'] as const)('a VM is defined by values in %s, and is there for the next GET', async (how) => {
    const values = { xml: domainXml('new'), node: 'hv2' };
    const options = how === 'raw' ? { raw: { type: 'text/xml', body: values.xml }, query: { node: 'hv2' } } : { [how]: values };
    const answer = await ask('/vm', { method: 'POST', ...options });
    expect([answer.code, answer.body.message]).toEqual([200, expect.stringContaining('VM new is defined')]);
    expect((await ask('/vm/new')).body).toMatchObject({ name: 'new', node: 'hv2', state: 'stop' });
  });

  test('a definition takes all its values, and an unknown node means that one is chosen', async () => {
    const form: [string, string][] = [['xml', domainXml('new')], ['node', 'nowhere'], ['selector', 'vms'], ['limit', 'hv1,hv2'], ['autostart', ''], ['user_tags', 'a'], ['user_tags', 'b'], ['protected_tags', 'c'], ['migration_method', 'live'], ['migration_max_downtime', '200'], ['profile', 'std']];
    expect((await ask('/vm', { form })).code).toBe(200);
    const { body } = await ask('/vm/new');
    expect(body).toMatchObject({ node_limit: ['hv1', 'hv2'], node_selector: 'vms', node_autostart: true, migration_method: 'live', migration_max_downtime: 200, profile: 'std' });
    expect(body.tags).toEqual(['a', 'b', 'c'].map((name) => ({ name, type: 'user', protected: name === 'c' })));
    expect(['hv1', 'hv2']).toContain(body.node);
  });

  test('a refused definition says why and changes nothing', async () => {
    const bad = ['', '<domain', '<a/>', domainXml('web1'), domainXml('x', { uuid: WEB1 }), domainXml('big', { memoryMib: 10_000_000 }), '<!DOCTYPE d [<!ENTITY e "x">]><domain type="kvm"/>'];
    for (const xml of bad) {
      const answer = await ask('/vm', { form: { xml } });
      expect([answer.code, answer.body.message.length > 10]).toEqual([510, true]);
    }
    expect(api.api.mirror.all('vm').size).toBe(2);
    expect((await ask('/vm', { form: { xml: domainXml('y', { fillBytes: 101_000 }) } })).code).toBe(413);
  });

  test('a definition is replaced, with a restart when the flag is there; the dump is the new XML', async () => {
    const xml = domainXml('web1', { uuid: WEB1, memoryMib: 1_024 });
    expect((await ask('/vm/web1', { method: 'PUT', form: { xml } })).code).toBe(200);
    expect((await ask('/vm/web1')).body).toMatchObject({ memory: 1_024 });
    expect(specOf(WEB1).power.action).toBe('stop');
    expect((await ask(`/vm/${WEB1}`, { method: 'PUT', query: 'restart', form: { xml } })).code).toBe(200);
    expect(specOf(WEB1).power.action).toBe('restart');
    const dump = await ask('/vm/web1/dump');
    expect([dump.code, dump.text, dump.headers.get('content-type')]).toEqual([200, xml, 'application/xml; charset=utf-8']);
    expect((await ask('/vm/absent', { method: 'PUT', form: { xml } })).code).toBe(510);
  });

  test('a VM that is off is removed for good; removing it again is 510', async () => {
    expect((await ask('/vm/web10', { method: 'DELETE', query: { delete_disks: 'False' } })).code).toBe(200);
    expect((await ask('/vm/web10')).code).toBe(404);
    expect((await ask('/vm/web10', { method: 'DELETE' })).code).toBe(510);
  });

  test('the power state is asked for by name and UUID, and waited for', async () => {
    await putVmStatus(api, WEB10, { owner: null, phase: { kind: 'stopped' }, powerGeneration: 0 });
    expect((await ask('/vm/web10/state', { query: { state: 'start' }, method: 'POST' })).code).toBe(200);
    expect(specOf(WEB10).power).toEqual({ action: 'start', generation: 1 });
    const shutdown = ask(`/vm/${WEB10}/state`, { form: { state: 'stop', wait: '' } });
    await until(() => specOf(WEB10).power.action === 'stop', 5_000);
    expect((await shutdown).code).toBe(200);
    const start = ask('/vm/web10/state', { form: { state: 'start', wait: 'true' } });
    await until(() => specOf(WEB10).power.action === 'start', 5_000);
    await putVmStatus(api, WEB10, { owner: null, phase: { kind: 'failed', reason: 'no disk' }, powerGeneration: specOf(WEB10).power.generation });
    expect([(await start).code, (await start).body.message]).toEqual([510, expect.stringContaining('no disk')]);
    expect((await ask('/vm/web10')).body).toMatchObject({ state: 'fail', failed_reason: 'no disk' });
    for (const state of ['', 'fly']) expect((await ask('/vm/web10/state', { form: { state } })).code).toBe(510);
  });

  test('a running VM is migrated and waited for; unmigrate and move do as they say', async () => {
    const moved = ask('/vm/web1/node', { form: { action: 'migrate', node: 'hv2', force_live: 'True', wait: 'True' } });
    await until(() => specOf(WEB1).node === 'hv2', 5_000);
    expect(specOf(WEB1)).toMatchObject({ homeNode: 'hv1', placement: { method: 'live' } });
    expect((await ask('/vm/web1')).body).toMatchObject({ state: 'migrate', node: 'hv1', last_node: 'hv1', migrated: 'from hv1' });
    await putVmStatus(api, WEB1, { owner: aNodeName('hv2'), epoch: 2 });
    expect([(await moved).code, (await moved).body.message]).toEqual([200, 'VM web1 is on node hv2']);
    expect((await ask('/vm/web1/node', { form: { action: 'migrate' } })).code).toBe(510);
    expect((await ask('/vm/web1/node', { form: { action: 'unmigrate' } })).code).toBe(200);
    await putVmStatus(api, WEB1, { epoch: 3 });
    expect((await ask('/vm/web1/node', { query: 'action=migrate&permanent', method: 'POST' })).code).toBe(200);
    expect(specOf(WEB1)).toMatchObject({ node: 'hv2', homeNode: null });
    expect((await ask('/vm/web1/node', { form: { action: 'jump' } })).code).toBe(510);
  });

  test('a migration that failed answers its wait with the reason', async () => {
    const moved = ask('/vm/web1/node', { form: { action: 'migrate', node: 'hv2', wait: 'True' } });
    await until(() => specOf(WEB1).node === 'hv2', 5_000);
    const { generation } = specOf(WEB1).placement;
    await putVmStatus(api, WEB1, { lastMigration: { generation, from: aNodeName('hv1'), to: aNodeName('hv2'), outcome: 'failed', error: 'no route', elapsedMs: 9 } });
    expect([(await moved).code, (await moved).body.message]).toEqual([510, expect.stringContaining('no route')]);
  });

  test('a migration that is under way is neither over nor shown as a failure, and its wait ends with it', async () => {
    const moved = ask('/vm/web1/node', { form: { action: 'migrate', node: 'hv2', wait: 'True' } });
    await until(() => specOf(WEB1).node === 'hv2', 5_000);
    const { generation } = specOf(WEB1).placement;
    const [from, to] = [aNodeName('hv1'), aNodeName('hv2')];
    // What its owner writes before it begins, for the daemon after it.
    const begun = { generation, from, to, outcome: 'failed', error: 'interrupted', elapsedMs: 0 } as const;
    await putVmStatus(api, WEB1, { phase: { kind: 'migrating', target: to, progress: null }, lastMigration: begun });
    expect((await ask('/vm/web1')).body).toMatchObject({ state: 'migrate', migration_target: 'hv2', last_migration: null });
    await putVmStatus(api, WEB1, { owner: to, epoch: 2, lastMigration: { ...begun, outcome: 'live', error: null } });
    expect([(await moved).code, (await moved).body.message]).toEqual([200, 'VM web1 is on node hv2']);
    expect((await ask('/vm/web1')).body).toMatchObject({ last_migration: { outcome: 'live', error: null } });
  });

  test('a migration that fell back to a shutdown has not failed for who waits for it', async () => {
    const moved = ask('/vm/web1/node', { form: { action: 'migrate', node: 'hv2', wait: 'True' } });
    await until(() => specOf(WEB1).node === 'hv2', 5_000);
    const { generation } = specOf(WEB1).placement;
    const [from, to] = [aNodeName('hv1'), aNodeName('hv2')];
    const failed = { generation, from, to, outcome: 'failed', error: 'no route', elapsedMs: 9 } as const;
    await putVmStatus(api, WEB1, { phase: { kind: 'shutting-down', sinceMs: 0, next: 'relocate' }, lastMigration: failed });
    await putVmStatus(api, WEB1, { owner: null, epoch: 2, phase: { kind: 'relocating' }, lastMigration: failed });
    await putVmStatus(api, WEB1, { owner: to, epoch: 3, lastMigration: { ...failed, outcome: 'shutdown' } });
    expect((await moved).code).toBe(200);
  });

  test('a VM that is being removed shows a state that every client knows, and why', async () => {
    await put(api, 'vm', WEB1, { ...specOf(WEB1), deletion: { disks: false } });
    expect((await ask('/vm/web1')).body).toMatchObject({ state: 'stop', failed_reason: 'the VM is being removed' });
  });

  test('rules are changed one by one, and cleared', async () => {
    expect((await ask('/vm/web1/meta', { form: { limit: 'hv1,hv2', selector: 'load', autostart: 'True', profile: 'std', migration_method: 'shutdown', migration_max_downtime: '50' } })).code).toBe(200);
    expect((await ask('/vm/web1/meta')).body).toEqual({ name: 'web1', node_limit: ['hv1', 'hv2'], node_selector: 'load', node_autostart: true, migration_method: 'shutdown', migration_max_downtime: 50, profile: 'std' });
    expect((await ask('/vm/web1/meta', { form: { limit: '', selector: 'none', autostart: 'False' } })).code).toBe(200);
    expect((await ask('/vm/web1/meta')).body).toMatchObject({ node_limit: null, node_selector: null, node_autostart: false, profile: 'std' });
    for (const form of [{}, { limit: 'hv9' }, { selector: 'best' }, { autostart: 'maybe' }, { migration_max_downtime: '0' }]) {
      expect((await ask('/vm/web1/meta', { form })).code).toBe(510);
    }
  });

  test('tags are added and removed, protected ones stay; a VM that is off is renamed', async () => {
    expect((await ask('/vm/web1/tags', { form: { action: 'add', tag: 'red', protected: 'False' } })).code).toBe(200);
    expect((await ask('/vm/web1/tags')).body).toEqual({ name: 'web1', tags: [{ name: 'red', type: 'user', protected: false }] });
    expect((await ask('/vm/web1/tags', { form: { action: 'remove', tag: 'red' } })).code).toBe(200);
    expect((await ask('/vm/web10/tags', { form: { action: 'remove', tag: 'blue' } })).code).toBe(510);
    expect((await ask('/vm/web10/rename', { form: { new_name: 'web11' } })).code).toBe(200);
    expect((await ask('/vm/web11')).body.uuid).toBe(WEB10);
    expect((await ask('/vm/web10')).code).toBe(404);
    expect((await ask('/vm/web1/rename', { form: { new_name: 'other' } })).code).toBe(510);
  });

  test('the console shows the last lines; what is not there yet is 510', async () => {
    await put(api, 'vm-console', WEB1, { lines: ['one', 'two', 'three'], sources: {}, unfinishedBy: null });
    expect((await ask('/vm/web1/console', { query: { lines: '2' } })).body).toEqual({ name: 'web1', data: 'two\nthree' });
    expect((await ask('/vm/web10/console')).body).toEqual({ name: 'web10', data: '' });
    expect((await ask('/vm/web1/console', { query: { lines: '0' } })).code).toBe(510);
    expect((await ask('/vm/web1', { form: { vm_template: 't' } })).body.message).toContain('yet');
    expect((await ask('/vm/web1/locks', { method: 'POST' })).code).toBe(510);
  });

  test("a node's log shows the last lines, ten unless told otherwise", async () => {
    expect([(await ask('/node/hv1/log')).body, (await ask('/node/hv9/log')).code]).toEqual([{ name: 'hv1', data: '' }, 404]);
    const lines = Array.from({ length: 30 }, (_, number) => `2026-01-01T00:00:00.000Z info said number=${number}`);
    await put(api, 'node-log', 'hv1', { packed: packLines(lines) });
    expect((await ask('/node/hv1/log')).body).toEqual({ name: 'hv1', data: lines.slice(-10).join('\n') });
    for (const [asked, shown] of [['2', 2], ['5000', 30]] as const) expect((await ask('/node/hv1/log', { query: { lines: asked } })).body.data.split('\n')).toEqual(lines.slice(-shown));
    for (const lines of ['0', '5001', 'all']) expect((await ask('/node/hv1/log', { query: { lines } })).code, lines).toBe(510);
  });

  test('a value that is given twice with different texts is refused, in both places too', async () => {
    expect((await ask('/vm/web1/state', { query: 'state=start&state=start', method: 'POST' })).code).toBe(200);
    const answer = await ask('/vm/web1/state', { query: { state: 'start' }, form: { state: 'stop' } });
    expect([answer.code, answer.body.message]).toEqual([510, expect.stringContaining('more than once')]);
  });
});

describe('the description', () => {
  test('the OpenAPI document has every path and value, and the page shows them without anything from elsewhere', async () => {
    const document = (await ask('/openapi.json', { token: null })).body;
    for (const one of api.api.routes) {
      const shown = document.paths[`/api/v1${one.path.replaceAll(/:(\w+)/gu, '{$1}')}`]?.[one.method.toLowerCase()];
      expect(shown?.summary, `${one.method} ${one.path}`).toBe(one.summary);
      expect(Object.keys(shown.responses)).toContain(String(one.reply.code));
    }
    expect(document.paths['/api/v1/vm'].post.requestBody.content['application/json'].schema.required).toEqual(['xml']);
    const page = await ask('/docs', { token: null });
    expect(page.text).toContain('/api/v1/node/:node/domain-state');
    expect(page.text).not.toMatch(/(src|href)="(https?:)?\/\//u);
  });
});
