import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isAppError, type ErrorCode } from '../../common/errors.ts';
import { VALUE_MAX_BYTES, type SessionState, type Store } from '../../common/store/store.ts';
import { until } from '../support/until.ts';

/** An ensemble under test, with the one fault that every implementation can be given. */
export interface StoreHarness {
  /** A store that is not started. */
  store(name: string): Store;
  /** Ends the session of a started store at the ensemble. */
  expire(name: string): Promise<void>;
  /** Prefix of the paths of this test, different for each. */
  readonly root: string;
  stop(): Promise<void>;
}

const LIMIT_MS = 10_000;

async function codeOf(call: Promise<unknown>): Promise<ErrorCode | 'no error'> {
  try {
    await call;
    return 'no error';
  } catch (error) {
    if (isAppError(error)) return error.code;
    throw error;
  }
}

/** Everything that holds for any Store, the real one and the one in memory. */
export function describeStore(name: string, open: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let started: Store[];

    beforeEach(async () => {
      harness = await open();
      started = [];
    });

    afterEach(async () => {
      for (const store of started) await store.stop();
      await harness.stop();
    });

    async function aStore(client = 'a'): Promise<Store> {
      const store = harness.store(client);
      started.push(store);
      await store.start(new AbortController().signal);
      return store;
    }

    test('a created document is read back with its value and version 0', async () => {
      const store = await aStore();
      const path = `${harness.root}/spec/vm/x`;
      const created = await store.create(path, { text: 'naïve ☃', list: [1, null] });
      expect(created).toMatchObject({ path, version: 0, ephemeral: false, value: { text: 'naïve ☃', list: [1, null] } });
      expect(created.modifiedZxid).toBe(created.createdZxid);
      expect(await store.read(path)).toEqual(created);
    });

    test('missing parents are created as empty documents, also by two clients at once', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      await Promise.all([one.create(`${harness.root}/p/q/r/one`, 1), two.create(`${harness.root}/p/q/r/two`, 2)]);
      await one.sync();
      expect(await one.list(`${harness.root}/p/q/r`)).toEqual(['one', 'two']);
      expect((await one.read(`${harness.root}/p/q`))?.value).toBeNull();
    });

    test('a path without a document reads as undefined and lists as empty', async () => {
      const store = await aStore();
      expect(await store.read(`${harness.root}/none`)).toBeUndefined();
      expect(await store.list(`${harness.root}/none`)).toEqual([]);
    });

    test('an update needs the version that stands, and moves it on', async () => {
      const store = await aStore();
      const path = `${harness.root}/doc`;
      const created = await store.create(path, { n: 0 });
      const updated = await store.update(path, { n: 1 }, 0);
      expect(updated).toMatchObject({ version: 1, value: { n: 1 }, createdZxid: created.createdZxid });
      expect(updated.modifiedZxid).toBeGreaterThan(created.modifiedZxid);
      expect(await codeOf(store.update(path, { n: 2 }, 0))).toBe('conflict');
      expect((await store.read(path))?.value).toEqual({ n: 1 });
    });

    test('of two updates on the same version exactly one succeeds', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      const path = `${harness.root}/doc`;
      await one.create(path, 'start');
      const codes = await Promise.all([codeOf(one.update(path, 'one', 0)), codeOf(two.update(path, 'two', 0))]);
      expect([...codes].sort()).toEqual(['conflict', 'no error']);
    });

    test('a removal needs the version that stands, and a document without children', async () => {
      const store = await aStore();
      const path = `${harness.root}/doc`;
      await store.create(`${path}/child`, 1);
      await store.update(path, 'now', 0);
      expect(await codeOf(store.remove(path, 0))).toBe('conflict');
      expect(await codeOf(store.remove(path, 1))).toBe('state');
      await store.remove(`${path}/child`, 0);
      await store.remove(path, 1);
      expect(await store.read(path)).toBeUndefined();
    });

    test('each refusal has its code', async () => {
      const store = await aStore();
      await store.create(`${harness.root}/doc`, 1);
      await store.create(`${harness.root}/ephemeral`, 1, { ephemeral: true });
      expect(await codeOf(store.create(`${harness.root}/doc`, 2))).toBe('exists');
      expect(await codeOf(store.update(`${harness.root}/none`, 1, 0))).toBe('not-found');
      expect(await codeOf(store.remove(`${harness.root}/none`, 0))).toBe('not-found');
      expect(await codeOf(store.create(`${harness.root}/ephemeral/child`, 1))).toBe('state');
      expect(await codeOf(store.create(`${harness.root}/a/../b`, 1))).toBe('invalid');
      expect(await codeOf(store.read('relative'))).toBe('invalid');
      expect(await codeOf(store.update(`${harness.root}/doc`, 1, -1))).toBe('bug');
    });

    test('a value beyond the limit is refused and the session stays connected', async () => {
      const store = await aStore();
      const states: SessionState[] = [];
      store.listen({ session: (state) => states.push(state) });
      const path = `${harness.root}/large`;
      expect(await codeOf(store.create(path, 'x'.repeat(VALUE_MAX_BYTES)))).toBe('too-large');
      const largest = 'x'.repeat(VALUE_MAX_BYTES - 2);
      await store.create(path, largest);
      expect((await store.read(path))?.value).toBe(largest);
      expect(states).toEqual([]);
    });

    test('an ephemeral document ends with the orderly stop of its store', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      const path = `${harness.root}/presence`;
      expect((await one.create(path, 1, { ephemeral: true })).ephemeral).toBe(true);
      await two.sync();
      expect((await two.read(path))?.ephemeral).toBe(true);
      await one.stop();
      await until(async () => (await two.read(path)) === undefined, 1_000, 'the end of the ephemeral');
    });

    test('a document watch fires once for a change, and again only when it was set again', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      const path = `${harness.root}/doc`;
      await one.create(path, 0);
      await two.sync();
      const seen: string[] = [];
      two.listen({ document: (changed) => seen.push(changed) });
      await two.read(path, { watch: true });
      await one.update(path, 1, 0);
      await until(() => seen.length === 1, LIMIT_MS, 'the first watch');
      await one.update(path, 2, 1);
      await two.sync();
      expect(seen).toEqual([path]);
      await two.read(path, { watch: true });
      await one.remove(path, 2);
      await until(() => seen.length === 2, LIMIT_MS, 'the second watch');
    });

    test('an own write is told with what it left before its call resolves; a refused one and that of another are not', async () => {
      const [store, other] = [await aStore('a'), await aStore('b')];
      const path = `${harness.root}/doc`;
      const told: unknown[] = [];
      store.listen({ written: (entry) => told.push(entry) });
      const created = await store.create(path, { n: 1 });
      expect(told).toEqual([created]);
      await other.update(path, { n: 2 }, 0);
      expect(await codeOf(store.update(path, { n: 3 }, 0))).toBe('conflict');
      expect(told).toEqual([created]);
      expect([created, await store.update(path, { n: 3 }, 1)]).toEqual(told);
    });

    test('whoever hears that its write is done has heard before of every watched change that came before', async () => {
      const [store, other] = [await aStore('a'), await aStore('b')];
      const [theirs, ours] = [`${harness.root}/theirs`, `${harness.root}/ours`];
      await other.create(theirs, 0);
      await store.create(ours, 0);
      const told: string[] = [];
      store.listen({ document: () => told.push('theirs'), written: () => told.push('ours') });
      for (let version = 0; version < 50; version += 1) {
        await store.read(theirs, { watch: true });
        await other.update(theirs, version, version);
        await store.update(ours, version, version);
      }
      expect(told).toEqual(Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? 'theirs' : 'ours')));
    });

    test('a watch on a missing document fires when it is created, and one on existing documents only does not', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      await one.create(`${harness.root}/folder`, null);
      const seen = new Set<string>();
      two.listen({ document: (changed) => seen.add(changed) });
      await two.read(`${harness.root}/folder/watched`, { watch: true });
      await two.read(`${harness.root}/folder/unwatched`, { watch: 'existing' });
      await one.create(`${harness.root}/folder/unwatched`, 1);
      await one.create(`${harness.root}/folder/watched`, 1);
      await until(() => seen.has(`${harness.root}/folder/watched`), LIMIT_MS, 'the watch');
      expect(seen.has(`${harness.root}/folder/unwatched`)).toBe(false);
    });

    test('a children watch fires for a new child, for a removed child and for the creation of its folder', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      const folder = `${harness.root}/folder`;
      let fired = 0;
      two.listen({ children: (path) => (fired += path === folder ? 1 : 0) });
      await two.list(folder, { watch: true });
      await one.create(folder, null);
      await until(() => fired === 1, LIMIT_MS, 'the watch on the missing folder');
      expect(await two.list(folder, { watch: true })).toEqual([]);
      await one.create(`${folder}/x`, 1);
      await until(() => fired === 2, LIMIT_MS, 'the watch on a new child');
      expect(await two.list(folder, { watch: true })).toEqual(['x']);
      await one.remove(`${folder}/x`, 0);
      await until(() => fired === 3, LIMIT_MS, 'the watch on a removed child');
    });

    test('an expired session loses its ephemerals and watches, and the store opens another by itself', async () => {
      const one = await aStore('a');
      const two = await aStore('b');
      const states: SessionState[] = [];
      one.listen({ session: (state) => states.push(state) });
      await one.create(`${harness.root}/ephemeral`, 1, { ephemeral: true });
      await harness.expire('a');
      await until(() => states.includes('expired') && one.state === 'connected', LIMIT_MS, 'the new session');
      expect(states.slice(states.indexOf('expired'))).toEqual(['expired', 'connected']);
      expect(await one.read(`${harness.root}/ephemeral`)).toBeUndefined();
      await one.create(`${harness.root}/ephemeral`, 2, { ephemeral: true });
      await two.sync();
      expect((await two.read(`${harness.root}/ephemeral`))?.value).toBe(2);
    });

    test('a document that is created again has a higher creation number: the fencing token grows', async () => {
      const one = await aStore('a');
      const path = `${harness.root}/lease`;
      const first = await one.create(path, 1, { ephemeral: true });
      await one.remove(path, 0);
      const second = await one.create(path, 1, { ephemeral: true });
      expect(second.createdZxid).toBeGreaterThan(first.createdZxid);
      expect(second.version).toBe(0);
    });

    test('start and stop may be called twice, and a stopped store refuses calls', async () => {
      const store = await aStore();
      await store.start(new AbortController().signal);
      await store.create(`${harness.root}/doc`, 1);
      await store.stop();
      await store.stop();
      expect(store.state).not.toBe('connected');
      expect(await codeOf(store.read(`${harness.root}/doc`))).toBe('unavailable');
    });

    test('a listener that ended its subscription hears nothing more', async () => {
      const store = await aStore();
      const path = `${harness.root}/doc`;
      await store.create(path, 0);
      let one = 0;
      let two = 0;
      const end = store.listen({ document: () => (one += 1) });
      store.listen({ document: () => (two += 1) });
      await store.read(path, { watch: true });
      end();
      await store.update(path, 1, 0);
      await until(() => two === 1, LIMIT_MS, 'the other listener');
      expect(one).toBe(0);
    });
  });
}
