import { delay, type Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Store } from '../store/store.ts';
import { SweepLoop } from '../sweep-loop.ts';

/** What the audit needs of a Mirror. */
export interface AuditedMirror<K extends string> {
  readonly kinds: readonly K[];
  staleForMs(): number;
  rootOf(kind: K): string;
  knownIds(kind: K): ReadonlySet<string>;
  stampOf(kind: K, id: string): number | undefined;
  refresh(kind: K, id: string): void;
  refreshList(kind: K): void;
}

export interface AuditOptions<K extends string> {
  readonly mirror: AuditedMirror<K>;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time between two sweeps, in milliseconds. */
  readonly intervalMs: number;
  /** Documents of each kind that one sweep reads, at most. */
  readonly samplesMax?: number;
  /** How long a watch may take before it counts as lost, in milliseconds. */
  readonly settleMs?: number;
}

export interface AuditReport {
  /** Documents compared, in lists not counted. */
  readonly compared: number;
  /** Documents whose change the mirror had missed. */
  readonly repaired: number;
}

/** Between two sweeps of a process in service, in milliseconds: with a hundred documents each, ten thousand are looked at in a day. */
export const AUDIT_INTERVAL_MS = 600_000;

const SAMPLES_DEFAULT = 100;

/** A watch takes milliseconds; a busy machine a second. */
const SETTLE_DEFAULT_MS = 5_000;

interface Suspect<K> {
  readonly kind: K;
  readonly id: string;
  /** Transaction seen at the server; undefined: it was listed, but not read; 'gone': it was not listed. */
  readonly seen: number | 'gone' | undefined;
}

/**
 * Compares the mirror with the server, slowly: every list of documents, and in each sweep some documents, in turn, so that each is
 * looked at in the end. A change that the mirror still lacks after a while means that a watch was lost, which is an error, and is repaired.
 */
export class Audit<K extends string> {
  readonly #options: AuditOptions<K>;
  /** The last id compared of each kind; the next sweep goes on behind it. */
  readonly #cursors = new Map<K, string>();
  readonly #loop: SweepLoop;

  constructor(options: AuditOptions<K>) {
    this.#options = options;
    const { clock, log, intervalMs } = options;
    this.#loop = new SweepLoop({ clock, log, intervalMs, name: 'audit of the mirror', sweep: (signal) => this.sweep(signal) });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One sweep. Finds nothing while the mirror is stale: then it is known to lack changes. */
  async sweep(signal: AbortSignal): Promise<AuditReport> {
    const { mirror, clock, log } = this.#options;
    if (mirror.staleForMs() > 0) return { compared: 0, repaired: 0 };
    const first = await this.#suspects();
    if (first.suspects.length === 0) return { compared: first.compared, repaired: 0 };
    await delay(clock, this.#options.settleMs ?? SETTLE_DEFAULT_MS, signal);
    if (mirror.staleForMs() > 0) return { compared: first.compared, repaired: 0 };
    const listed = await this.#listAll();
    const lost = first.suspects.filter((suspect) => this.#isLost(suspect, listed));
    for (const { kind, id } of lost) {
      log.error({ kind, id }, 'mirror has missed a change, which is read now');
      mirror.refresh(kind, id);
    }
    for (const kind of new Set(lost.map((suspect) => suspect.kind))) mirror.refreshList(kind);
    return { compared: first.compared, repaired: lost.length };
  }

  async #suspects(): Promise<{ suspects: Suspect<K>[]; compared: number }> {
    const { mirror } = this.#options;
    const suspects: Suspect<K>[] = [];
    let compared = 0;
    for (const [kind, names] of await this.#listAll()) {
      const known = mirror.knownIds(kind);
      for (const id of names) if (!known.has(id)) suspects.push({ kind, id, seen: undefined });
      for (const id of known) if (!names.has(id)) suspects.push({ kind, id, seen: 'gone' });
      const sample = this.#nextSample(kind, [...names]);
      compared += sample.length;
      suspects.push(...(await this.#compare(kind, sample)));
    }
    return { suspects, compared };
  }

  async #compare(kind: K, ids: readonly string[]): Promise<Suspect<K>[]> {
    const { mirror, store } = this.#options;
    const entries = await Promise.all(ids.map((id) => store.read(`${mirror.rootOf(kind)}/${id}`)));
    return ids.flatMap((id, index) => {
      const seen = entries[index]?.modifiedZxid;
      const held = mirror.stampOf(kind, id);
      return seen !== undefined && held !== undefined && held < seen ? [{ kind, id, seen }] : [];
    });
  }

  #isLost(suspect: Suspect<K>, listed: ReadonlyMap<K, ReadonlySet<string>>): boolean {
    const held = this.#options.mirror.stampOf(suspect.kind, suspect.id);
    const present = listed.get(suspect.kind)?.has(suspect.id) === true;
    if (suspect.seen === 'gone') return !present && held !== undefined;
    return present && (held === undefined || (suspect.seen !== undefined && held < suspect.seen));
  }

  async #listAll(): Promise<Map<K, ReadonlySet<string>>> {
    const { mirror, store } = this.#options;
    const lists = await Promise.all(mirror.kinds.map(async (kind) => [kind, new Set(await store.list(mirror.rootOf(kind)))] as const));
    return new Map(lists);
  }

  #nextSample(kind: K, names: readonly string[]): readonly string[] {
    const count = Math.min(names.length, this.#options.samplesMax ?? SAMPLES_DEFAULT);
    const cursor = this.#cursors.get(kind);
    const start = cursor === undefined ? 0 : names.findIndex((name) => name > cursor);
    const from = Math.max(0, start);
    const sample = [...names.slice(from, from + count), ...names.slice(0, Math.max(0, from + count - names.length))];
    const last = sample.at(-1);
    if (last !== undefined) this.#cursors.set(kind, last);
    return sample;
  }
}
