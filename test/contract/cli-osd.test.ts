import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { devicePath, osdKey } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import { CLUSTER_OPTIONS } from '../../api/storage/storage-cluster.ts';
import { OSD_COMMANDS } from '../../client/cli/commands/osd.ts';
import { pvc, type Ran } from '../support/memory-terminal.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, drop, put, putNode, startApi, TOKEN, type TestApi } from './api-support.ts';

const LIMIT_MS = 10_000;
const KEY = osdKey('hv1', devicePath.parse('/dev/sdb'));

let api: TestApi;

const run = (text: string): Promise<Ran> => pvc({ PVC_API_URL: api.base, PVC_API_TOKEN: TOKEN }, ...text.split(' '));
const tasks = (): Task[] => Array.from(api.api.mirror.all('task').values(), ({ doc }) => doc);

/** An API that has storage and cannot reach it: a node carries out what is asked here, and the test is the node. */
beforeAll(async () => {
  const ceph = { config_file: '/nonexistent/ceph.conf', client: 'client.none', keyring_file: '/nonexistent/keyring' };
  api = await startApi({ zookeeper: aZooKeeper(), ceph });
  await putNode(api, 'hv1');
});

afterAll(() => api.stop());

beforeEach(async () => {
  for (const kind of ['task', 'osd', 'osd-status'] as const) for (const id of [...api.api.mirror.all(kind).keys()]) await drop(api, kind, id);
});

/** The task, once it has been asked for. */
async function asked(): Promise<Task> {
  await until(() => tasks().length === 1, LIMIT_MS, 'a task');
  return tasks()[0] ?? expect.fail('there is no task');
}

/** Writes what the node's daemon would: steps that are over, and one that runs or has failed. */
async function report(task: Task, given: { over: number; at?: Task['steps'][number]['state']; message?: string; state: Task['state']; error?: string }): Promise<void> {
  const stateAt = (at: number): Task['steps'][number]['state'] => (at < given.over ? 'done' : at === given.over ? (given.at ?? 'waiting') : 'waiting');
  const steps = task.steps.map(({ name }, at) => ({ name, state: stateAt(at), message: at === given.over ? (given.message ?? null) : null }));
  await put(api, 'task', task.id, { ...task, steps, state: given.state, error: given.error ?? null });
}

test('a new OSD has a line for each step, on standard error', async () => {
  const running = run('storage osd add hv1 /dev/sdb --weight 3.6');
  const task = await asked();
  await report(task, { over: 1, at: 'running', message: 'OSD 4', state: 'running' });
  await report(task, { over: task.steps.length, state: 'done' });
  const { code, stdout, stderr } = await running;
  expect([code, stdout]).toEqual([0, '/dev/sdb of node hv1 is an OSD\n']);
  expect(stderr).toMatch(/✔ check/u);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^✔ clean-up/u);
  expect(api.api.mirror.get('osd', KEY)?.doc).toMatchObject({ node: 'hv1', device: '/dev/sdb', weight: 3.6 });
});

test('one that fails says at which step and why, and the command fails', async () => {
  const running = run('storage osd add hv1 /dev/sdb');
  const task = await asked();
  await report(task, { over: 0, at: 'failed', message: 'it has a partition table', state: 'failed', error: 'it has a partition table' });
  const { code, stdout, stderr } = await running;
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/✘ check failed: it has a partition table\n/u);
  expect(stderr).toMatch(/^pvc: .*it has a partition table.*$/mu);
  expect(api.api.mirror.get('osd', KEY)?.doc.weight).toBe(1);
});

test('a disk is zapped only when that is said, and said again', async () => {
  expect(await run('storage osd add hv1 /dev/sdb --zap')).toMatchObject({ code: 2, stderr: expect.stringContaining('everything on /dev/sdb of node hv1 is destroyed') });
  expect(tasks()).toEqual([]);
  expect((await run('storage osd add hv1 /dev/sdb --zap --yes --no-wait')).code).toBe(0);
  expect((await asked()).steps.map(({ name }) => name)).toContain('zap');
});

test('with --no-wait the command ends at once, and the task goes on', async () => {
  const { code, stdout } = await run('storage osd add hv1 /dev/sdb --no-wait');
  const task = await asked();
  expect([code, stdout, task.state]).toEqual([0, `task ${task.id} is under way\n`, 'pending']);
});

test('a wait that is too short leaves the task as it is, and says how to see it', async () => {
  const { code, stderr } = await run('storage osd add hv1 /dev/sdb --wait-limit 0.2');
  const { id, state } = await asked();
  expect([code, state]).toEqual([1, 'pending']);
  expect(stderr).toContain(`the new OSD on /dev/sdb of node hv1 is not over after 0.2 s, and goes on (see pvc task info ${id})`);
});

test('a removal is asked for with its word, and by force when that is said', async () => {
  await run('storage osd add hv1 /dev/sdb --no-wait');
  const { uuid } = api.api.mirror.get('osd', KEY)?.doc ?? expect.fail('there is no OSD');
  const adding = await asked();
  await report(adding, { over: adding.steps.length, state: 'done' });
  await put(api, 'osd-status', KEY, { uuid, node: 'hv1', device: '/dev/sdb', id: 3, phase: 'running', error: null });
  const running = run('storage osd remove 3 --force --yes');
  await until(() => tasks().length === 2, LIMIT_MS, 'another task');
  const task = tasks().find(({ id }) => id !== adding.id) ?? expect.fail('there is no other task');
  expect([task.kind, api.api.mirror.get('osd', KEY)?.doc.removal]).toEqual(['osd-remove', { force: true }]);
  await report(task, { over: task.steps.length, state: 'done' });
  expect(await running).toMatchObject({ code: 0, stdout: 'OSD 3 is removed\n', stderr: expect.stringMatching(/✔ drain(.|\n)*✔ wipe/u) });
});

test('a node that is not there, and a weight that is none, are refused', async () => {
  expect(await run('storage osd add hv9 /dev/sdb')).toMatchObject({ code: 1, stderr: expect.stringContaining('hv9') });
  expect(await run('storage osd add hv1 /dev/sdb --weight heavy')).toMatchObject({ code: 2, stderr: expect.stringContaining('--weight: must be a number') });
  expect(await run('storage osd info osd.3')).toMatchObject({ code: 2 });
  expect(tasks()).toEqual([]);
});

test('the flags of the cluster are those that the API knows, and one that stops all guests is asked for', async () => {
  const words = OSD_COMMANDS.verbs.find(({ name }) => name === 'set')?.arguments['option']?.words ?? [];
  expect([...words].sort()).toEqual([...CLUSTER_OPTIONS].sort());
  expect(await run('storage osd set pause')).toMatchObject({ code: 2, stderr: expect.stringContaining('no guest can write to its volumes until pause is unset') });
});
