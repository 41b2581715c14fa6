import type { Duplex } from 'node:stream';
import { withTimeout, type Clock, type Timer } from '../clock.ts';
import { AppError, toAppError } from '../errors.ts';
import { AUTH_NONE, EVENT_ID, FEATURE_PROGRAM_KEEPALIVE } from './constants.ts';
import type { Dial } from './dial.ts';
import { encodeFrame, FrameReader, KEEPALIVE_PROGRAM, MESSAGE_STATUS, MESSAGE_TYPE, REMOTE_PROGRAM, type Frame } from './frame.ts';
import { readLibvirtError } from './libvirt-error.ts';
import { PROCEDURES, readEvent, type LibvirtEvent, type Procedure } from './procedures.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

/** A daemon serves five calls of a connection at a time (libvirtd.conf, max_client_requests); one is left for its own keepalive. */
export const CALLS_IN_FLIGHT_MAX = 4;

/** Calls that wait for their turn, at most: more means that libvirt hangs. */
const CALLS_WAITING_MAX = 1_024;

const KEEPALIVE = { ping: 1, pong: 2 } as const;

/** Without a byte from libvirt for this long we ask whether it is there. */
const PING_INTERVAL_MS = 5_000;

/** Pings without an answer before the connection counts as lost; libvirtd's own default. */
const PINGS_UNANSWERED_MAX = 5;

const OPEN_LIMIT_MS = 15_000;

export interface ConnectionDeps {
  dial: Dial;
  clock: Clock;
  /** Driver that is opened, for example qemu:///system. */
  uri: string;
}

export interface CallLimit {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

export interface ConnectionListener {
  event?(event: LibvirtEvent): void;
  /** The connection has ended; every later call fails with this error. Told once. */
  closed?(reason: AppError): void;
}

interface Call {
  name: string;
  bytes: (serial: number) => Buffer;
  finish: (frame: Frame) => void;
  fail: (error: AppError) => void;
  /** Nobody waits any more, but libvirt still works on it: it keeps its place until the reply. */
  abandoned: boolean;
}

/**
 * One connection to a libvirt daemon: calls by serial, events, keepalive. It never reconnects; whoever needs another opens one.
 * Calls fail with AppError: libvirt's refusal by its number (libvirt-error.ts), 'timeout', 'cancelled', and 'unavailable' for all
 * that are pending when the stream ends.
 */
export class LibvirtConnection {
  readonly #stream: Duplex;
  readonly #clock: Clock;
  readonly #frames = new FrameReader();
  readonly #listeners = new Set<ConnectionListener>();
  readonly #inFlight = new Map<number, Call>();
  readonly #waiting: Call[] = [];
  #serial = 0;
  #pingsUnanswered = 0;
  #pingTimer: Timer | undefined;
  #ended: AppError | undefined;

  private constructor(stream: Duplex, clock: Clock) {
    this.#stream = stream;
    this.#clock = clock;
  }

  /**
   * Dials and opens the driver.
   * @throws AppError 'unavailable', 'timeout', 'unauthenticated' when the daemon demands a login, or libvirt's refusal.
   */
  static async open(deps: ConnectionDeps, signal?: AbortSignal): Promise<LibvirtConnection> {
    return withTimeout(deps.clock, { timeoutMs: OPEN_LIMIT_MS, what: 'opening libvirt', signal }, async (inner) => {
      const connection = new LibvirtConnection(await deps.dial(inner), deps.clock);
      connection.#attach();
      try {
        await connection.#login(deps.uri, { timeoutMs: OPEN_LIMIT_MS, signal: inner });
        return connection;
      } catch (error) {
        connection.close();
        throw error;
      }
    });
  }

  get closed(): boolean {
    return this.#ended !== undefined;
  }

