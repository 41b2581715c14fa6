import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { newVmId, type VmId } from '../../common/ids.ts';
import type { Domain, Hypervisor, MigrationProgress } from '../../node-daemon/drivers/hypervisor.ts';
import { until } from '../support/until.ts';

export interface FixtureHost {
  /** What the other host calls it in `migrate` and `findOnPeer`. */
  readonly name: string;
  /** Started. */
  readonly hypervisor: Hypervisor;
  /** Ends the guest as if its QEMU had died. */
  crash(uuid: VmId): Promise<void>;
  /** Makes a stopped domain that does not carry our mark. */
  addForeign(uuid: VmId, name: string): Promise<void>;
  /** Ends the hypervisor's daemon; guests go on. */
  stopDaemon(): Promise<void>;
  startDaemon(): Promise<void>;
}

export interface HypervisorFixture {
  readonly hosts: readonly [FixtureHost, FixtureHost];
  /** Definition of a guest that obeys the power button within a few seconds, without our mark. */
  domainXml(uuid: VmId, name: string): string;
  /** The same with a disk `vda` on a file of 1 MiB of its own. */
  withDisk(uuid: VmId, name: string): Promise<{ xml: string; file: string }>;
  /** Whether memory moves so slowly that a migration can be watched. */
  slowMigrations(slow: boolean): void;
  stop(): Promise<void>;
}

/** A guest under emulation on a loaded machine needs seconds to boot and to be moved. */
const LIMIT_MS = 60_000;

const MIB = 1024 ** 2;

