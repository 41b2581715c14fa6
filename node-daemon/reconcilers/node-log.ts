import type { Clock, Timer } from '../../common/clock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import { packLines, unpackLines, type LogTail } from '../../common/log-tail.ts';
import { nodeLog, type NodeLog } from '../../common/schema/node.ts';
import { pathOf } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';

/** Nobody else writes this document, so the second round succeeds unless the store is away. */
const TRIES_MAX = 3;

/** From a line to the write, in milliseconds: lines come in groups. */
const GATHER_MS = 500;

/** Between two writes, in milliseconds. */
const INTERVAL_MIN_MS = 2_000;

/** Each write has all lines: a daemon that logs all the time writes 10 kB/s to the ensemble, however long its log is. */
const BYTES_PER_MS = 10;

/** After a write that failed, in milliseconds. */
const RETRY_MS = 5_000;

export interface NodeLogDeps {
  node: NodeName;
  store: Store;
  clock: Clock;
  tail: LogTail;
}

/**
 * Keeps the document of this daemon's log, the lines of its earlier runs included. Written when there are new lines, and not too often.
 * It logs nothing itself: each line would be the reason for another write.
 */
export class NodeLogReporter {
  readonly #deps: NodeLogDeps;
  readonly #path: string;
  #unlisten: (() => void) | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #version: number | 'none' | 'unknown' = 'unknown';
  #resumed = false;
  /** Of the lines that the store has; see LogTail.taken. */
  #written = 0;
  #notBeforeMs = 0;

  constructor(deps: NodeLogDeps) {
    this.#deps = deps;
    this.#path = pathOf('node-log', deps.node);
  }

  /** Of a store that is started. */
  start(): void {
    this.#unlisten ??= this.#deps.tail.listen(() => this.#schedule());
    this.#schedule();
  }

  /** Writes what is left, unless the store is away. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#unlisten === undefined) return;
    this.abandon();
    await this.#writing;
    if (this.#deps.store.state === 'connected' && this.#deps.tail.taken !== this.#written) await this.#write();
  }

  /** Nothing is written any more. */
  abandon(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    const { clock, tail } = this.#deps;
    if (this.#unlisten === undefined || this.#timer !== undefined || this.#writing !== undefined || tail.taken === this.#written) return;
    this.#timer = clock.after(Math.max(GATHER_MS, this.#notBeforeMs - clock.monotonicMs()), () => {
      this.#timer = undefined;
      this.#writing = this.#round().finally(() => {
        this.#writing = undefined;
        this.#schedule();
      });
    });
  }

  async #round(): Promise<void> {
    const { clock } = this.#deps;
    try {
      this.#notBeforeMs = clock.monotonicMs() + RETRY_MS;
      const sizeBytes = await this.#write();
      this.#notBeforeMs = clock.monotonicMs() + Math.max(INTERVAL_MIN_MS, sizeBytes / BYTES_PER_MS);
    } catch (error) {
      // Not logged, see above; the lines are in the journal, and come here with the next write that succeeds.
      if (!isAppError(error)) throw error;
    }
  }

  /** @returns the approximate size of the document, in bytes. */
  async #write(): Promise<number> {
    for (let round = 0; round < TRIES_MAX; round += 1) {
      try {
        return await this.#tryWrite();
      } catch (error) {
        this.#version = 'unknown';
        if (!isAppError(error, 'conflict', 'exists', 'not-found', 'unknown-outcome')) throw error;
      }
    }
    throw new AppError('conflict', "somebody else writes this node's log", { path: this.#path });
  }

  async #tryWrite(): Promise<number> {
    const { store, tail } = this.#deps;
    if (this.#version === 'unknown') await this.#look();
    const taken = tail.taken;
    const doc: NodeLog = { packed: packLines(tail.lines()) };
    const written = this.#version === 'none' || this.#version === 'unknown' ? await store.create(this.#path, doc) : await store.update(this.#path, doc, this.#version);
    this.#version = written.version;
    this.#written = taken;
    return doc.packed.length;
  }

  /** Once with the lines of earlier runs; afterwards what stands there is our own. */
  async #look(): Promise<void> {
    const { store, tail } = this.#deps;
    const found = await store.read(this.#path);
    this.#version = found?.version ?? 'none';
    if (this.#resumed) return;
    this.#resumed = true;
    tail.resume(earlierLines(found?.value));
  }
}

/** What cannot be read is replaced. */
function earlierLines(document: unknown): readonly string[] {
  const parsed = nodeLog.safeParse(document);
  try {
    return parsed.success ? unpackLines(parsed.data.packed) : [];
  } catch (error) {
    if (!isAppError(error, 'component')) throw error;
    return [];
  }
}
