import { expect, test } from 'vitest';
import { aDomainXml, aStatus, aVm, aVmId, aVmName } from '../../test/support/builders.ts';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { isAppError } from '../errors.ts';
import { silentLogger } from '../log.ts';
import { createMirror } from '../mirror/mirror.ts';
import { MIRRORED, pathOf, RESOURCES, type Kind } from '../schema/resources.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { MemoryZooKeeper } from '../store/memory-zookeeper.ts';
import { findVm } from './find-vm.ts';
import { OccupancyLedger } from './occupancy-ledger.ts';
import { VmNameSweep, type VmNameReport } from './vm-name-sweep.ts';

const never = new AbortController().signal;
const NOTHING: VmNameReport = { claimed: 0, removed: 0, renamed: 0 };
const [ONE, TWO] = [aVmId(1), aVmId(2)];
const OTHER_NAME = `web-${TWO.slice(0, 8)}`;

async function aCluster() {
  const clock = new VirtualClock();
  const zookeeper = new MemoryZooKeeper({ clock });
  const store = new MemoryStore({ zookeeper, clock, name: 'api' });
  await store.start(never);
  const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock, log: silentLogger });
  await mirror.start(never);
  const occupancy = new OccupancyLedger(mirror);
  const context = { store, mirror, occupancy, clock, placement: { selector: 'mem', reserveMib: 512 } } as const;
  const sweep = new VmNameSweep({ context, log: silentLogger, intervalMs: 3_600_000, settleMs: 60_000 });
  const put = async (kind: Kind, id: string, value: unknown): Promise<void> => {
    const present = await store.read(pathOf(kind, id));
    await (present === undefined ? store.create(pathOf(kind, id), value) : store.update(pathOf(kind, id), value, present.version));
    await clock.settle();
  };
  const vm = (uuid: typeof ONE, name: string) => aVm({ uuid, name: aVmName(name), xml: aDomainXml({ uuid, name }) });
  const putVm = (uuid: typeof ONE, name: string): Promise<void> => put('vm', uuid, vm(uuid, name));
  /** A sweep; `meanwhile` happens before anything is put right. */
  const swept = async (meanwhile: () => Promise<void> = async () => undefined): Promise<VmNameReport> => {
    const report = sweep.sweep(never);
    await clock.settle();
    await meanwhile();
    await clock.advance(61_000);
    return report;
  };
  const entries = async (): Promise<Record<string, unknown>> => {
    const names = await store.list(RESOURCES['vm-name'].root);
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, ((await store.read(pathOf('vm-name', name)))?.value as { uuid: string }).uuid])));
  };
  return { clock, zookeeper, store, mirror, sweep, put, putVm, vm, swept, entries };
}

test('names and VMs that agree are left alone', async () => {
  const { putVm, put, swept, entries } = await aCluster();
  await putVm(ONE, 'web');
  await put('vm-name', 'web', { uuid: ONE });
  expect(await swept()).toEqual(NOTHING);
  expect(await entries()).toEqual({ web: ONE });
});

test('a VM without an entry for its name gets one, and so does one whose entry points at nobody with the name', async () => {
  const { putVm, put, swept, entries } = await aCluster();
  await putVm(ONE, 'web');
  await putVm(TWO, 'db');
  await put('vm-name', 'db', { uuid: aVmId(9) });
  expect(await swept()).toEqual({ ...NOTHING, claimed: 2 });
  expect(await entries()).toEqual({ web: ONE, db: TWO });
  expect(await swept()).toEqual(NOTHING);
});

test('an entry of a name that no VM has goes', async () => {
  const { putVm, put, swept, entries } = await aCluster();
  await putVm(ONE, 'web');
  for (const name of ['web', 'former']) await put('vm-name', name, { uuid: ONE });
  await put('vm-name', 'never-came', { uuid: TWO });
  expect(await swept()).toEqual({ ...NOTHING, removed: 2 });
  expect(await entries()).toEqual({ web: ONE });
});

test('of two VMs with one name neither is taken for the other, and the one without the entry gets another name', async () => {
  const { putVm, put, swept, entries, mirror } = await aCluster();
  await putVm(ONE, 'web');
  await putVm(TWO, 'web');
  await put('vm-name', 'web', { uuid: ONE });
  expect(() => findVm(mirror, 'web')).toThrow(expect.objectContaining({ code: 'conflict' }));
  expect(await swept()).toEqual({ ...NOTHING, renamed: 1 });
  expect(findVm(mirror, 'web').id).toBe(ONE);
  expect(findVm(mirror, OTHER_NAME)).toMatchObject({ id: TWO, doc: { xml: expect.stringContaining(`<name>${OTHER_NAME}</name>`) } });
  expect(await entries()).toEqual({ web: ONE, [OTHER_NAME]: TWO });
});

test('a VM that runs keeps its name, even when another has it too', async () => {
  const { putVm, put, swept, mirror } = await aCluster();
  await putVm(ONE, 'web');
  await putVm(TWO, 'web');
  await put('vm-name', 'web', { uuid: ONE });
  await put('vm-status', TWO, aStatus());
  expect(await swept()).toEqual(NOTHING);
  expect(mirror.get('vm', TWO)?.doc.name).toBe('web');
});

test('what changes while it is looked at is somebody else\'s work', async () => {
  const { putVm, put, swept, entries } = await aCluster();
  await putVm(ONE, 'web');
  await put('vm-name', 'claimed', { uuid: TWO });
  const meanwhile = async (): Promise<void> => {
    await put('vm-name', 'web', { uuid: ONE });
    await put('vm-name', 'claimed', { uuid: aVmId(3) });
  };
  expect(await swept(meanwhile)).toEqual(NOTHING);
  expect(await entries()).toEqual({ web: ONE, claimed: aVmId(3) });
});

test('a VM that is being removed gets no entry', async () => {
  const { put, vm, swept, entries } = await aCluster();
  await put('vm', ONE, { ...vm(ONE, 'web'), deletion: { disks: false } });
  expect(await swept()).toEqual(NOTHING);
  expect(await entries()).toEqual({});
});

test('nothing is touched while the mirror is stale', async () => {
  const { putVm, swept, zookeeper, mirror } = await aCluster();
  await putVm(ONE, 'web');
  zookeeper.partition('api');
  expect(await swept()).toEqual(NOTHING);
  expect(mirror.staleForMs()).toBeGreaterThan(0);
});

test('sweeps come by themselves, and end', async () => {
  const { putVm, sweep, clock, entries } = await aCluster();
  sweep.start();
  await putVm(ONE, 'web');
  await clock.advance(3_700_000);
  expect(await entries()).toEqual({ web: ONE });
  await sweep.stop();
  expect(clock.timerCount).toBe(0);
});

test('a name that is unknown is not found', async () => {
  const { mirror } = await aCluster();
  try {
    findVm(mirror, 'web');
    expect.unreachable();
  } catch (error) {
    expect(isAppError(error, 'not-found')).toBe(true);
  }
});
