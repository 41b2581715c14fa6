import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../common/clock.ts';
import { isAppError, type ErrorCode } from '../../common/errors.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror, type Mirror } from '../../common/mirror/mirror.ts';
import type { OperationContext } from '../../common/operations/context.ts';
import { OccupancyLedger } from '../../common/operations/occupancy-ledger.ts';
import { forgetOsd, keepOsd, osdOperations, type OsdOperations } from '../../common/operations/osd.ts';
import { devicePath, osdId, osdKey, type OsdSpec, type OsdStatus } from '../../common/schema/osd.ts';
import { MIRRORED, pathOf, RESOURCES, type Kind, type MirroredKind } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aNode } from '../support/builders.ts';

const SDB = devicePath.parse('/dev/sdb');
const KEY = osdKey('hv1', SDB);
const ID = osdId.parse(3);
const BY = { requestedBy: 'a test' };

let store: MemoryStore;
let mirror: Mirror<typeof RESOURCES, MirroredKind>;
let context: OperationContext;
let osds: OsdOperations;

beforeEach(async () => {
  const signal = AbortSignal.timeout(10_000);
  store = new MemoryStore({ zookeeper: new MemoryZooKeeper({ clock: systemClock }), clock: systemClock, name: 'api' });
  await store.start(signal);
  mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock: systemClock, log: silentLogger });
  await mirror.start(signal);
  context = { store, mirror, occupancy: new OccupancyLedger(mirror), clock: systemClock, placement: { selector: 'mem', reserveMib: 512 } };
  osds = osdOperations(context);
  const [one, two] = [aNode('hv1'), aNode('hv2')];
  await put('node', 'hv1', one.spec);
  await put('presence', 'hv1', one.presence);
  await put('node', 'hv2', two.spec);
});

afterEach(async () => {
  await mirror.stop();
  await store.stop();
});

async function put(kind: Kind & MirroredKind, id: string, doc: unknown): Promise<void> {
  const { version } = await store.create(pathOf(kind, id), RESOURCES[kind].schema.parse(doc));
  await mirror.waitFor(kind, id, version, { timeoutMs: 5_000 });
}

const spec = (): OsdSpec => mirror.get('osd', KEY)?.doc ?? expect.fail('there is no document');

/** What the node says once the OSD is there. */
const reported = (phase: OsdStatus['phase']): Promise<void> => put('osd-status', KEY, { uuid: spec().uuid, node: 'hv1', device: SDB, id: ID, phase, error: null });

async function refusal(work: Promise<unknown>): Promise<ErrorCode | undefined> {
  const error = await work.then(() => undefined, (thrown: unknown) => thrown);
  return isAppError(error) ? error.code : undefined;
}

test('a device of a node gets one OSD, whatever else asks for it, and a task that names it', async () => {
  const asked = await Promise.allSettled(Array.from({ length: 8 }, () => osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY)));
  expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(await refusal(osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY))).toBe('exists');
  const tasks = [...mirror.all('task').values()].map(({ doc }) => doc);
  expect(tasks).toMatchObject([{ id: `osd-add-${spec().uuid}-1`, kind: 'osd-add', target: 'hv1:sdb', executor: 'hv1', state: 'pending', requestedBy: 'a test' }]);
});

test('nothing is asked of a node that does not exist, or whose daemon is not alive', async () => {
  expect(await refusal(osds.add({ node: 'hv9', device: SDB, weight: 1, zap: false }, BY))).toBe('not-found');
  expect(await refusal(osds.add({ node: 'hv2', device: SDB, weight: 1, zap: false }, BY))).toBe('state');
  expect(mirror.all('osd').size).toBe(0);
});

test('an OSD stays while the daemon of its node is not alive, and the refusal says what an operator can do', async () => {
  await osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY);
  await reported('running');
  await store.remove(pathOf('presence', 'hv1'), mirror.get('presence', 'hv1')?.version ?? 0);
  await mirror.waitFor('presence', 'hv1', 'gone', { timeoutMs: 5_000 });
  const error: unknown = await osds.remove(ID, { force: true, ...BY }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'state', message: expect.stringContaining('ceph osd purge'), details: { node: 'hv1', osd: ID } });
  expect(spec().removal).toBeNull();
});

test('what is being added, or is nobody’s, is not removed', async () => {
  expect(await refusal(osds.remove(ID, { force: true, ...BY }))).toBe('not-found');
  await osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY);
  await reported('adding');
  expect(await refusal(osds.remove(ID, { force: true, ...BY }))).toBe('state');
  expect(spec().removal).toBeNull();
});

test('a removal that is asked for again is the same task, and another one by force', async () => {
  await osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY);
  await reported('running');
  const first = await osds.remove(ID, { force: false, ...BY });
  expect((await osds.remove(ID, { force: false, ...BY })).id).toBe(first.id);
  const forced = await osds.remove(ID, { force: true, ...BY });
  expect(forced.id).not.toBe(first.id);
  expect((await osds.remove(ID, { force: false, ...BY })).id).toBe(forced.id);
  expect(spec()).toMatchObject({ generation: 3, removal: { force: true } });
});

test('a node gives up only the request that it has worked on, and forgets only its own OSD', async () => {
  await osds.add({ node: 'hv1', device: SDB, weight: 1, zap: false }, BY);
  await reported('running');
  await osds.remove(ID, { force: false, ...BY });
  const seen = spec();
  await osds.remove(ID, { force: true, ...BY });
  await keepOsd(context, seen);
  expect(spec().removal).toEqual({ force: true });
  await keepOsd(context, spec());
  expect(spec().removal).toBeNull();
  await forgetOsd(context, { key: KEY, uuid: '00000000-0000-4000-8000-000000000009' as OsdSpec['uuid'] });
  expect(await store.read(pathOf('osd', KEY))).toBeDefined();
  await forgetOsd(context, { key: KEY, uuid: spec().uuid });
  expect(await store.read(pathOf('osd', KEY))).toBeUndefined();
});
