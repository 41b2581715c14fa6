import type { Clock } from '../../common/clock.ts';
import { isAppError } from '../../common/errors.ts';
import type { RbdImageListing } from '../../common/rados/image-calls.ts';
import { Cached } from './cached.ts';
import { READ_LIMIT_MS, type CephLink } from './ceph-commands.ts';
import { STORAGE_FIGURES_MS } from './storage-cluster.ts';

/** The images of each pool. Which there are is looked up each time; sizes and the like are kept for a while, as figures are. */
export class ImageLists {
  readonly #link: CephLink;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Cached<RbdImageListing[]>>();
  readonly #counting = new Map<string, Promise<number>>();

  constructor({ link, clock }: { link: CephLink; clock: Clock }) {
    this.#link = link;
    this.#clock = clock;
  }

  /** In their order. @throws AppError 'not-found' of the pool. */
  async names(pool: string): Promise<string[]> {
    const rados = await this.#link.rados();
    return rados.rbd(pool).list({ timeoutMs: READ_LIMIT_MS });
  }

  /** As of now. @throws AppError 'not-found' of the pool. */
  async fresh(pool: string): Promise<RbdImageListing[]> {
    const rados = await this.#link.rados();
    return rados.rbd(pool).listInfo({ timeoutMs: READ_LIMIT_MS });
  }

  /** Those that there are now, by name, with figures that may be some seconds old. @throws AppError 'not-found' of the pool. */
  async recent(pool: string): Promise<RbdImageListing[]> {
    const [names, kept] = await Promise.all([this.names(pool), this.#keptOf(pool).get()]);
    const known = new Map(kept.map((one) => [one.name, one]));
    const found = names.flatMap((name) => known.get(name) ?? []);
    if (found.length === names.length) return found;
    this.forget(pool);
    return sortedByName(await this.#keptOf(pool).get());
  }

  /** How many there are; who asks while somebody else has not been answered yet waits for the same answer. */
  async count(pool: string): Promise<number> {
    const known = this.#counting.get(pool);
    if (known !== undefined) return known;
    const counting = this.names(pool).then((names) => names.length);
    this.#counting.set(pool, counting);
    try {
      return await counting;
    } finally {
      if (this.#counting.get(pool) === counting) this.#counting.delete(pool);
    }
  }

  /** Something in the pool was changed from here. */
  forget(pool: string): void {
    this.#kept.delete(pool);
    this.#counting.delete(pool);
  }

  #keptOf(pool: string): Cached<RbdImageListing[]> {
    const kept = this.#kept.get(pool);
    if (kept !== undefined) return kept;
    const made = new Cached({ clock: this.#clock, maxAgeMs: STORAGE_FIGURES_MS, load: () => this.fresh(pool) });
    this.#kept.set(pool, made);
    return made;
  }
}

function sortedByName(images: readonly RbdImageListing[]): RbdImageListing[] {
  return images.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** A pool may go between the look at the pools and the look into it. */
export async function presentOrGone<T>(listing: Promise<T[]>): Promise<T[]> {
  try {
    return await listing;
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
    return [];
  }
}
