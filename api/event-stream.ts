import type { Response } from 'express';
import type { Clock, Timer } from '../common/clock.ts';
import { AppError } from '../common/errors.ts';
import type { MirroredKind } from '../common/schema/resources.ts';
import type { ApiMirror } from './cluster.ts';
import { EVENT_KINDS, type ClusterEvent, type EventKind, type EventRing } from './event-ring.ts';
import { presentNetwork } from './present/network.ts';
import { presentNode } from './present/node.ts';
import { presentTask } from './present/task.ts';
import type { VmCache } from './present/vm-cache.ts';
import { drained } from './send.ts';

/** Streams at once: each holds a socket. */
const STREAMS_MAX = 64;
/** Proxies close what is silent for a minute. */
const HEARTBEAT_MS = 15_000;
/** After this a stream ends and the client comes back with its last id: whoever has lost the right to read notices. */
const STREAM_MAX_MS = 3_600_000;
/** The mirror may take in two changes in the wrong order; a reader that starts afresh gets these last transactions again. */
const REORDER_ZXIDS = 1_000;
/** A reader that takes nothing for so long is gone. */
const STALL_MAX_MS = 30_000;

export interface EventDeps {
  mirror: ApiMirror;
  ring: EventRing;
  cache: VmCache;
  clock: Clock;
}

export interface EventFilter {
  kinds: readonly EventKind[];
  /** Name or id of the one thing to follow. */
  id: string | undefined;
  /** Zxid of the last event that the reader has seen. */
  after: number | undefined;
}

/** All open streams. */
export class EventStreams {
  readonly #deps: EventDeps;
  readonly #open = new Set<EventStream>();

  constructor(deps: EventDeps) {
    this.#deps = deps;
  }

  /** Takes the response over until the client leaves. @throws AppError 'too-many'. */
  open(response: Response, filter: EventFilter): void {
    if (this.#open.size >= STREAMS_MAX) throw new AppError('too-many', 'too many event streams are open', { max: STREAMS_MAX, retryAfterS: 10 });
    const stream = new EventStream(this.#deps, response, filter);
    this.#open.add(stream);
    response.on('close', () => {
      this.#open.delete(stream);
      stream.stop();
    });
    stream.start();
  }

  stop(): void {
    for (const stream of this.#open) stream.end();
  }
}

/** One reader. It holds its place in the ring and no events of its own, so a slow one costs nothing but its socket's buffer. */
class EventStream {
  readonly #deps: EventDeps;
  readonly #response: Response;
  readonly #filter: EventFilter;
  #next: number;
  #pumping = false;
  #unlisten: (() => void) | undefined;
  readonly #timers = new Map<string, Timer>();

  constructor(deps: EventDeps, response: Response, filter: EventFilter) {
    this.#deps = deps;
    this.#response = response;
    this.#filter = filter;
    this.#next = deps.ring.lastSequence + 1;
  }

  start(): void {
    this.#response.statusCode = 200;
    this.#response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
    this.#response.setHeader('X-Accel-Buffering', 'no');
    this.#response.setHeader('Connection', 'close');
    this.#response.write('retry: 2000\n\n');
    this.#unlisten = this.#deps.ring.listen(() => this.#wake());
    this.#beat();
    this.#timers.set('life', this.#deps.clock.after(STREAM_MAX_MS, () => this.end()));
    this.#pumping = true;
    this.#run(() => this.#begin());
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  end(): void {
    this.stop();
    this.#response.end();
  }

  #beat(): void {
    this.#timers.set(
      'heartbeat',
      this.#deps.clock.after(HEARTBEAT_MS, () => {
        if (!this.#response.writableNeedDrain) this.#response.write(':\n\n');
        this.#beat();
      }),
    );
  }

  #wake(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#run(() => Promise.resolve());
  }

