import type { Clock, Timer } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Lane } from './call.ts';
import type { CallRequest, FromWorker } from './message.ts';

/** Threads of each lane, begun when they are needed: 18 MiB each. */
export const THREADS: Readonly<Record<Lane, number>> = { mon: 2, command: 2, object: 4, image: 8, list: 2, stream: 4 };
/** Calls that wait in one lane: as many as the parent lets through. */
const QUEUE_MAX = 2_048;
/** Threads whose call nobody waits for any more, in all lanes together. Beyond it something is broken for good. */
const ABANDONED_MAX = 24;

/** How long a thread that nobody needs is kept, for the next burst. The last one of a lane stays: to begin it takes some 200 ms. */
const IDLE_MS = 30_000;

/** A thread that carries out one job at a time. */
export interface Thread {
  /** Begins the job; the thread answers through the callback that it was made with. */
  post(job: Job): void;
  /** Ends it; it does nothing at that time. */
  end(): void;
}

export interface Job {
  request: CallRequest;
  /** Address of the handle that the call works on, 0 for none. */
  handle: bigint;
}

export interface LanesOptions {
  clock: Clock;
  /** Starts a thread, which tells each answer to `onAnswer`. */
  startThread(onAnswer: (answer: FromWorker) => void): Thread;
  onAnswer(answer: FromWorker, request: CallRequest): void;
  /** Too many calls hang. */
  onStuck(): void;
}

interface Worker {
  thread: Thread;
  job: Job | undefined;
  isAbandoned: boolean;
  /** Ends the thread unless it gets something to do. */
  idle: Timer | undefined;
}

/** Gives jobs to threads: first come, first served within a lane, except that jobs of one key follow each other. */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #queues = new Map<Lane, Job[]>();
  readonly #workers = new Map<Lane, Worker[]>();

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** Jobs that wait or run, those that nobody waits for too. */
  get jobCount(): number {
    const waiting = [...this.#queues.values()].reduce((count, queue) => count + queue.length, 0);
    return waiting + [...this.#workers.values()].flat().filter((worker) => worker.job !== undefined).length;
  }

  /** @throws AppError 'unavailable' when too many wait. */
  submit(job: Job): void {
    const { lane } = job.request;
    const queue = this.#of(this.#queues, lane);
    if (queue.length >= QUEUE_MAX) throw new AppError('unavailable', 'too many calls wait for Ceph', { call: job.request.call, queueMax: QUEUE_MAX });
    queue.push(job);
    this.#dispatch(lane);
  }

  /**
   * Takes the job off the queue, or lets another thread do what comes after it. Undefined when it is not known, or gives up a handle, which
   * has to be done in any case.
   */
  cancel(id: number): { request: CallRequest; isBegun: boolean } | undefined {
    return this.#cancelWaiting(id) ?? this.#abandon(id);
  }

  #cancelWaiting(id: number): { request: CallRequest; isBegun: boolean } | undefined {
    for (const queue of this.#queues.values()) {
      const at = queue.findIndex((job) => job.request.id === id && job.request.role !== 'close');
      const [job] = at < 0 ? [] : queue.splice(at, 1);
      if (job !== undefined) return { request: job.request, isBegun: false };
    }
    return undefined;
  }

  #abandon(id: number): { request: CallRequest; isBegun: boolean } | undefined {
    for (const [lane, workers] of this.#workers) {
      const worker = workers.find((one) => one.job?.request.id === id);
      if (worker?.job === undefined) continue;
      const { request } = worker.job;
      worker.isAbandoned = true;
      this.#dispatch(lane);
      const abandoned = [...this.#workers.values()].flat().filter((one) => one.isAbandoned).length;
      if (abandoned > ABANDONED_MAX) this.#options.onStuck();
      return { request, isBegun: true };
    }
    return undefined;
  }

  #dispatch(lane: Lane): void {
    for (;;) {
      const queue = this.#of(this.#queues, lane);
      const at = queue.findIndex((job) => !this.#isBusy(lane, job.request.key));
      const job = queue[at];
      if (job === undefined) return;
      const worker = this.#idle(lane);
      if (worker === undefined) return;
      queue.splice(at, 1);
      worker.idle?.cancel();
      worker.idle = undefined;
      worker.job = job;
      worker.thread.post(job);
    }
  }

  /** A key stays busy until its job has really ended, waited for or not. */
  #isBusy(lane: Lane, key: string | undefined): boolean {
    return key !== undefined && this.#of(this.#workers, lane).some((worker) => worker.job?.request.key === key);
  }

  #idle(lane: Lane): Worker | undefined {
    const workers = this.#of(this.#workers, lane);
    const idle = workers.find((worker) => worker.job === undefined);
    if (idle !== undefined) return idle;
    if (workers.filter((worker) => !worker.isAbandoned).length >= THREADS[lane]) return undefined;
    const thread = this.#options.startThread((answer) => this.#answered(lane, worker, answer));
    const worker: Worker = { thread, job: undefined, isAbandoned: false, idle: undefined };
    workers.push(worker);
    return worker;
  }

  #answered(lane: Lane, worker: Worker, answer: FromWorker): void {
    const { job } = worker;
    worker.job = undefined;
    worker.isAbandoned = false;
    worker.idle = this.#options.clock.after(IDLE_MS, () => this.#endIdle(lane, worker));
    if (job !== undefined) this.#options.onAnswer(answer, job.request);
    this.#dispatch(lane);
  }

  #endIdle(lane: Lane, worker: Worker): void {
    const workers = this.#of(this.#workers, lane);
    if (worker.job !== undefined || workers.length <= 1) return;
    workers.splice(workers.indexOf(worker), 1);
    worker.thread.end();
  }

  #of<T>(map: Map<Lane, T[]>, lane: Lane): T[] {
    const known = map.get(lane);
    if (known !== undefined) return known;
    const made: T[] = [];
    map.set(lane, made);
    return made;
  }
}