/** What a driver of hypervisors must do, whatever is behind it. Skipped, and counted as such, when something it needs is `missing`. */
export function hypervisorContract(name: string, makeFixture: () => Promise<HypervisorFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`hypervisor: ${name}`, () => {
    let fixture: HypervisorFixture;
    let one: FixtureHost;
    let two: FixtureHost;

    beforeAll(async () => {
      fixture = await makeFixture();
      [one, two] = fixture.hosts;
    });

    afterAll(async () => fixture.stop());

    afterEach(async () => {
      fixture.slowMigrations(false);
      for (const { hypervisor } of fixture.hosts) await clear(hypervisor);
    });

    const started = async (guestName: string): Promise<VmId> => {
      const uuid = newVmId();
      await one.hypervisor.create(uuid, fixture.domainXml(uuid, guestName));
      return uuid;
    };

    /** Boots first, since a guest in its firmware does not see the power button. */
    const poweredOff = async (uuid: VmId): Promise<void> => {
      // Between a look and the next press it may have obeyed the last one.
      const press = (): Promise<void> =>
        one.hypervisor.shutdown(uuid).catch((error: unknown) => {
          if (!isAppError(error, 'state')) throw error;
        });
      await untilState(one.hypervisor, uuid, 'shutoff', press);
    };

    test('a host says what it runs', async () => {
      const info = await one.hypervisor.hostInfo();
      expect(info.libvirtVersion).toMatch(/^\d+\.\d+\.\d+$/u);
      expect(info.hypervisorVersion).toMatch(/^\d+\.\d+\.\d+$/u);
    });

    test('a created domain runs, is ours, and is listed and found alike', async () => {
      const uuid = await started('created');
      const expected: Domain = { uuid, name: 'created', state: 'running', incoming: false, ours: true };
      expect(await one.hypervisor.find(uuid)).toEqual(expected);
      expect(await one.hypervisor.list()).toContainEqual(expected);
    });

    test('a domain that nobody defined is not found', async () => {
      expect(await one.hypervisor.find(newVmId())).toBeUndefined();
    });

    test('a foreign domain is listed as not ours', async () => {
      const uuid = newVmId();
      await one.addForeign(uuid, 'foreign');
      expect(await one.hypervisor.find(uuid)).toMatchObject({ name: 'foreign', ours: false, state: 'shutoff' });
      expect(await one.hypervisor.list()).toContainEqual(expect.objectContaining({ uuid, ours: false }));
      await one.hypervisor.forget(uuid);
    });

    test('creating a domain that runs leaves it running and undisturbed', async () => {
      const uuid = await started('twice');
      await one.hypervisor.create(uuid, fixture.domainXml(uuid, 'another-name'));
      expect(await one.hypervisor.find(uuid)).toMatchObject({ name: 'twice', state: 'running' });
    });

    test('a definition that is no domain, or another one, is refused as invalid and defines nothing', async () => {
      const uuid = newVmId();
      for (const xml of ['<domain', '<network/>', fixture.domainXml(newVmId(), 'other')]) {
        expect(await failure(one.hypervisor.create(uuid, xml))).toBe('invalid');
      }
      expect(await one.hypervisor.find(uuid)).toBeUndefined();
    });

    test('running domains have figures, stopped ones have none', async () => {
      const uuid = await started('figures');
      const [figures] = (await one.hypervisor.stats()).filter((each) => each.uuid === uuid);
      expect(figures).toMatchObject({ vcpus: 1 });
      expect(figures?.memoryMib).toBeGreaterThan(0);
      await one.hypervisor.destroy(uuid);
      expect((await one.hypervisor.stats()).some((each) => each.uuid === uuid)).toBe(false);
    });

    test('a guest is told the new size of a disk that it has; others, and guests that do not run, have none', async () => {
      const uuid = newVmId();
      const { xml, file } = await fixture.withDisk(uuid, 'grows');
      await one.hypervisor.create(uuid, xml);
      const disk = async (): Promise<unknown> => (await one.hypervisor.disks(uuid)).find(({ dev }) => dev === 'vda');
      expect(await disk()).toEqual({ dev: 'vda', type: 'file', name: file, sizeBytes: MIB });
      await one.hypervisor.resizeDisk(uuid, { dev: 'vda', sizeBytes: 3 * MIB });
      await one.hypervisor.resizeDisk(uuid, { dev: 'vda', sizeBytes: 3 * MIB });
      expect(await disk()).toMatchObject({ sizeBytes: 3 * MIB });
      expect(await failure(one.hypervisor.resizeDisk(uuid, { dev: 'vdz', sizeBytes: 3 * MIB }))).toBe('invalid');
      await one.hypervisor.destroy(uuid);
      expect(await failure(one.hypervisor.disks(uuid))).toBe('state');
      expect(await failure(one.hypervisor.resizeDisk(uuid, { dev: 'vda', sizeBytes: 4 * MIB }))).toBe('state');
      expect(await failure(one.hypervisor.disks(newVmId()))).toBe('not-found');
    });

    test('a guest that obeys the power button is shut off by shutdown', async () => {
      const uuid = await started('obeys');
      await poweredOff(uuid);
      expect(await one.hypervisor.find(uuid)).toMatchObject({ state: 'shutoff', shutoffReason: 'shutdown' });
    });

    test('a destroyed guest is shut off by force, and destroying it again is fine', async () => {
      const uuid = await started('destroyed');
      await one.hypervisor.destroy(uuid);
      expect(await one.hypervisor.find(uuid)).toMatchObject({ state: 'shutoff', shutoffReason: 'destroyed' });
      await one.hypervisor.destroy(uuid);
      await one.hypervisor.destroy(newVmId());
    });

    test('a guest that dies is shut off by a crash, and an event tells', async () => {
      const uuid = await started('crashes');
      const events = record(one.hypervisor);
      await one.crash(uuid);
      await until(async () => (await one.hypervisor.find(uuid))?.state === 'shutoff', LIMIT_MS, 'crash noticed');
      expect(await one.hypervisor.find(uuid)).toMatchObject({ shutoffReason: 'crashed' });
      expect(events.seen).toContain(uuid);
      events.stop();
    });

    test('a stopped domain can be created again', async () => {
      const uuid = await started('again');
      await one.hypervisor.destroy(uuid);
      await one.hypervisor.create(uuid, fixture.domainXml(uuid, 'again'));
      expect((await one.hypervisor.find(uuid))?.state).toBe('running');
    });

    test('a stopped domain can be created again under another name', async () => {
      const uuid = await started('before');
      await one.hypervisor.destroy(uuid);
      await one.hypervisor.create(uuid, fixture.domainXml(uuid, 'after'));
      expect(await one.hypervisor.find(uuid)).toMatchObject({ name: 'after', state: 'running' });
    });

    test('a running domain cannot be forgotten; a stopped or unknown one can', async () => {
      const uuid = await started('forgotten');
      expect(await failure(one.hypervisor.forget(uuid))).toBe('state');
      await one.hypervisor.destroy(uuid);
      await one.hypervisor.forget(uuid);
      expect(await one.hypervisor.find(uuid)).toBeUndefined();
      await one.hypervisor.forget(uuid);
    });

    test('shutting down an unknown or a stopped domain fails', async () => {
      expect(await failure(one.hypervisor.shutdown(newVmId()))).toBe('not-found');
      const uuid = await started('stopped');
      await one.hypervisor.destroy(uuid);
      expect(await failure(one.hypervisor.shutdown(uuid))).toBe('state');
    });

    test('resuming a running guest is fine, an unknown one is not found', async () => {
      const uuid = await started('resumed');
      await one.hypervisor.resume(uuid);
      expect((await one.hypervisor.find(uuid))?.state).toBe('running');
      expect(await failure(one.hypervisor.resume(newVmId()))).toBe('not-found');
    });

    test('start and end are told as events', async () => {
      const events = record(one.hypervisor);
      const uuid = await started('events');
      await until(() => events.seen.includes(uuid), LIMIT_MS, 'event of the start');
      events.seen.length = 0;
      await one.hypervisor.destroy(uuid);
      await until(() => events.seen.includes(uuid), LIMIT_MS, 'event of the end');
      events.stop();
    });

    test('a migrated guest runs on the other host and is gone from the first; it comes back too', async () => {
      const uuid = await started('moves');
      await one.hypervisor.migrate(uuid, request(two), never());
      expect(await two.hypervisor.find(uuid)).toMatchObject({ state: 'running', incoming: false, ours: true });
      expect(await one.hypervisor.find(uuid)).toBeUndefined();
      await two.hypervisor.migrate(uuid, { ...request(one), autoConverge: true }, never());
      expect(await one.hypervisor.find(uuid)).toMatchObject({ state: 'running', ours: true });
      expect(await two.hypervisor.find(uuid)).toBeUndefined();
    });

    test('guests migrate at the same time', async () => {
      const uuids = await Promise.all(['first', 'second', 'third'].map((guestName) => started(guestName)));
      await Promise.all(uuids.map((uuid) => one.hypervisor.migrate(uuid, request(two), never())));
      for (const uuid of uuids) expect((await two.hypervisor.find(uuid))?.state).toBe('running');
    });

    test('a peer is asked for a domain', async () => {
      const uuid = await started('asked');
      expect(await two.hypervisor.findOnPeer(one.name, uuid)).toMatchObject({ state: 'running', ours: true });
      expect(await two.hypervisor.findOnPeer(one.name, newVmId())).toBeUndefined();
    });

    test('an unknown peer is unavailable, and the guest stays', async () => {
      const uuid = await started('stays');
      expect(await failure(one.hypervisor.migrate(uuid, { ...request(two), target: 'nobody' }, never()))).toBe('unavailable');
      expect(await failure(one.hypervisor.findOnPeer('nobody', uuid))).toBe('unavailable');
      expect((await one.hypervisor.find(uuid))?.state).toBe('running');
    });

    test('a stopped or unknown domain cannot migrate', async () => {
      const uuid = await started('halted');
      await one.hypervisor.destroy(uuid);
      expect(await failure(one.hypervisor.migrate(uuid, request(two), never()))).toBe('state');
      expect(await failure(one.hypervisor.migrate(newVmId(), request(two), never()))).toBe('not-found');
    });

    test('a migration shows its progress, is seen as incoming on the target, and takes a longer downtime', async () => {
      fixture.slowMigrations(true);
      const uuid = await started('watched');
      const moved = one.hypervisor.migrate(uuid, request(two), never());
      const progress = await whileUnderWay(one.hypervisor, uuid);
      expect(progress.bytesTotal).toBeGreaterThan(0);
      expect(await two.hypervisor.find(uuid)).toMatchObject({ state: 'paused', incoming: true, ours: true });
      expect((await one.hypervisor.find(uuid))?.incoming).toBe(false);
      expect(await failure(one.hypervisor.migrate(uuid, request(two), never()))).toBe('state');
      await one.hypervisor.setMaxDowntime(uuid, 2_000);
      fixture.slowMigrations(false);
      await moved;
      expect(await one.hypervisor.migrationProgress(uuid)).toBeUndefined();
      expect((await two.hypervisor.find(uuid))?.incoming).toBe(false);
    });

    test('aborting the signal ends the migration, and the guest still runs here', async () => {
      fixture.slowMigrations(true);
      const uuid = await started('aborted');
      const abort = new AbortController();
      const moved = failure(one.hypervisor.migrate(uuid, request(two), abort.signal));
      await whileUnderWay(one.hypervisor, uuid);
      abort.abort();
      expect(await moved).toBe('cancelled');
      await expectStayed(fixture, uuid);
    });

    test('abortMigration ends the migration, and without one it is fine', async () => {
      fixture.slowMigrations(true);
      const uuid = await started('called-off');
      await one.hypervisor.abortMigration(uuid);
      const moved = failure(one.hypervisor.migrate(uuid, request(two), never()));
      await whileUnderWay(one.hypervisor, uuid);
      await one.hypervisor.abortMigration(uuid);
      expect(await moved).toBe('cancelled');
      await expectStayed(fixture, uuid);
    });

    test('a guest whose migration was aborted can migrate again', async () => {
      fixture.slowMigrations(true);
      const uuid = await started('retried');
      const abort = new AbortController();
      const moved = failure(one.hypervisor.migrate(uuid, request(two), abort.signal));
      await whileUnderWay(one.hypervisor, uuid);
      abort.abort();
      await moved;
      fixture.slowMigrations(false);
      await one.hypervisor.migrate(uuid, request(two), never());
      expect((await two.hypervisor.find(uuid))?.state).toBe('running');
    });

    test('a signal that is aborted already moves nothing', async () => {
      const uuid = await started('unmoved');
      expect(await failure(one.hypervisor.migrate(uuid, request(two), AbortSignal.abort()))).toBe('cancelled');
      await expectStayed(fixture, uuid);
    });

    test('a lost daemon is told, calls are unavailable, and afterwards the guest is found as it was', async () => {
      const uuid = await started('survives');
      const states: string[] = [];
      const stop = one.hypervisor.listen({ connection: (state) => states.push(state) });
      await one.stopDaemon();
      await until(() => states.includes('lost'), LIMIT_MS, 'loss told');
      expect(await failure(one.hypervisor.find(uuid))).toBe('unavailable');
      expect(await failure(one.hypervisor.destroy(uuid))).toBe('unavailable');
      await one.startDaemon();
      await until(() => states.at(-1) === 'connected', LIMIT_MS, 'return told');
      await until(async () => (await one.hypervisor.find(uuid))?.state === 'running', LIMIT_MS, 'guest found again');
      await one.hypervisor.destroy(uuid);
      expect((await one.hypervisor.find(uuid))?.state).toBe('shutoff');
      stop();
    });
  });
}

