import type { CallOptions, Caller } from './call.ts';
import { poolStatisticsCall, type PoolStatistics } from './cluster-calls.ts';
import {
  listCloseCall,
  listNextCall,
  listOpenCall,
  objectAppendCall,
  objectOmapCall,
  objectReadCall,
  objectRemoveCall,
  objectRemoveOmapCall,
  objectRemoveXattrCall,
  objectSetOmapCall,
  objectSetXattrCall,
  objectStatCall,
  objectTruncateCall,
  objectWriteCall,
  objectWriteFullCall,
  objectXattrCall,
  objectXattrsCall,
  type ObjectName,
  type ObjectPlace,
  type ObjectStat,
} from './object-calls.ts';

/** Objects of a listing that are asked for at once: some ms of work, so that other calls of the lane get their turn. */
const PAGE_OBJECTS = 1_000;
/** An OSD gives as many entries of an omap at once as its osd_max_omap_entries_per_request says, 1,024 by default. */
const PAGE_ENTRIES = 1_024;
/** Bytes that are read of an object when nobody says how many: objects are at most as large (osd_max_object_size). */
const READ_BYTES = 128 * 1024 * 1024;

export interface ReadOptions extends CallOptions {
  /** 0 when left out. */
  offsetBytes?: number;
  /** To the end of the object when left out. */
  lengthBytes?: number;
}

/** Objects of one pool. Nothing is held open: the pool may go and come again. Every method throws 'not-found' where pool or object is missing. */
export class Ioctx {
  readonly pool: string;
  readonly #caller: Caller;
  readonly #place: ObjectPlace;

  constructor(caller: Caller, place: ObjectPlace) {
    this.#caller = caller;
    this.#place = place;
    this.pool = place.pool;
  }

  /** The same, with objects that are placed by this key and found with it only: those with one key are on the same OSDs. A listing has all objects. */
  withLocator(key: string): Ioctx {
    return new Ioctx(this.#caller, { ...this.#place, locator: key });
  }

  async statistics(options?: CallOptions): Promise<PoolStatistics> {
    return this.#caller.call(poolStatisticsCall, { name: this.pool }, options);
  }

  /** What is there of the wanted bytes: fewer at the end of the object, none beyond it. */
  async read(object: string, options: ReadOptions = {}): Promise<Buffer> {
    const { offsetBytes = 0, lengthBytes } = options;
    const length = lengthBytes ?? (await this.#lengthFrom(object, offsetBytes, options));
    return toBuffer(await this.#caller.call(objectReadCall, { ...this.#place, object, offsetBytes, lengthBytes: length }, options));
  }

  /** Replaces the whole object, or makes it. */
  async writeFull(object: string, data: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectWriteFullCall, { ...this.#place, object, data }, options);
  }

  /** Writes over a part, and makes the object or lengthens it when needed. */
  async write(object: string, data: Uint8Array, offsetBytes: number, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectWriteCall, { ...this.#place, object, data, offsetBytes }, options);
  }

  async append(object: string, data: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectAppendCall, { ...this.#place, object, data }, options);
  }

  async remove(object: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectRemoveCall, { ...this.#place, object }, options);
  }

  /** Cuts the object, or lengthens it with zeros. */
  async truncate(object: string, sizeBytes: number, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectTruncateCall, { ...this.#place, object, sizeBytes }, options);
  }

  async stat(object: string, options?: CallOptions): Promise<ObjectStat> {
    return this.#caller.call(objectStatCall, { ...this.#place, object }, options);
  }

  /** All objects of the namespace, in the order of their placement. Objects that come or go meanwhile may be missed or told. */
  async *objects(options?: CallOptions): AsyncGenerator<ObjectName, void, undefined> {
    const { pool, namespace } = this.#place;
    const handle = await this.#caller.call(listOpenCall, { pool, namespace }, options);
    try {
      for (;;) {
        const page = await this.#caller.call(listNextCall, { objectsMax: PAGE_OBJECTS }, { ...options, handle });
        if (page.length === 0) return;
        yield* page;
      }
    } finally {
      await this.#caller.release(listCloseCall, handle);
    }
  }

  async xattrs(object: string, options?: CallOptions): Promise<Map<string, Buffer>> {
    const pairs = await this.#caller.call(objectXattrsCall, { ...this.#place, object }, options);
    return new Map(pairs.map(([name, value]) => [name, toBuffer(value)]));
  }

  /** @throws AppError 'not-found' when the object or its attribute is missing. */
  async xattr(object: string, name: string, options?: CallOptions): Promise<Buffer> {
    return toBuffer(await this.#caller.call(objectXattrCall, { ...this.#place, object, name }, options));
  }

  async setXattr(object: string, name: string, data: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectSetXattrCall, { ...this.#place, object, name, data }, options);
  }

  async removeXattr(object: string, name: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectRemoveXattrCall, { ...this.#place, object, name }, options);
  }

  /** Entries of the object's omap in the order of their keys, those that begin with `prefix`. */
  async *omap(object: string, options: CallOptions & { prefix?: string } = {}): AsyncGenerator<[string, Buffer], void, undefined> {
    const { prefix = '' } = options;
    let after = '';
    for (;;) {
      const page = await this.#caller.call(objectOmapCall, { ...this.#place, object, after, prefix, entriesMax: PAGE_ENTRIES }, options);
      for (const [key, value] of page.entries) yield [key, toBuffer(value)];
      const last = page.entries.at(-1);
      if (!page.hasMore || last === undefined) return;
      after = last[0];
    }
  }

  /** Adds entries to the omap, or replaces those of the same keys; makes the object when needed. */
  async setOmap(object: string, entries: ReadonlyMap<string, Uint8Array>, options?: CallOptions): Promise<void> {
    await this.#caller.call(objectSetOmapCall, { ...this.#place, object, entries: [...entries] }, options);
  }

  async removeOmap(object: string, keys: readonly string[], options?: CallOptions): Promise<void> {
    await this.#caller.call(objectRemoveOmapCall, { ...this.#place, object, keys: [...keys] }, options);
  }

  async #lengthFrom(object: string, offsetBytes: number, options: CallOptions): Promise<number> {
    const { sizeBytes } = await this.stat(object, options);
    return Math.min(READ_BYTES, Math.max(0, sizeBytes - offsetBytes));
  }
}

function toBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
