import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AppError } from '../../../common/errors.ts';
import { run } from '../../../common/process.ts';
import type { OsdWorld } from '../../../node-daemon/reconcilers/osd-observer.ts';
import type { Task } from '../../../common/schema/task.ts';
import { cephMissing } from '../../support/ceph-cluster.ts';
import { tellOnFailure } from '../../support/ceph-report.ts';
import { OsdScene, type Marks } from '../../support/osd-scene.ts';
import { until } from '../../support/until.ts';

/** Twelve daemons that die one after the other take a minute on an idle machine. */
const LIMIT_MS = 240_000;
const never = new AbortController().signal;

/** Everything that changes the host or the cluster. */
type Action = 'register' | 'secret' | 'dropSecret' | 'place' | 'setIn' | 'purge' | 'removeHost' | 'prepare' | 'activate' | 'remove' | 'startOsd' | 'stopOsd' | 'wipe' | 'zap';

type Guard = <T>(action: Action, work: () => Promise<T>) => Promise<T>;

/** A host whose changing calls pass through `guard`. */
function guarded(host: OsdWorld, guard: Guard): OsdWorld {
  const { cluster, devices, store, service } = host;
  return {
    cluster: {
      find: (uuid, signal) => cluster.find(uuid, signal),
      drain: (id, signal) => cluster.drain(id, signal),
      register: (osd, signal) => guard('register', () => cluster.register(osd, signal)),
      place: (id, place, signal) => guard('place', () => cluster.place(id, place, signal)),
      isHostEmpty: (name, signal) => cluster.isHostEmpty(name, signal),
      removeHost: (name, signal) => guard('removeHost', () => cluster.removeHost(name, signal)),
      setIn: (id, isIn, signal) => guard('setIn', () => cluster.setIn(id, isIn, signal)),
      purge: (osd, signal) => guard('purge', () => cluster.purge(osd, signal)),
    },
    devices: {
      facts: (path, signal) => devices.facts(path, signal),
      stableName: (path) => devices.stableName(path),
      wipe: (path, uuid, signal) => guard('wipe', () => devices.wipe(path, uuid, signal)),
      zap: (path, holds, signal) => guard('zap', () => devices.zap(path, holds, signal)),
    },
    store: {
      folder: (id) => store.folder(id),
      isBeingMade: (uuid) => store.isBeingMade(uuid),
      prepare: (osd, check) => guard('prepare', () => store.prepare(osd, check, never)),
      secret: (uuid, signal) => guard('secret', () => store.secret(uuid, signal)),
      dropSecret: (uuid) => guard('dropSecret', () => store.dropSecret(uuid)),
      activate: (osd, signal) => guard('activate', () => store.activate(osd, signal)),
      remove: (id, uuid) => guard('remove', () => store.remove(id, uuid)),
    },
    service: {
      start: (signal) => service.start(signal),
      stop: () => service.stop(),
      state: (id, signal) => service.state(id, signal),
      startOsd: (osd, signal) => guard('startOsd', () => service.startOsd(osd, signal)),
      stopOsd: (id, signal) => guard('stopOsd', () => service.stopOsd(id, signal)),
    },
  };
}

describe.skipIf(cephMissing() !== undefined)('work on an OSD', () => {
  let scene: OsdScene;
  tellOnFailure(() => scene?.cluster);
  let empty: Marks;

  beforeAll(async () => {
    scene = await OsdScene.start({ drainStallS: 60 });
    empty = await scene.marks();
  });
  afterAll(async () => {
    await scene.stop();
  });

  /** A daemon that dies once before and once after each kind of change; the next one goes on. @returns at which points it died. */
  async function withDeaths(begin: () => Promise<Task>, refuse: readonly Action[] = []): Promise<{ task: Task; deaths: Set<string> }> {
    const deaths = new Set<string>();
    let died: (() => void) | undefined;
    const die = (at: string): Promise<never> => {
      deaths.add(at);
      died?.();
      return new Promise(() => undefined);
    };
    const guard: Guard = async (action, work) => {
      if (!deaths.has(`before ${action}`)) return die(`before ${action}`);
      if (refuse.includes(action)) throw new AppError('component', 'the test refuses', { action });
      const result = await work();
      return deaths.has(`after ${action}`) ? result : die(`after ${action}`);
    };
    const life = async (): Promise<void> => {
      const death = new Promise<void>((resolve) => (died = resolve));
      await scene.restart((host) => guarded(host, guard));
      void death.then(life);
    };
    await life();
    const task = await begin();
    await until(() => ['done', 'failed'].includes(scene.node.mirror.get('task', task.id)?.doc.state ?? ''), LIMIT_MS, 'the end of the task');
    const over = await scene.over(task);
    await scene.restart();
    return { task: over, deaths };
  }

  test('is done by the next daemon, wherever the one before was killed', async () => {
    await run(['mkfs.ext4', '-q', scene.device], { timeoutMs: 60_000 });
    const { task, deaths } = await withDeaths(() => scene.add({ zap: true }));
    expect(task).toMatchObject({ state: 'done', error: null });
    expect([...deaths]).toEqual(['zap', 'secret', 'register', 'prepare', 'place', 'startOsd', 'dropSecret'].flatMap((action) => [`before ${action}`, `after ${action}`]));
    expect(scene.status?.phase).toBe('running');
    expect(await scene.json('osd ls')).toEqual([0, 1, scene.status?.id]);
    const removal = await withDeaths(() => scene.remove(false));
    expect(removal.task).toMatchObject({ state: 'done', error: null });
    expect([...removal.deaths]).toEqual(['setIn', 'stopOsd', 'purge', 'wipe', 'remove', 'removeHost', 'dropSecret'].flatMap((action) => [`before ${action}`, `after ${action}`]));
    expect(await scene.marks()).toEqual(empty);
  }, 600_000);

  test('that cannot be finished leaves nothing behind, wherever a daemon was killed while it was undone', async () => {
    const { task, deaths } = await withDeaths(() => scene.add(), ['startOsd']);
    expect(task.state).toBe('failed');
    expect(task.error).toMatch(/the test refuses/u);
    expect([...deaths]).toEqual(expect.arrayContaining(['purge', 'wipe', 'remove', 'removeHost'].flatMap((action) => [`before ${action}`, `after ${action}`])));
    expect(task.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(['check done', 'register done', 'prepare done', 'place done', 'start failed', 'join skipped', 'clean-up done']);
    expect(await scene.marks()).toEqual(empty);
  }, 600_000);

  test('waits for a making that a killed daemon has left running', async () => {
    const guard: Guard = (action, work) => {
      if (action !== 'prepare') return work();
      void work();
      return new Promise(() => undefined);
    };
    await scene.restart((host) => guarded(host, guard));
    const task = await scene.add();
    await until(async () => {
      const uuid = scene.node.mirror.get('osd', scene.key)?.doc.uuid;
      return uuid !== undefined && (await scene.node.host.store.isBeingMade(uuid));
    }, LIMIT_MS, 'the making has begun');
    await scene.restart();
    expect(await scene.over(task)).toMatchObject({ state: 'done', error: null });
    expect(await scene.over(await scene.remove(true))).toMatchObject({ state: 'done' });
    expect(await scene.marks()).toEqual(empty);
  }, 600_000);
});