function request(target: FixtureHost): { target: string; maxDowntimeMs: number; autoConverge: boolean } {
  return { target: target.name, maxDowntimeMs: 300, autoConverge: false };
}

function never(): AbortSignal {
  return new AbortController().signal;
}

function record(hypervisor: Hypervisor): { seen: VmId[]; stop: () => void } {
  const seen: VmId[] = [];
  return { seen, stop: hypervisor.listen({ domain: (uuid) => seen.push(uuid) }) };
}

/** The code of the failure; 'none' when there was none. */
async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (isAppError(error)) return error.code;
    throw error;
  }
}

async function whileUnderWay(hypervisor: Hypervisor, uuid: VmId): Promise<MigrationProgress> {
  let progress: MigrationProgress | undefined;
  const moving = async (): Promise<boolean> => {
    progress = await hypervisor.migrationProgress(uuid);
    return (progress?.bytesTotal ?? 0) > 0;
  };
  await until(moving, LIMIT_MS, 'migration under way');
  if (progress === undefined) throw new Error('no progress');
  return progress;
}

async function expectStayed(fixture: HypervisorFixture, uuid: VmId): Promise<void> {
  const [one, two] = fixture.hosts;
  expect(await one.hypervisor.find(uuid)).toMatchObject({ state: 'running', incoming: false });
  expect(await one.hypervisor.migrationProgress(uuid)).toBeUndefined();
  await until(async () => (await two.hypervisor.find(uuid)) === undefined, LIMIT_MS, 'nothing left on the target');
}

/** Repeats `act` every second until the domain is in `state`. */
async function untilState(hypervisor: Hypervisor, uuid: VmId, state: Domain['state'], act: () => Promise<void>): Promise<void> {
  await until(
    async () => {
      if ((await hypervisor.find(uuid))?.state === state) return true;
      await act().catch((error: unknown) => {
        if (!isAppError(error, 'state')) throw error;
      });
      return false;
    },
    LIMIT_MS,
    `domain is ${state}`,
  );
}

async function clear(hypervisor: Hypervisor): Promise<void> {
  for (const domain of await hypervisor.list()) {
    await hypervisor.destroy(domain.uuid);
    await hypervisor.forget(domain.uuid);
  }
}
