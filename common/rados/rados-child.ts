/**
 * The process that owns the connection to a Ceph cluster; child-link.ts starts it. This thread only passes messages on, so it is never
 * blocked: it sees at once that its parent is gone, and ends.
 */
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { systemClock } from '../clock.ts';
import { toAppError } from '../errors.ts';
import { connectCall, shutdownCall } from './cluster-calls.ts';
import { imageCloseCall, imageOpenCall } from './image-calls.ts';
import { Handles } from './handles.ts';
import { Lanes, type Thread } from './lanes.ts';
import { fromWorker, toChild, type CallRequest, type FromChild, type FromWorker } from './message.ts';
import { listCloseCall } from './object-calls.ts';

/** What opening something results in. */
const address = z.bigint();

const WORKER_FILE = resolve(import.meta.dirname, 'rados-worker.js');

/** A thread's heap: small for what is soon forgotten, or each would grow to 50 MiB before it collects; wide for a listing of a large pool. */
const HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 512 } as const;

/** Answers of calls that nobody waits for any more are dropped by the parent, but what they opened is closed here. */
class RadosChild {
  readonly #handles = new Handles();
  readonly #lanes: Lanes;
  readonly #cancelled = new Set<number>();
  /** Which call opened each handle. */
  readonly #openers = new Map<number, string>();
  #opening = 0;
  #cluster = 0n;
  #shutdown: CallRequest | undefined;

  constructor() {
    this.#lanes = new Lanes({
      clock: systemClock,
      startThread: (onAnswer) => this.#startThread(onAnswer),
      onAnswer: (answer, request) => this.#answered(answer, request),
      onStuck: () => tell({ kind: 'stuck' }),
    });
  }

  receive(raw: unknown): void {
    const message = toChild.parse(raw);
    if (message.kind === 'call') this.#call(message);
    else this.#cancel(message.id);
  }

  #cancel(id: number): void {
    const found = this.#lanes.cancel(id);
    if (found === undefined) return;
    if (found.isBegun) {
      this.#cancelled.add(id);
      return;
    }
    this.#left(found.request);
    this.#shutdownWhenIdle();
  }

  /** The call works on nothing any more. */
  #left(request: CallRequest): void {
    if (request.role === 'use') this.#handles.leave(request.handle ?? 0);
    if (request.role === 'open') this.#opening -= 1;
  }

  #call(request: CallRequest): void {
    try {
      if (request.call === shutdownCall.name) this.#shutdown = request;
      else this.#submit(request);
    } catch (error) {
      const { code, message, details } = toAppError(error);
      tell({ kind: 'failed', id: request.id, failure: { code, message, details } });
    }
    this.#shutdownWhenIdle();
  }

  #submit(request: CallRequest): void {
    const { role, handle = 0 } = request;
    if (role === 'close') {
      this.#handles.take(handle, (at) => this.#lanes.submit({ request, handle: at }));
      this.#openers.delete(handle);
      return;
    }
    if (role === 'open') {
      this.#handles.requireRoom(this.#opening);
      this.#opening += 1;
    }
    this.#lanes.submit({ request, handle: role === 'use' ? this.#handles.enter(handle) : 0n });
  }

  #answered(answer: FromWorker, request: CallRequest): void {
    const isCancelled = this.#cancelled.delete(request.id);
    this.#left(request);
    tell(answer.kind === 'done' ? { ...answer, result: this.#resultOf(answer.result, request) } : answer);
    if (isCancelled && answer.kind === 'done' && request.role === 'open') this.#close(request.id);
    this.#shutdownWhenIdle();
  }

  /** Addresses stay in this process. */
  #resultOf(result: unknown, request: CallRequest): unknown {
    if (request.call === connectCall.name) {
      this.#cluster = address.parse(result);
      return 0n;
    }
    if (request.role !== 'open') return result;
    this.#handles.add(request.id, address.parse(result));
    this.#openers.set(request.id, request.call);
    return request.id;
  }

  #close(handle: number): void {
    const call = this.#openers.get(handle) === imageOpenCall.name ? imageCloseCall : listCloseCall;
    this.#call({ kind: 'call', id: -handle, call: call.name, lane: call.lane, role: 'close', handle, args: {} });
  }

  /** librados may be shut down once, by nobody while another thread is within it, and with nothing left open. */
  #shutdownWhenIdle(): void {
    if (this.#shutdown === undefined || this.#lanes.jobCount > 0) return;
    const [open] = this.#handles.ids();
    if (open !== undefined) {
      this.#close(open);
      return;
    }
    const request = this.#shutdown;
    this.#shutdown = undefined;
    this.#lanes.submit({ request, handle: 0n });
  }

  #startThread(onAnswer: (answer: FromWorker) => void): Thread {
    const worker = new Worker(WORKER_FILE, { resourceLimits: HEAP });
    worker.on('message', (message) => onAnswer(fromWorker.parse(message)));
    // Nothing is known of what it left behind: the parent begins anew.
    worker.on('error', (error) => {
      throw error;
    });
    return {
      post: ({ request, handle }) => worker.postMessage({ id: request.id, call: request.call, args: request.args, cluster: this.#cluster, handle }),
      end: () => void worker.terminate(),
    };
  }
}

function tell(message: FromChild): void {
  if (process.connected) process.send?.(message, () => undefined);
}

const child = new RadosChild();
process.on('message', (message) => child.receive(message));
// Threads within a call would keep an orderly end waiting.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// The parent decides when it ends, also when a signal goes to both.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
