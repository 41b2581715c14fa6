import { afterEach, expect, test } from 'vitest';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aVmId } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { aZooKeeper, ask, drop, put, putNode, putVm, putVmStatus, startApi, TOKEN, type TestApi } from './api-support.ts';

const LIMIT_MS = 5_000;

interface Event {
  id: number | undefined;
  name: string;
  data: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- events of every shape are looked into
}

interface Stream {
  events: Event[];
  /** Comments so far: heartbeats. */
  beats(): number;
  /** The events so far, once there is one that fits. */
  until(fits: (event: Event) => boolean): Promise<Event[]>;
  closed: Promise<void>;
  stop(): void;
}

const running: { stop(): void | Promise<void> }[] = [];

afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function start(zookeeper: MemoryZooKeeper, name = 'api', clock?: VirtualClock): Promise<TestApi> {
  const api = await startApi({ zookeeper, name, ...(clock === undefined ? {} : { clock }) });
  running.push(api);
  return api;
}

async function follow(api: TestApi, query = '', lastEventId?: number): Promise<Stream> {
  const controller = new AbortController();
  const headers: Record<string, string> = { 'X-Api-Key': TOKEN, ...(lastEventId === undefined ? {} : { 'Last-Event-ID': String(lastEventId) }) };
  const response = await fetch(`${api.base}/events${query}`, { headers, signal: controller.signal });
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const events: Event[] = [];
  let beats = 0;
  const closed = read(response, events, () => (beats += 1)).catch(() => undefined);
  const stream: Stream = {
    events,
    beats: () => beats,
    until: async (fits) => {
      await until(() => events.some(fits), LIMIT_MS, 'the event');
      return events;
    },
    closed,
    stop: () => controller.abort(),
  };
  running.push(stream);
  return stream;
}

async function read(response: Response, events: Event[], onBeat: () => void): Promise<void> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block === ':') onBeat();
      const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
      const [id, name, data] = [fields.get('id'), fields.get('event'), fields.get('data')];
      if (name !== undefined) events.push({ id: id === undefined ? undefined : Number(id), name, data: JSON.parse(data ?? 'null') });
    }
  }
}

const isVm = (name: string) => (event: Event): boolean => event.name === 'vm' && event.data.document?.name === name;

test('every change of nodes, VMs and tasks is told with the transaction that made it, and a removal too', async () => {
  const api = await start(aZooKeeper());
  const stream = await follow(api);
  await stream.until((event) => event.name === 'ready');
  await putNode(api, 'hv1');
  await putVm(api, { uuid: aVmId(1), name: 'web1' });
  await putVmStatus(api, aVmId(1));
  await drop(api, 'vm', aVmId(1));
  const events = await stream.until((event) => event.data.gone === true);
  expect(events.map((event) => event.name)).toEqual(expect.arrayContaining(['node', 'vm']));
  expect(events.find(isVm('web1'))?.data).toMatchObject({ kind: 'vm', id: aVmId(1), gone: false, document: { uuid: aVmId(1) } });
  const ids = events.map((event) => event.id ?? 0);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
});

test('kinds and id keep out what was not asked for, by name and by UUID', async () => {
  const api = await start(aZooKeeper());
  await putVm(api, { uuid: aVmId(1), name: 'web1' });
  await putVm(api, { uuid: aVmId(2), name: 'web2' });
  const byName = await follow(api, '?kinds=vm&id=web2');
  const byUuid = await follow(api, `?kinds=vm,task&id=${aVmId(2)}`);
  const nodes = await follow(api, '?kinds=node');
  for (const stream of [byName, byUuid, nodes]) await stream.until((event) => event.name === 'ready');
  await putVmStatus(api, aVmId(1));
  await putNode(api, 'hv1');
  await putVmStatus(api, aVmId(2));
  await put(api, 'node', 'hv9', { name: 'hv9', domains: { wish: 'ready', generation: 1 } });
  for (const stream of [byName, byUuid]) {
    const events = await stream.until(isVm('web2'));
    expect(events.filter((event) => event.name !== 'ready').every((event) => event.data.id === aVmId(2))).toBe(true);
  }
  const events = await nodes.until((event) => event.data.id === 'hv9');
  expect(new Set(events.map((event) => event.name))).toEqual(new Set(['ready', 'node']));
  expect((await ask(api.base, '/events', { query: { kinds: 'cow' } })).code).toBe(510);
  expect((await ask(api.base, '/events', { headers: { 'Last-Event-ID': 'x' } })).code).toBe(510);
});

test('a client that comes back with its last id gets what it has missed and no resync', async () => {
  const api = await start(aZooKeeper());
  const first = await follow(api);
  await putVm(api, { uuid: aVmId(1), name: 'web1' });
  const seen = (await first.until(isVm('web1'))).at(-1)?.id;
  first.stop();
  await first.closed;
  await putVm(api, { uuid: aVmId(2), name: 'web2' });
  await drop(api, 'vm', aVmId(1));
  const second = await follow(api, '', seen);
  const events = await second.until((event) => event.data.gone === true && event.data.id === aVmId(1));
  expect(events.some(isVm('web2'))).toBe(true);
  expect(events.map((event) => event.name)).not.toContain('resync');
});

test('a client that comes back to another instance is told to start afresh: what there is, and what has changed', async () => {
  const zookeeper = aZooKeeper();
  const first = await start(zookeeper, 'api-1');
  await putVm(first, { uuid: aVmId(1), name: 'web1' });
  const stream = await follow(first);
  const seen = (await stream.until((event) => event.name === 'ready'))[0]?.id;
  await first.stop();
  await stream.closed;
  const writer = await start(zookeeper, 'api-2');
  await putVm(writer, { uuid: aVmId(2), name: 'web2' });
  await drop(writer, 'vm', aVmId(1));
  const third = await start(zookeeper, 'api-3');
  const again = await follow(third, '?kinds=vm', seen);
  const events = await again.until((event) => event.name === 'ready');
  expect(events[0]).toMatchObject({ name: 'resync', data: { ids: { vm: [aVmId(2)] } } });
  expect(events.some(isVm('web2'))).toBe(true);
  await putVmStatus(third, aVmId(2));
  await again.until((event) => isVm('web2')(event) && event.data.document.state === 'start');
});

test('there are heartbeats, a limit of streams, and an end after an hour', async () => {
  const clock = new VirtualClock();
  const api = await start(aZooKeeper(), 'api', clock);
  const streams: Stream[] = [];
  for (let count = 0; count < 64; count += 1) streams.push(await follow(api));
  const refused = await ask(api.base, '/events');
  expect([refused.code, typeof refused.body.message]).toEqual([429, 'string']);
  await clock.advance(15_000);
  await until(() => streams.every((stream) => stream.beats() === 1), LIMIT_MS, 'the heartbeats');
  await clock.advance(3_600_001);
  await Promise.all(streams.map((stream) => stream.closed));
  await follow(api);
});

test('an API that has lost ZooKeeper for more than five seconds says so with each reply, and stops saying so', async () => {
  const clock = new VirtualClock();
  const zookeeper = aZooKeeper(clock);
  const api = await start(zookeeper, 'api', clock);
  expect((await ask(api.base, '/vm')).headers.get('warning')).toBeNull();
  zookeeper.partition('api');
  await clock.advance(6_000);
  const stale = await ask(api.base, '/vm');
  expect([stale.code, stale.headers.get('warning')]).toEqual([200, expect.stringMatching(/^110 - ".*6 s.*"$/u)]);
  zookeeper.heal('api');
  await clock.settle();
  await until(async () => (await ask(api.base, '/vm')).headers.get('warning') === null, LIMIT_MS);
});