  /** A stream that cannot go on is cut off: its client comes back with its last id. */
  #run(first: () => Promise<void>): void {
    first()
      .then(() => this.#pump())
      .catch((error: unknown) => this.#response.destroy(error instanceof Error ? error : new Error(String(error))));
  }

  /** Where the reader goes on: at its last event, at the present, or afresh when its last event is too long ago. */
  async #begin(): Promise<void> {
    const { ring } = this.#deps;
    const { after } = this.#filter;
    const resumeAt = after === undefined ? undefined : ring.resumeAt(after);
    if (resumeAt !== undefined) {
      this.#next = resumeAt;
      return;
    }
    const zxid = ring.lastZxid;
    if (after === undefined) {
      await this.#write(`id: ${zxid}\nevent: ready\ndata: {}\n\n`);
      return;
    }
    await this.#write(`event: resync\ndata: ${JSON.stringify({ ids: this.#idsNow() })}\n\n`);
    for (const [kind, id] of this.#changedSince(after)) await this.#write(this.#text(zxid, kind, id));
    await this.#write(`id: ${zxid}\nevent: ready\ndata: {}\n\n`);
  }

  async #pump(): Promise<void> {
    for (let event = this.#take(); event !== undefined && !this.#response.destroyed; event = this.#take()) {
      if (event === 'lost') {
        this.end();
        break;
      }
      if (this.#wants(event.kind, event.id)) await this.#write(this.#text(event.zxid, event.kind, event.id));
    }
    this.#pumping = false;
  }

  #take(): ClusterEvent | 'lost' | undefined {
    const event = this.#deps.ring.at(this.#next);
    if (event !== undefined) this.#next += 1;
    return event;
  }

  async #write(text: string): Promise<void> {
    if (this.#response.destroyed || this.#response.writableEnded || this.#response.write(text)) return;
    this.#timers.set('stall', this.#deps.clock.after(STALL_MAX_MS, () => this.#response.destroy()));
    await drained(this.#response);
    this.#timers.get('stall')?.cancel();
  }

  #wants(kind: EventKind, id: string): boolean {
    const { kinds, id: wanted } = this.#filter;
    if (!kinds.includes(kind)) return false;
    return wanted === undefined || wanted === id || this.#nameOf(kind, id) === wanted;
  }

  #nameOf(kind: EventKind, id: string): string | undefined {
    const { mirror } = this.#deps;
    if (kind === 'vm') return mirror.get('vm', id)?.doc.name;
    return kind === 'network' ? mirror.get('network', id)?.doc.description : undefined;
  }

  #text(zxid: number, kind: EventKind, id: string): string {
    const document = this.#documentOf(kind, id);
    const about = JSON.stringify({ kind, id, gone: document === undefined });
    const data = document === undefined ? about : `${about.slice(0, -1)},"document":${document}}`;
    return `id: ${zxid}\nevent: ${kind}\ndata: ${data}\n\n`;
  }

  /** JSON text on one line; undefined when it is gone. */
  #documentOf(kind: EventKind, id: string): string | undefined {
    const { mirror, cache } = this.#deps;
    switch (kind) {
      case 'vm': {
        const vm = mirror.get('vm', id);
        return vm && cache.text(vm).toString();
      }
      case 'node':
        return mirror.get('node', id) && JSON.stringify(presentNode(mirror, id));
      case 'network': {
        const network = mirror.get('network', id);
        return network && JSON.stringify(presentNetwork(mirror, network));
      }
      case 'task': {
        const task = mirror.get('task', id);
        return task && JSON.stringify(presentTask(task.doc));
      }
    }
  }

  /** Everything that there is, so that a reader can tell what has gone. */
  #idsNow(): Record<string, string[]> {
    const kinds = EVENT_KINDS.filter((kind) => this.#filter.kinds.includes(kind));
    return Object.fromEntries(kinds.map((kind) => [kind, [...this.#deps.mirror.all(kind).keys()].filter((id) => this.#wants(kind, id))]));
  }

  *#changedSince(zxid: number): Generator<[EventKind, string]> {
    const { mirror } = this.#deps;
    const floor = floorOf(zxid);
    const onNodes = Math.max(0, ...Array.from(mirror.all('network-status').values(), ({ modifiedZxid }) => modifiedZxid));
    for (const kind of EVENT_KINDS) {
      for (const [id, entry] of mirror.all(kind)) {
        const others = partsOf(kind, id).map(([part, partId]) => mirror.get(part, partId)?.modifiedZxid ?? 0);
        const last = Math.max(entry.modifiedZxid, kind === 'network' ? onNodes : 0, ...others);
        if (last > floor && this.#wants(kind, id)) yield [kind, id];
      }
    }
  }
}

/** The other documents that an element is shown from and that are its own. */
function partsOf(kind: EventKind, id: string): [MirroredKind, string][] {
  switch (kind) {
    case 'vm':
      return [['vm-status', id]];
    case 'node':
      return [['node-status', id], ['presence', id]];
    case 'network':
      return [['network-acl', id], ['dhcp-reservation', id]];
    case 'task':
      return [];
  }
}

/** A zxid is an epoch in the upper 32 bits and a counter in the lower; near the beginning of an epoch all is sent. */
function floorOf(zxid: number): number {
  const counter = zxid % 2 ** 32;
  return counter < REORDER_ZXIDS ? 0 : zxid - REORDER_ZXIDS;
}
