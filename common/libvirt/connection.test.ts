import { duplexPair, type Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { isAppError, toAppError } from '../errors.ts';
import { CALLS_IN_FLIGHT_MAX, LibvirtConnection, type CallLimit } from './connection.ts';
import { writeDomainRef } from './domain-ref.ts';
import { encodeFrame, FrameReader, KEEPALIVE_PROGRAM, MESSAGE_TYPE, REMOTE_PROGRAM, type Frame } from './frame.ts';
import { PROCEDURES, type LibvirtEvent } from './procedures.ts';
import { XdrWriter } from './xdr.ts';

const LIMIT: CallLimit = { timeoutMs: 1_000 };

const { connectGetLibVersion: version } = PROCEDURES;

/** A libvirt that answers only what the test tells it to. */
class Script {
  readonly clock = new VirtualClock();
  readonly received: Frame[] = [];
  readonly stream: Duplex;
  readonly client: Duplex;
  authMethods: readonly number[] = [0];

  constructor() {
    [this.client, this.stream] = duplexPair();
    const frames = new FrameReader();
    this.stream.on('data', (chunk: Buffer) => frames.push(chunk).forEach((frame) => this.#receive(frame)));
    this.stream.on('error', () => undefined);
  }

  get calls(): Frame[] {
    return this.received.filter((frame) => frame.program === REMOTE_PROGRAM);
  }

  open(): Promise<LibvirtConnection> {
    return LibvirtConnection.open({ dial: async () => this.client, clock: this.clock, uri: 'test:///default' });
  }

  reply(serial: number, body: Buffer, status = 0): void {
    this.stream.write(encodeFrame({ program: REMOTE_PROGRAM, procedure: 0, type: MESSAGE_TYPE.reply, serial, status }, body));
  }

  /** Lets bytes and promises arrive. */
  async settle(): Promise<void> {
    for (let round = 0; round < 5; round += 1) await this.clock.settle();
  }

  #receive(frame: Frame): void {
    const { authList, connectOpen, connectSupportsFeature } = PROCEDURES;
    if (frame.program === REMOTE_PROGRAM && frame.procedure === authList.number) {
      const writer = new XdrWriter();
      this.reply(frame.serial, writer.list(this.authMethods, (method) => writer.int(method)).bytes());
    } else if (frame.program === REMOTE_PROGRAM && frame.procedure === connectSupportsFeature.number) this.reply(frame.serial, new XdrWriter().int(1).bytes());
    else if (frame.program === REMOTE_PROGRAM && frame.procedure === connectOpen.number) this.reply(frame.serial, Buffer.alloc(0));
    else this.received.push(frame);
  }
}

function versionBody(value: bigint): Buffer {
  return new XdrWriter().uhyper(value).bytes();
}

function errorBody(code: number, message: string): Buffer {
  const writer = new XdrWriter().int(code).int(10);
  return writer.optional(message, (text) => writer.string(text)).int(2).uint(0).uint(0).uint(0).uint(0).int(0).int(0).uint(0).bytes();
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'none', (error: unknown) => toAppError(error).code);
}

describe('connection to libvirt', () => {
  test('replies in another order reach their callers', async () => {
    const script = new Script();
    const connection = await script.open();
    const both = [connection.call(version, undefined, LIMIT), connection.call(version, undefined, LIMIT)];
    await script.settle();
    const [first, second] = script.calls.map((call) => call.serial);
    script.reply(second ?? 0, versionBody(2n));
    script.reply(first ?? 0, versionBody(1n));
    expect(await Promise.all(both)).toEqual([1, 2]);
  });

  test('never more than four calls are in flight, and the next goes out with the first reply', async () => {
    const script = new Script();
    const connection = await script.open();
    const all = Array.from({ length: 10 }, () => connection.call(version, undefined, LIMIT));
    for (let answered = 0; answered < 10; answered += 1) {
      await script.settle();
      expect(script.calls.length).toBe(Math.min(10, answered + CALLS_IN_FLIGHT_MAX));
      script.reply(script.calls[answered]?.serial ?? 0, versionBody(BigInt(answered)));
    }
    expect(await Promise.all(all)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test.each([
    [42, 'not-found'],
    [80, 'not-found'],
    [55, 'state'],
    [28, 'exists'],
    [27, 'invalid'],
    [78, 'cancelled'],
    [38, 'component'],
  ] as const)('libvirt’s error %i is %s, with number and text in its details', async (number, code) => {
    const script = new Script();
    const connection = await script.open();
    const call = connection.call(version, undefined, LIMIT);
    await script.settle();
    script.reply(script.calls[0]?.serial ?? 0, errorBody(number, 'why'), 1);
    const error = await call.catch((failure: unknown) => failure);
    expect(isAppError(error, code) && error.details).toMatchObject({ call: 'connectGetLibVersion', libvirtCode: number, libvirtMessage: 'why' });
  });

  test('a call without an answer ends at its limit, and its late reply disturbs nobody', async () => {
    const script = new Script();
    const connection = await script.open();
    const late = codeOf(connection.call(version, undefined, LIMIT));
    await script.settle();
    await script.clock.advance(LIMIT.timeoutMs);
    expect(await late).toBe('timeout');
    const next = connection.call(version, undefined, LIMIT);
    await script.settle();
    script.reply(script.calls[0]?.serial ?? 0, versionBody(1n));
    script.reply(script.calls[1]?.serial ?? 0, versionBody(2n));
    expect(await next).toBe(2);
  });

  test('a call that waits for its turn is never sent once it was cancelled', async () => {
    const script = new Script();
    const connection = await script.open();
    const held = Array.from({ length: CALLS_IN_FLIGHT_MAX }, () => connection.call(version, undefined, LIMIT));
    const abort = new AbortController();
    const waiting = codeOf(connection.call(version, undefined, { ...LIMIT, signal: abort.signal }));
    abort.abort();
    expect(await waiting).toBe('cancelled');
    await script.settle();
    script.calls.forEach((call) => script.reply(call.serial, versionBody(1n)));
    await Promise.all(held);
    await script.settle();
    expect(script.calls.length).toBe(CALLS_IN_FLIGHT_MAX);
  });

  test('when every call under way was given up, the connection is given up too', async () => {
    const script = new Script();
    const connection = await script.open();
    const stuck = Array.from({ length: CALLS_IN_FLIGHT_MAX }, () => codeOf(connection.call(version, undefined, LIMIT)));
    await script.settle();
    await script.clock.advance(LIMIT.timeoutMs);
    expect(await Promise.all(stuck)).toEqual(['timeout', 'timeout', 'timeout', 'timeout']);
    expect(connection.closed).toBe(true);
    expect(await codeOf(connection.call(version, undefined, LIMIT))).toBe('unavailable');
  });

  test('a reset stream fails all pending calls as unavailable and tells the listener once', async () => {
    const script = new Script();
    const connection = await script.open();
    const told: string[] = [];
    connection.listen({ closed: (reason) => told.push(reason.code) });
    const pending = Array.from({ length: 6 }, () => codeOf(connection.call(version, undefined, LIMIT)));
    await script.settle();
    script.client.destroy(new Error('ECONNRESET'));
    expect(new Set(await Promise.all(pending))).toEqual(new Set(['unavailable']));
    await script.settle();
    expect(told).toEqual(['unavailable']);
  });

  test.each([
    ['impossible length', Buffer.from('00000003', 'hex')],
    ['unknown program', encodeFrame({ program: 1, procedure: 1, type: 1, serial: 1, status: 0 }, Buffer.alloc(0))],
    ['reply to nothing', encodeFrame({ program: REMOTE_PROGRAM, procedure: 1, type: 1, serial: 999, status: 0 }, Buffer.alloc(0))],
    ['event that ends early', encodeFrame({ program: REMOTE_PROGRAM, procedure: 318, type: 2, serial: 0, status: 0 }, Buffer.alloc(4))],
  ])('a malformed frame (%s) ends the connection and not the process', async (_what, bytes) => {
    const script = new Script();
    const connection = await script.open();
    const pending = codeOf(connection.call(version, undefined, LIMIT));
    script.stream.write(bytes);
    expect(await pending).toBe('unavailable');
    expect(connection.closed).toBe(true);
  });

  test('a reply that cannot be read fails its call alone', async () => {
    const script = new Script();
    const connection = await script.open();
    const bad = codeOf(connection.call(version, undefined, LIMIT));
    const good = connection.call(version, undefined, LIMIT);
    await script.settle();
    script.reply(script.calls[0]?.serial ?? 0, Buffer.alloc(3));
    script.reply(script.calls[1]?.serial ?? 0, versionBody(7n));
    expect(await bad).toBe('component');
    expect(await good).toBe(7);
  });

  test('a ping is answered by a pong', async () => {
    const script = new Script();
    await script.open();
    script.stream.write(encodeFrame({ program: KEEPALIVE_PROGRAM, procedure: 1, type: MESSAGE_TYPE.message, serial: 0, status: 0 }, Buffer.alloc(0)));
    await script.settle();
    expect(script.received.map(({ program, procedure, type }) => ({ program, procedure, type }))).toEqual([{ program: KEEPALIVE_PROGRAM, procedure: 2, type: 2 }]);
  });

  test('a libvirt that goes silent is noticed within half a minute, one that answers pings is not', async () => {
    const script = new Script();
    const connection = await script.open();
    const pong = encodeFrame({ program: KEEPALIVE_PROGRAM, procedure: 2, type: MESSAGE_TYPE.message, serial: 0, status: 0 }, Buffer.alloc(0));
    for (let second = 0; second < 60; second += 5) {
      await script.clock.advance(5_000);
      await script.settle();
      script.stream.write(pong);
      await script.settle();
    }
    expect(connection.closed).toBe(false);
    await script.clock.advance(30_000);
    expect(connection.closed).toBe(true);
  });

  test('a login that we cannot do is unauthenticated', async () => {
    const script = new Script();
    script.authMethods = [1, 2];
    expect(await codeOf(script.open())).toBe('unauthenticated');
  });

  test('life-cycle events reach listeners, unknown messages do not', async () => {
    const script = new Script();
    const connection = await script.open();
    const events: LibvirtEvent[] = [];
    connection.listen({ event: (event) => events.push(event) });
    const writer = new XdrWriter().int(1);
    const domain = { name: 'vm1', uuid: '01234567-89ab-cdef-0123-456789abcdef', id: 3 };
    writeDomainRef(writer, domain);
    const send = (procedure: number, body: Buffer): boolean =>
      script.stream.write(encodeFrame({ program: REMOTE_PROGRAM, procedure, type: MESSAGE_TYPE.message, serial: 0, status: 0 }, body));
    send(318, writer.int(5).int(1).bytes());
    send(9_999, Buffer.alloc(8));
    await script.settle();
    expect(events).toEqual([{ kind: 'lifecycle', domain, event: 5, detail: 1 }]);
    expect(connection.closed).toBe(false);
  });
});