  listen(listener: ConnectionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks for life-cycle, migration-pass and job-end events of all domains. */
  async subscribe(limit: CallLimit): Promise<void> {
    for (const event of [EVENT_ID.lifecycle, EVENT_ID.migrationIteration, EVENT_ID.jobCompleted]) {
      await this.call(PROCEDURES.registerEvent, { event, domain: undefined }, limit);
    }
  }

  /** One call. The limit includes the wait for a free place. */
  async call<A, R>(procedure: Procedure<A, R>, args: A, limit: CallLimit): Promise<R> {
    const writer = new XdrWriter();
    procedure.write(writer, args);
    const body = writer.bytes();
    return withTimeout(
      this.#clock,
      { ...limit, what: `libvirt ${procedure.name}` },
      (signal) => new Promise<R>((resolve, reject) => this.#submit(procedure, body, { resolve, reject, signal })),
    );
  }

  /** Ends the connection; pending calls fail with 'unavailable'. Safe to call twice. */
  close(): void {
    this.#end(new AppError('unavailable', 'the connection to libvirt was closed'));
  }

  #attach(): void {
    const lost = (error?: Error): void =>
      this.#end(new AppError('unavailable', 'the connection to libvirt was lost', { reason: error?.message }, { cause: error }));
    this.#stream.on('error', lost);
    this.#stream.on('close', () => lost());
    this.#stream.on('end', () => lost());
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  async #login(uri: string, limit: CallLimit): Promise<void> {
    const methods = await this.call(PROCEDURES.authList, undefined, limit);
    if (methods.length > 0 && !methods.includes(AUTH_NONE)) throw new AppError('unauthenticated', 'libvirt demands a login', { methods });
    const keepalive = await this.call(PROCEDURES.connectSupportsFeature, FEATURE_PROGRAM_KEEPALIVE, limit);
    await this.call(PROCEDURES.connectOpen, { uri, flags: 0 }, limit);
    if (keepalive) this.#schedulePing();
  }

  #submit<A, R>(procedure: Procedure<A, R>, body: Buffer, caller: { resolve: (result: R) => void; reject: (error: AppError) => void; signal: AbortSignal }): void {
    if (this.#ended !== undefined) {
      caller.reject(this.#ended);
      return;
    }
    if (this.#waiting.length >= CALLS_WAITING_MAX) {
      caller.reject(new AppError('unavailable', 'too many calls wait for libvirt', { limit: CALLS_WAITING_MAX }));
      return;
    }
    const call: Call = {
      name: procedure.name,
      abandoned: false,
      bytes: (serial) =>
        encodeFrame({ program: REMOTE_PROGRAM, procedure: procedure.number, type: MESSAGE_TYPE.call, serial, status: MESSAGE_STATUS.ok }, body),
      finish: (frame) => settle(caller, () => readReply(procedure, frame)),
      fail: caller.reject,
    };
    caller.signal.addEventListener('abort', () => this.#abandon(call), { once: true });
    this.#waiting.push(call);
    this.#sendNext();
  }

  #sendNext(): void {
    while (this.#inFlight.size < CALLS_IN_FLIGHT_MAX) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      this.#serial += 1;
      this.#inFlight.set(this.#serial, call);
      this.#stream.write(call.bytes(this.#serial));
    }
  }

  #abandon(call: Call): void {
    call.abandoned = true;
    const index = this.#waiting.indexOf(call);
    if (index >= 0) this.#waiting.splice(index, 1);
    const stuck = [...this.#inFlight.values()].filter((other) => other.abandoned);
    if (stuck.length < CALLS_IN_FLIGHT_MAX) return;
    this.#end(new AppError('unavailable', 'libvirt answers none of the calls under way', { calls: stuck.map((other) => other.name) }));
  }

  #receive(chunk: Buffer): void {
    this.#pingsUnanswered = 0;
    if (this.#ended !== undefined) return;
    try {
      for (const frame of this.#frames.push(chunk)) this.#dispatch(frame);
    } catch (error) {
      this.#end(toAppError(error));
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.program === KEEPALIVE_PROGRAM) {
      if (frame.procedure === KEEPALIVE.ping) this.#sendKeepalive(KEEPALIVE.pong);
      return;
    }
    if (frame.program !== REMOTE_PROGRAM) throw new AppError('component', 'libvirt sent a message of an unknown program', { program: frame.program });
    if (frame.type === MESSAGE_TYPE.message) {
      const event = readEvent(frame.procedure, new XdrReader(frame.body));
      if (event !== undefined) for (const listener of [...this.#listeners]) listener.event?.(event);
      return;
    }
    const call = this.#inFlight.get(frame.serial);
    if (frame.type !== MESSAGE_TYPE.reply || call === undefined) {
      throw new AppError('component', 'libvirt sent a message that answers nothing', { type: frame.type, serial: frame.serial });
    }
    this.#inFlight.delete(frame.serial);
    call.finish(frame);
    this.#sendNext();
  }

  #sendKeepalive(procedure: number): void {
    const header = { program: KEEPALIVE_PROGRAM, procedure, type: MESSAGE_TYPE.message, serial: 0, status: MESSAGE_STATUS.ok };
    this.#stream.write(encodeFrame(header, Buffer.alloc(0)));
  }

  #schedulePing(): void {
    this.#pingTimer = this.#clock.after(PING_INTERVAL_MS, () => {
      if (this.#ended !== undefined) return;
      if (this.#pingsUnanswered >= PINGS_UNANSWERED_MAX) {
        this.#end(new AppError('unavailable', 'libvirt does not answer any more', { pings: this.#pingsUnanswered }));
        return;
      }
      this.#pingsUnanswered += 1;
      this.#sendKeepalive(KEEPALIVE.ping);
      this.#schedulePing();
    });
  }

  #end(reason: AppError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason.code === 'unavailable' ? reason : new AppError('unavailable', 'the connection to libvirt is unusable', {}, { cause: reason });
    this.#pingTimer?.cancel();
    this.#stream.destroy();
    const pending = [...this.#inFlight.values(), ...this.#waiting.splice(0)];
    this.#inFlight.clear();
    for (const call of pending) call.fail(this.#ended);
    for (const listener of [...this.#listeners]) listener.closed?.(this.#ended);
  }
}

function settle<R>(caller: { resolve: (result: R) => void; reject: (error: AppError) => void }, read: () => R): void {
  try {
    caller.resolve(read());
  } catch (error) {
    caller.reject(toAppError(error));
  }
}

/** A reply that cannot be read fails its call alone: its frame was whole, so the stream is still in step. */
function readReply<A, R>(procedure: Procedure<A, R>, frame: Frame): R {
  const reader = new XdrReader(frame.body);
  if (frame.status === MESSAGE_STATUS.error) throw readLibvirtError(reader, procedure.name);
  if (frame.status !== MESSAGE_STATUS.ok) throw new AppError('component', 'libvirt sent an unknown status', { status: frame.status });
  const result = procedure.read(reader);
  reader.end();
  return result;
}
